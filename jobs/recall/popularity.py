"""What the hot recalls share: how many users acted on an item and how often, and the score that a formula makes of it.

Actions are summed per user first: then distinct users are plain counts, whatever users are grouped by afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import field_validator

from jobs.lib.errors import SolutionError
from jobs.lib.roles import local_time
from jobs.lib.solution import Solution
from jobs.lib.solution_params import RecallParams
from jobs.lib.spark import F
from jobs.recall.formula import BEFORE, TARGET, Aggregate, Names, aggregates, check_formula, events_of, to_sql

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

FINITE = "score > double('-Infinity') AND score < double('Infinity')"


class FormulaParams(RecallParams):
    """A line whose score is a formula over the aggregates of NAMES."""

    NAMES: ClassVar[Names]

    event: str | None = None  # default: the solution's target
    formula: str

    @field_validator("formula")
    @classmethod
    def _is_allowed(cls, text: str) -> str:
        return check_formula(text, cls.NAMES)

    @property
    def events_named(self) -> list[str]:
        """The events that this line refers to; each must be declared in the solution."""
        return sorted(events_of(self.formula, self.NAMES) | ({self.event} if self.event else set()))


def figures_of(params: FormulaParams, solution: Solution) -> dict[str, Aggregate]:
    """What is to be counted, by name: what the formula names and `target_cnt`, each with the solution's own event."""
    if unknown := [event for event in params.events_named if event not in solution.events]:
        raise SolutionError(
            f"{solution.path or 'solution'}: recalls ({params.name}): {unknown[0]!r} is not an event; "
            f"allowed: {', '.join(solution.events)}"
        )
    own = {TARGET: params.event or solution.target, None: solution.impression}
    named = {"target_cnt": Aggregate("", TARGET, "cnt"), **aggregates(params.formula, params.NAMES)}
    return {name: figure._replace(event=own.get(figure.event, figure.event)) for name, figure in named.items()}


def per_user(
    actions: DataFrame, figures: dict[str, Aggregate], solution: Solution, begins: str | None = None
) -> DataFrame:
    """(item_id, user_id) with a count for every window and event of the figures, NULL for none.

    begins: the first ds of the window, when there are actions of the window before it as well.
    """
    counted = {count_column(figure, solution): figure for figure in figures.values() if figure.event is not None}

    def is_counted(figure: Aggregate) -> Column:
        is_event = F.col("event") == figure.event
        if begins is None:
            return is_event
        return is_event & (F.col("ds") < begins if figure.window == BEFORE else F.col("ds") >= begins)

    return (
        actions.where(F.col("event").isin(sorted({figure.event for figure in counted.values()})))
        .groupBy("item_id", "user_id")
        .agg(*[F.sum(F.when(is_counted(figure), F.col("cnt"))).alias(name) for name, figure in counted.items()])
    )


def count_column(figure: Aggregate, solution: Solution) -> str:
    """The column of `per_user` that a figure is taken from."""
    return f"{figure.window}n{solution.events.index(figure.event)}"


def per_key(counts: DataFrame, keys: list[str], figures: dict[str, Aggregate], solution: Solution) -> DataFrame:
    """The figures as DOUBLE, one row per key, from `per_user` rows. Without impressions their number is 0."""

    def total(figure: Aggregate) -> Column:
        if figure.event is None:
            return F.lit(0)
        count = count_column(figure, solution)
        return F.count(count) if figure.stat == "uv" else F.sum(count)

    return counts.groupBy(*keys).agg(
        *[F.coalesce(total(figure), F.lit(0)).cast("double").alias(name) for name, figure in figures.items()]
    )


def scored(
    counted: DataFrame,
    items: DataFrame | None,
    ds: str,
    solution: Solution,
    params: FormulaParams,
    constants: dict[str, float],
) -> DataFrame:
    """The rows of `per_key` that have the event and are on offer, with `score`, where it is a finite number.

    items: the item snapshot of ds; constants: what the formula names besides figures and `item_publish_days`.
    """
    offered = _on_offer(counted.where("target_cnt > 0"), items, solution)
    named = offered.withColumns(
        {
            "item_publish_days": _days_since(F.col("listing_time"), ds, solution),
            **{name: F.lit(value) for name, value in constants.items()},
        }
    )
    return named.withColumn("score", F.expr(to_sql(params.formula, params.NAMES))).where(FINITE)


def _on_offer(counted: DataFrame, items: DataFrame | None, solution: Solution) -> DataFrame:
    """The items on offer, with their listing_time where one is known."""
    if items is None:
        return counted.withColumn("listing_time", F.lit(None).cast("bigint"))
    how = "inner" if solution.tables.item.complete else "left"
    return counted.join(items.select("item_id", "listing_time"), on="item_id", how=how)


def _days_since(listing_time: Column, ds: str, solution: Solution) -> Column:
    """Days from the local day of a unix second to ds, as DOUBLE; 0 when later than ds or unknown."""
    age = F.datediff(F.to_date(F.lit(ds), "yyyyMMdd"), F.to_date(local_time(listing_time, solution)))
    return F.greatest(F.coalesce(age, F.lit(0)), F.lit(0)).cast("double")
