"""Candidates: every personal recall and the hot lists, merged into one list per active user.

Grain: one row per (ds, user_id, item_id). Active: any event, an impression too, within publish.active_days. Merged by
reciprocal rank fusion (Cormack, Clarke and Buettcher 2009): score = sum over the recalls that list the item of
1 / (60 + rank), in 1e-9 units, so exact. It needs no scale common to the recalls. Ties go to the lower item id.

Left out: items not on offer and, with publish.exclude_seen, items acted on within publish.seen_days (being shown an item
is not acting on it). Each user takes from the hot lists only as many items as could still enter the list.
"""

from __future__ import annotations

import importlib
from functools import reduce
from typing import TYPE_CHECKING

from jobs.lib.columns import rank_within
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F, Window
from jobs.lib.tables import read_days, write_days
from jobs.recall import inputs
from jobs.recall.pairec import EVERYONE

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

CONTRACT = "candidates"
RRF_K = 60
SCALE = 1_000_000_000


def candidates(
    personal: dict[str, DataFrame],
    hot: dict[str, DataFrame],
    active: DataFrame,
    seen: DataFrame | None,
    offered: DataFrame | None,
    limit: int,
) -> DataFrame:
    """(user_id, item_id, score, rank, sources), at most `limit` rows a user.

    personal and hot: recall_u2i and recall_hot tables by recall name; active: (user_id), distinct; seen:
    (user_id, item_id) to leave out, duplicates welcome; offered: (item_id) on offer, None for any.
    """
    hot_list = _hot_list(hot, active, offered).persist()
    recalled = _personal(personal, active, seen, offered).join(F.broadcast(hot_list), on="item_id", how="left")
    from_hot = _from_hot(recalled, hot_list, active, limit)
    nothing = F.array().cast(SOURCES)
    own = recalled.where("NOT is_seen").select(
        "user_id",
        "item_id",
        F.array_sort(F.concat("sources", F.coalesce("hot_sources", nothing))).alias("sources"),
    )
    merged = own.unionByName(from_hot).withColumn("score", _fused("sources"))
    return rank_within(merged, ["user_id"], "score", "item_id", limit).select(
        "user_id", "item_id", "score", "rank", "sources"
    )


SOURCES = "array<struct<recall:string,score:double,rank:int>>"


def _fused(sources: str) -> Column:
    """Reciprocal rank fusion of an array of sources, as DOUBLE."""

    def added(total: Column, source: Column) -> Column:
        return total + F.round(F.lit(float(SCALE)) / (F.lit(RRF_K) + source["rank"])).cast("bigint")

    return F.aggregate(sources, F.lit(0).cast("bigint"), added) / F.lit(float(SCALE))


def _listed(recalls: dict[str, DataFrame], key: str, like: DataFrame) -> DataFrame:
    """(key, item_id, source) of several recall tables in one frame."""
    empty = like.select(F.lit("").alias(key), F.lit("").alias("item_id"), F.lit(None).cast(SOURCE).alias("source")).limit(0)
    listed = [
        recall.select(key, "item_id", F.struct(F.lit(name).alias("recall"), "score", "rank").cast(SOURCE).alias("source"))
        for name, recall in recalls.items()
    ]
    return reduce(lambda some, more: some.unionByName(more), listed, empty)


SOURCE = "struct<recall:string,score:double,rank:int>"
