"""Hot items of a window: what many users acted on, against how often it was shown, fading with the item's age.

Grain: one row per (group_key, item_id); group_key '-1' is everyone. Source: the PAI-Rec tutorial,
`score = click_uv * click_uv / (expr + adj_factor) * exp(-item_publish_days / fresh_decay_denom)`;
the window, adj_factor 10, fresh_decay_denom 30 and top_n 1000 are ours.

An item is listed when it had the event in the window and is on offer: in the item snapshot of ds if that is complete,
otherwise any item. An item without a listing time counts as published on ds: what is not known does not age it. An item
whose score is not a finite number has no place in an order and is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from jobs.lib.columns import rank_within
from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F
from jobs.recall import inputs
from jobs.recall.formula import Names
from jobs.recall.pairec import EVERYONE
from jobs.recall.popularity import FormulaParams, figures_of, per_key, per_user, scored

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CONTRACT = "recall_hot"
SETTINGS = ()
FORMULA = "target_uv * target_uv / (expr + adj_factor) * exp(-item_publish_days / fresh_decay_denom)"


class Params(FormulaParams):
    NAMES = Names(("item_publish_days", "adj_factor", "fresh_decay_denom"))

    window_days: int = Field(7, ge=1, le=400)
    adj_factor: float = Field(10.0, ge=0, allow_inf_nan=False)
    fresh_decay_denom: float = Field(30.0, gt=0, allow_inf_nan=False)
    top_n: int = Field(1000, ge=1, le=100_000)
    formula: str = FORMULA

    @property
    def constants(self) -> dict[str, float]:
        return {"adj_factor": self.adj_factor, "fresh_decay_denom": self.fresh_decay_denom}


def hot(actions: DataFrame, items: DataFrame | None, ds: str, solution: Solution, params: Params) -> DataFrame:
    """(group_key, item_id, score, rank) from actions_daily of the window and the item snapshot of ds."""
    figures = figures_of(params, solution)
    counted = per_key(per_user(actions, figures, solution), ["item_id"], figures, solution)
    listed = scored(counted, items, ds, solution, params, params.constants)
    everyones = listed.select(F.lit(EVERYONE).alias("group_key"), "item_id", "score")
    return rank_within(everyones, ["group_key"], "score", "item_id", params.top_n)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return inputs.reads_of(solution, ds, node.params.window_days)


def recalled(at: inputs.Day, params: Params) -> DataFrame:
    return hot(at.actions(params.window_days), at.items(), at.ds, at.solution, params)


def main(days: list[str], solution: Solution, node: Node) -> None:
    inputs.make(recalled, days, solution, node)
