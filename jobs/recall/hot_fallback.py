"""The safety net: the top of a hot list in one row, for a consumer that can read nothing else.

Grain: one row, key '-1'; item_ids is pairec's three-part form, best first. Source: the PAI-Rec tutorial's fallback row.
A hot list without items gives a row with an empty string and count 0. Items that the filters of `publish` keep from
a user of whom nothing is known, banned ones among them, are not in it. Nobody knows when and where the row is shown
either: only the weekday is that of the day after, and what a filter removes in any hour or scene is left out.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pydantic import Field

from jobs.lib.reads import Reads, input_of
from jobs.lib.solution import Node, Solution
from jobs.lib.solution_params import Name, RecallParams
from jobs.lib.spark import F
from jobs.ranking.filters import removed_for_strangers
from jobs.recall import inputs
from jobs.recall.pairec import EVERYONE, is_writable, three_part

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CONTRACT = "recall_fallback"
SOURCE_CONTRACT = "recall_hot"
SETTINGS = ("publish.filters", "publish.rerank.banned", "publish.seen_days")


class Params(RecallParams):
    source: Name
    top_n: int = Field(200, ge=1, le=10_000)


def hot_fallback(hot: DataFrame, params: Params, removed: Collection[str] = ()) -> DataFrame:
    """(key, item_ids, count) from a recall_hot table: its first top_n items that the string form can carry, less the
    removed ones."""
    recall, top_n = params.name, params.top_n

    def is_shown(item: str) -> bool:
        return is_writable(item) and item not in removed

    def best(listed: list) -> dict:
        chosen = [(row["item_id"], row["score"]) for row in listed if is_shown(row["item_id"])][:top_n]
        return {"item_ids": three_part(chosen, recall), "count": len(chosen)}

    in_one_row = F.udf(best, "item_ids string, count int", useArrow=False)
    everyone = hot.where(F.col("group_key") == EVERYONE)
    listed = everyone.agg(F.sort_array(F.collect_list(F.struct("rank", "item_id", "score"))).alias("listed"))
    return listed.select(F.lit(EVERYONE).alias("key"), in_one_row("listed").alias("row")).select(
        "key", "row.item_ids", "row.count"
    )


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    hot = (solution.table(node.params.source), ds)
    return Reads(needs=(hot, *(input_of(solution.tables.item, ds) if solution.publish.has_filters else ())))


def recalled(at: inputs.Day, params: Params) -> DataFrame:
    hot = at.made(params.source)
    return hot_fallback(hot, params, removed_for_strangers(hot, at))


def main(days: list[str], solution: Solution, node: Node) -> None:
    inputs.make(recalled, days, solution, node)
