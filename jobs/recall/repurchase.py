"""Repurchase: what a user took before and is due to take again, for scenarios where that is wanted (groceries).

Grain: one row per (user_id, item_id). Source: Bhagat et al. 2018, "Buy It Again: Modeling Repeat Purchase
Recommendations" (the modified Poisson-Gamma model): score = repeat customer probability of the item * the user's rate.

- repeat customer probability: of those who took the item in the window, the share who did so on two days or more.
- rate: (k + a) / (t + b), k the days on which the user took it. The Gamma prior is worth `prior_strength` purchases, a,
  at the item's usual interval: b = a * (days between first and last, over intervals, of its repeat customers together).
- t is not the time since the first purchase but, with s the days since the last one and m the interval to expect of
  this user, (days from first to last + b) / (k - 1 + a): days from first to last + 2 |m - s|, until s is twice m; from
  then on the time since the first. So what was just taken is not due, and the score is best when s is m.

Taking is `event`, by default that of the highest weight (the later in `events` of equal ones). Left out are items with
fewer than min_repeat_customers (3, ours) and items not on offer. Figures are whole days and customers: sums are exact.

publish.exclude_seen takes from the lists what was acted on within publish.seen_days: with it only what is older is
recommended again, and a line whose window is not longer is refused when the solution is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from jobs.lib.columns import rank_within
from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution
from jobs.lib.solution_params import RecallParams
from jobs.lib.spark import F
from jobs.recall import inputs

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CONTRACT = "recall_u2i"
SETTINGS = ()


class Params(RecallParams):
    window_days: int = Field(90, ge=2, le=400)
    event: str | None = None  # default: the event of the highest weight
    prior_strength: float = Field(1.0, gt=0, allow_inf_nan=False)
    min_repeat_customers: int = Field(3, ge=1)
    recall_count: int = Field(200, ge=1, le=10_000)

    @property
    def events_named(self) -> list[str]:
        """The events that this line refers to; each must be declared in the solution."""
        return [self.event] if self.event else []

    def problem_in(self, solution: Solution) -> str | None:
        """A window of which publish.exclude_seen would leave nothing."""
        publish = solution.publish
        is_left_out = publish.exclude_seen and taken(solution, self) in inputs.action_weights(solution)
        if is_left_out and self.window_days <= publish.seen_days:
            return (
                f"window_days: {self.window_days} days, all of which publish.exclude_seen leaves out of the lists "
                f"(publish.seen_days is {publish.seen_days}); allowed: a longer window, or publish.exclude_seen: false"
            )
        return None


def taken(solution: Solution, params: Params) -> str:
    """The event that counts as taking an item."""
    weights = inputs.action_weights(solution)
    strongest = max(weights, key=lambda event: (weights[event], solution.events.index(event)), default=solution.target)
    return params.event or strongest


def repurchase(acts: DataFrame, offered: DataFrame | None, ds: str, params: Params) -> DataFrame:
    """(user_id, item_id, score, rank), at most recall_count rows a user.

    acts: the (ds, user_id, item_id) rows of the window in which the item was taken, duplicates welcome; offered:
    (item_id) that may be recalled, None for any.
    """
    histories = (
        acts.select("user_id", "item_id", F.to_date("ds", "yyyyMMdd").alias("day"))
        .groupBy("user_id", "item_id")
        .agg(F.count_distinct("day").alias("k"), F.min("day").alias("first"), F.max("day").alias("last"))
        .withColumn("span", F.datediff("last", "first"))
        .withColumn("since", F.datediff(F.to_date(F.lit(ds), "yyyyMMdd"), "last"))
    )
    rhythms = (
        histories.groupBy("item_id")
        .agg(
            F.count(F.lit(1)).alias("customers"),
            F.count_if(F.col("k") > 1).alias("repeat_customers"),
            F.try_divide(F.sum("span"), F.sum(F.col("k") - 1)).alias("interval"),
        )
        .where(F.col("repeat_customers") >= params.min_repeat_customers)
    )
    if offered is not None:
        rhythms = rhythms.join(offered, on="item_id", how="semi")
    a, k, span, since = F.lit(params.prior_strength), F.col("k"), F.col("span"), F.col("since")
    b = a * F.col("interval")
    expected = (span + b) / (k - 1 + a)
    t = span + F.when(since < 2 * expected, 2 * F.abs(expected - since)).otherwise(since)
    score = F.col("repeat_customers") / F.col("customers") * ((k + a) / (t + b))
    scored = histories.join(rhythms, on="item_id").select("user_id", "item_id", score.alias("score"))
    return rank_within(scored, ["user_id"], "score", "item_id", params.recall_count)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return inputs.reads_of(solution, ds, node.params.window_days)


def recalled(at: inputs.Day, params: Params) -> DataFrame:
    acts = at.actions(params.window_days).where(F.col("event") == taken(at.solution, params))
    return repurchase(acts, at.offered(), at.ds, params)


def main(days: list[str], solution: Solution, node: Node) -> None:
    inputs.make(recalled, days, solution, node)
