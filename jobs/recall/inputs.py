"""What the recall jobs and the candidate merge read alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING

from jobs.lib import roles, tables
from jobs.lib.days import window
from jobs.lib.reads import Reads, input_of, on_days
from jobs.lib.solution import Solution
from jobs.lib.solution_params import RecallParams
from jobs.lib.spark import F

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def action_weights(solution: Solution) -> dict[str, float]:
    """The events that count as acting on an item, with their weight: every weight above 0, and the target.

    A target that the solution gives no weight counts 1; an explicit 0 stays 0.
    """
    weights = {solution.target: 1.0} | dict(solution.event_weights)
    return {event: weights[event] for event in solution.events if weights.get(event, 0) > 0}


def actions_of_window(solution: Solution, ds: str, n: int) -> DataFrame:
    """actions_daily of the n days ending at ds. Days before the history begins are absent; ds itself must be there."""
    table = solution.table("actions_daily")
    return tables.read_days(table, sorted({*tables.present_days(table, window(ds, n)), ds}))


def reads_of(solution: Solution, ds: str, days: int, *made_from: str, offered: bool = True) -> Reads:
    """actions_daily of ds and of a window of so many days, other nodes of ds, and what is on offer then."""
    actions = solution.table("actions_daily")
    needs = [(actions, ds), *((solution.table(name), ds) for name in made_from)]
    if offered:
        needs += input_of(solution.tables.item, ds)
    return Reads(needs=tuple(needs), wanted=on_days(actions, window(ds, days)[:-1]))


def acted_items(actions: DataFrame, weights: dict[str, float]) -> DataFrame:
    """(user_id, item_id): what each user acted on; impressions are not acts. Not deduplicated over days and events."""
    return actions.where(F.col("event").isin(list(weights))).select("user_id", "item_id")


def snapshot_items(solution: Solution, ds: str) -> DataFrame | None:
    """The item snapshot of ds through its roles, or None where the solution has no item table."""
    config = solution.tables.item
    return None if config is None else roles.items(tables.read_snapshot(config, ds), solution)


def offered_items(solution: Solution, ds: str) -> DataFrame | None:
    """(item_id) on offer at ds, or None when nobody knows: no item table, or one that does not list everything."""
    config = solution.tables.item
    return snapshot_items(solution, ds).select("item_id") if config is not None and config.complete else None


def contract_of(recall: RecallParams) -> str:
    """The kind of table that a recall line makes: the name of its contract."""
    return recall.module.CONTRACT


def for_each_day(days: list[str], build: Callable[[str], DataFrame]) -> DataFrame:
    """The rows of every day, each with its ds: one Spark plan, so that a range of days is written in one pass."""
    built = [build(ds).withColumn("ds", F.lit(ds)) for ds in days]
    return reduce(lambda some, more: some.unionByName(more), built)
