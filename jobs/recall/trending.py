"""Trending items: what more users act on in a window than in the window of the same length before it.

Grain: one row per (group_key, item_id); group_key '-1' is everyone. Formula and defaults are ours: the users of the
window against those to expect from the window before, in standard deviations of a Poisson count,
`(target_uv - traffic_growth * before_target_uv) / sqrt(target_uv + traffic_growth * before_target_uv + smoothing)`.

`traffic_growth` is by how much the users of all items together grew, so a weekend lifts nothing by itself. The
smoothing keeps a few users from standing for a trend: with the default of 10 an item that goes from 0 users to 1 scores
0.30, from 0 to 10 2.24, from 100 to 150 3.10. Only items that grow, score above 0, are listed; they need the event in
the window and must be on offer (see jobs/recall/hot.py). Where the window before has no actions at all, traffic_growth
counts for nothing and the list is that of the window's users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from jobs.lib.columns import rank_within
from jobs.lib.days import window
from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F
from jobs.recall import inputs
from jobs.recall.formula import BEFORE, Aggregate, Names
from jobs.recall.pairec import EVERYONE
from jobs.recall.popularity import FormulaParams, figures_of, per_key, per_user, scored

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CONTRACT = "recall_hot"
SETTINGS = ()
EXPECTED = "traffic_growth * before_target_uv"
FORMULA = f"(target_uv - {EXPECTED}) / sqrt(target_uv + {EXPECTED} + smoothing)"


class Params(FormulaParams):
    NAMES = Names(("item_publish_days", "traffic_growth", "smoothing"), ("", BEFORE))

    window_days: int = Field(3, ge=1, le=200)
    smoothing: float = Field(10.0, gt=0, allow_inf_nan=False)
    top_n: int = Field(200, ge=1, le=100_000)
    formula: str = FORMULA

    @property
    def reach_days(self) -> int:
        return 2 * self.window_days


def trending(actions: DataFrame, items: DataFrame | None, ds: str, solution: Solution, params: Params) -> DataFrame:
    """(group_key, item_id, score, rank) from actions_daily of both windows, which end at ds, and the item snapshot."""
    figures = figures_of(params, solution)
    target = figures["target_cnt"].event
    figures |= {"target_uv": Aggregate("", target, "uv"), "before_target_uv": Aggregate(BEFORE, target, "uv")}
    begins = min(window(ds, params.window_days))
    counted = per_key(per_user(actions, figures, solution, begins), ["item_id"], figures, solution)
    total, before = (F.sum(name) + F.lit(params.smoothing) for name in ("target_uv", "before_target_uv"))
    traffic = counted.agg((total / before).alias("traffic_growth"))
    listed = scored(
        counted.crossJoin(F.broadcast(traffic)), items, ds, solution, params, {"smoothing": params.smoothing}
    )
    growing = listed.where("score > 0").select(F.lit(EVERYONE).alias("group_key"), "item_id", "score")
    return rank_within(growing, ["group_key"], "score", "item_id", params.top_n)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return inputs.reads_of(solution, ds, 2 * node.params.window_days)


def recalled(at: inputs.Day, params: Params) -> DataFrame:
    return trending(at.actions(2 * params.window_days), at.items(), at.ds, at.solution, params)


def main(days: list[str], solution: Solution, node: Node) -> None:
    inputs.make(recalled, days, solution, node)
