"""How long each table is kept: the `retention:` block of a solution. Free of Spark.

A table's days are counted up to and including the day that the clean-up is about. A table that windows look back on is
never kept shorter than the longest of them; who wants to run older days again keeps more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from jobs.lib.feature_operators import Listed
from jobs.lib.input_tables import TableConfig
from jobs.lib.list_params import look_back_days
from jobs.lib.yaml_model import Strict

if TYPE_CHECKING:
    from jobs.lib.solution import Solution

WINDOWED = ("actions_daily", "user_features", "item_features", "biases", "rank_samples", "suspicious_users")
USUAL = 180
FEWEST_BUNDLES = 2  # a reader may still be at the one before
BY_DAY = 2  # days of the other tables that a run reads: its own and, to judge lists, the one before


class Retention(Strict):
    """`tables` names nodes of the flow or input tables that are kept longer or shorter than `days`.
    `bundles`: how many of the newest published ones stay, beside the pinned one and those that readers follow.

    Without `days`, a table is kept for USUAL days, or for what is read of it where that is more.
    """

    days: int | None = Field(None, ge=1)
    tables: dict[str, Annotated[int, Field(ge=1)]] = {}
    bundles: int = Field(30, ge=FEWEST_BUNDLES, le=10_000)


def kept_days(solution: Solution) -> dict[str, int | None]:
    """Table -> days kept, for every table that a solution reads or writes; None: a `once` snapshot, kept for good."""
    once = {config.table: None for config in _inputs(solution) if config.snapshot == "once"}
    return once | {table: _days(solution, name) for name, table in _dated(solution).items()}


def _days(solution: Solution, name: str) -> int:
    asked = solution.retention
    return asked.tables.get(name) or asked.days or max(USUAL, needed_days(solution, name))


def needed_days(solution: Solution, name: str) -> int:
    """Days of a table, by node name or input table name, that a run may read: up to and including its ds.

    Training looks back furthest as a rule (training days + longest feature window). One day more than any window,
    because a run also judges the day before, which had windows of its own.
    """
    from jobs.diagnostics.window_figures import reach_days
    from jobs.features.history import history_days

    for operator in solution.ranking.features or ():
        if isinstance(operator, Listed) and operator.of == name:
            return solution.ranking.training_days + operator.every_days + 1  # the day before the first samples
    if name == "rank_model":
        return solution.cadence.rank_model + 1  # the one that serves
    if name not in WINDOWED and name not in {config.table for config in _inputs(solution)}:
        return BY_DAY
    return max(history_days(solution) + 1, look_back_days(solution) + 1, reach_days(solution))


def check(solution: Solution) -> None:
    """Raises ValueError naming the key and the fewest days there may be."""
    asked, known = solution.retention, _dated(solution)
    if unknown := [name for name in asked.tables if name not in known]:
        raise ValueError(f"retention.tables: {unknown[0]!r} is not kept by days; allowed: {', '.join(known)}")
    for name in known:
        days, needed = _days(solution, name), needed_days(solution, name)
        if days < needed:
            key = f"retention.tables.{name}" if name in asked.tables else "retention.days"
            raise ValueError(f"{key}: {days} days are too few, the solution's windows need {needed} days of {name}")


def _inputs(solution: Solution) -> list[TableConfig]:
    """Those in recflow's own warehouse."""
    tables = solution.tables
    return [c for c in (tables.user, tables.item, tables.behavior) if c is not None and c.source is None]


def _dated(solution: Solution) -> dict[str, str]:
    """Name in the solution file -> table, for every table with a partition per day."""
    inputs = {config.table: config.table for config in _inputs(solution) if config.snapshot == "daily"}
    return inputs | {node.name: solution.table(node.name) for node in solution.nodes() if node.stage != "publish"}
