"""Hot items of a window: what many users acted on, against how often it was shown, fading with the item's age.

Grain: one row per (group_key, item_id); group_key '-1' is everyone. Source: the PAI-Rec tutorial,
`score = click_uv * click_uv / (expr + adj_factor) * exp(-item_publish_days / fresh_decay_denom)`;
the window, adj_factor 10, fresh_decay_denom 30 and top_n 1000 are ours.

An item is listed when it had the event in the window and is on offer: in the item snapshot of ds if that is complete,
otherwise any item. An item without a listing time counts as published on ds: what is not known does not age it. An item
whose score is not a finite number has no place in an order and is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from jobs.lib.columns import rank_within
from jobs.lib.errors import SolutionError
from jobs.lib.reads import Reads
from jobs.lib.roles import local_time
from jobs.lib.solution import Node, Solution
from jobs.lib.solution_params import RecallParams
from jobs.lib.spark import F
from jobs.recall import inputs
from jobs.recall.formula import check_formula, event_aggregates, to_sql
from jobs.recall.pairec import EVERYONE

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

CONTRACT = "recall_hot"
SETTINGS = ()
FORMULA = "target_uv * target_uv / (expr + adj_factor) * exp(-item_publish_days / fresh_decay_denom)"


class Params(RecallParams):
    window_days: int = Field(7, ge=1, le=400)
    adj_factor: float = Field(10.0, ge=0, allow_inf_nan=False)
    fresh_decay_denom: float = Field(30.0, gt=0, allow_inf_nan=False)
    top_n: int = Field(1000, ge=1, le=100_000)
    event: str | None = None  # default: the solution's target
    formula: Annotated[str, AfterValidator(check_formula)] = FORMULA

    @property
    def events_named(self) -> list[str]:
        """The events that this line refers to; each must be declared in the solution."""
        return sorted({*event_aggregates(self.formula).values(), *([self.event] if self.event else [])})


def hot(actions: DataFrame, items: DataFrame | None, ds: str, solution: Solution, params: Params) -> DataFrame:
    """(group_key, item_id, score, rank) from actions_daily of the window and the item snapshot of ds."""
    counted = _aggregates(actions, solution, params)
    scored = (
        _on_offer(counted.where("target_cnt > 0"), items, solution)
        .withColumn("item_publish_days", _days_since(F.col("listing_time"), ds, solution))
        .withColumn("adj_factor", F.lit(params.adj_factor))
        .withColumn("fresh_decay_denom", F.lit(params.fresh_decay_denom))
        .select(F.lit(EVERYONE).alias("group_key"), "item_id", F.expr(to_sql(params.formula)).alias("score"))
        .where("score > double('-Infinity') AND score < double('Infinity')")
    )
    return rank_within(scored, ["group_key"], "score", "item_id", params.top_n).select(
        "group_key", "item_id", "score", "rank"
    )


def _aggregates(actions: DataFrame, solution: Solution, params: Params) -> DataFrame:
    """Per item the DOUBLE aggregates that the formula names. First per user: then distinct users are plain counts."""
    target = params.event or solution.target
    named = {"target_uv": target, "target_cnt": target, **event_aggregates(params.formula)}
    events = sorted({*named.values(), *([solution.impression] if solution.impression else [])})
    if unknown := [event for event in events if event not in solution.events]:
        raise SolutionError(
            f"{solution.path or 'solution'}: recalls ({params.name}): {unknown[0]!r} is not an event; "
            f"allowed: {', '.join(solution.events)}"
        )
    counts = {event: f"n{number}" for number, event in enumerate(events)}
    per_user = (
        actions.where(F.col("event").isin(events))
        .groupBy("item_id", "user_id")
        .agg(*[F.sum(F.when(F.col("event") == event, F.col("cnt"))).alias(n) for event, n in counts.items()])
    )
    figures = {
        name: F.count(counts[event]) if name.endswith("_uv") else F.sum(counts[event]) for name, event in named.items()
    }
    figures["expr"] = F.sum(counts[solution.impression]) if solution.impression else F.lit(0)
    return per_user.groupBy("item_id").agg(
        *[F.coalesce(figure, F.lit(0)).cast("double").alias(name) for name, figure in figures.items()]
    )


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


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return inputs.reads_of(solution, ds, node.params.window_days)


def recalled(at: inputs.Day, params: Params) -> DataFrame:
    return hot(at.actions(params.window_days), at.items(), at.ds, at.solution, params)


def main(days: list[str], solution: Solution, node: Node) -> None:
    inputs.make(recalled, days, solution, node)
