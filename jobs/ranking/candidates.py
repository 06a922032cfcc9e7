"""Candidates: every personal recall and the hot lists, merged into one list per active user.

Grain: one row per (ds, user_id, item_id). Active: any event, an impression too, within publish.active_days. Merged by
reciprocal rank fusion (Cormack, Clarke and Buettcher 2009): score = sum over the recalls that list the item of
1 / (60 + rank), in 1e-9 units, so exact. It needs no scale common to the recalls. Ties go to the lower item id.

Left out: items not on offer and, with publish.exclude_seen, items acted on within publish.seen_days (being shown an
item is not acting on it). Each user takes from the hot lists only as many items as could still enter the list.
"""

from __future__ import annotations

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
SOURCE = "struct<recall:string,score:double,rank:int>"


def candidates(
    personal: dict[str, DataFrame],
    hot: dict[str, DataFrame],
    active: DataFrame,
    seen: DataFrame | None,
    offered: DataFrame | None,
    limit: int,
) -> DataFrame:
    """(user_id, item_id, score, rank, sources), at most `limit` rows a user; sources are sorted by recall name.

    personal and hot: recall_u2i and recall_hot tables by recall name; active: (user_id), distinct; seen:
    (user_id, item_id) to leave out, duplicates welcome; offered: (item_id) on offer, None for any.
    """
    hot_list = _hot_list(hot, active, offered)
    known = _recalled_or_seen(personal, active, seen, offered).join(F.broadcast(hot_list), on="item_id", how="left")
    all_sources = F.concat("sources", F.coalesce("hot_sources", F.array().cast(f"array<{SOURCE}>")))
    own = known.where("size(sources) > 0 AND NOT is_seen").select("user_id", "item_id", all_sources.alias("sources"))
    merged = own.unionByName(_from_hot(known, hot_list, active, limit))
    fused = merged.withColumn("sources", F.array_sort("sources")).withColumn("score", _fused("sources"))
    ranked = rank_within(fused, ["user_id"], "score", "item_id", limit)
    return ranked.select("user_id", "item_id", "score", "rank", "sources")


def _hot_list(hot: dict[str, DataFrame], active: DataFrame, offered: DataFrame | None) -> DataFrame:
    """(item_id, hot_sources, position): the hot lists for everyone as one, position 1 the best."""
    for_everyone = {name: recall.where(F.col("group_key") == EVERYONE) for name, recall in hot.items()}
    listed = _offered_only(_listed(for_everyone, "group_key", active), offered)
    merged = listed.groupBy("item_id").agg(F.collect_list("source").alias("hot_sources"))
    best_first = Window.partitionBy(F.lit(1)).orderBy(_fused("hot_sources").desc(), F.col("item_id").asc())
    return merged.withColumn("position", F.row_number().over(best_first))


def _recalled_or_seen(
    personal: dict[str, DataFrame], active: DataFrame, seen: DataFrame | None, offered: DataFrame | None
) -> DataFrame:
    """(user_id, item_id, sources, is_seen) of active users: one row for each item recalled for them or seen by them."""
    rows = _offered_only(_listed(personal, "user_id", active), offered).withColumn("is_seen", F.lit(False))
    if seen is not None:
        no_source = F.lit(None).cast(SOURCE).alias("source")
        rows = rows.unionByName(seen.select("user_id", "item_id", no_source, F.lit(True).alias("is_seen")))
    return (
        rows.join(active, on="user_id", how="semi")
        .groupBy("user_id", "item_id")
        .agg(F.collect_list("source").alias("sources"), F.max("is_seen").alias("is_seen"))
    )


def _from_hot(known: DataFrame, hot_list: DataFrame, active: DataFrame, limit: int) -> DataFrame:
    """(user_id, item_id, sources): for each active user the first `limit` of the hot list that are not known already.

    As numbers first, items later: nothing is joined or made that the list could not use.
    """
    taken = known.where("position IS NOT NULL").groupBy("user_id").agg(F.collect_list("position").alias("taken"))
    known_positions = F.coalesce("taken", F.array().cast("array<int>"))
    open_positions = F.array_except(F.sequence(F.lit(1), F.lit(limit) + F.size(known_positions)), known_positions)
    chosen = active.join(taken, on="user_id", how="left").select(
        "user_id", F.explode(F.slice(open_positions, 1, limit)).alias("position")
    )
    return chosen.join(F.broadcast(hot_list), on="position", how="inner").select(
        "user_id", "item_id", F.col("hot_sources").alias("sources")
    )


def _listed(recalls: dict[str, DataFrame], key: str, like: DataFrame) -> DataFrame:
    """(key, item_id, source) of several recall tables in one frame."""
    none = like.sparkSession.createDataFrame([], f"{key} string, item_id string, source {SOURCE}")
    parts = []
    for name, recall in recalls.items():
        source = F.struct(F.lit(name).alias("recall"), "score", "rank").cast(SOURCE)
        parts.append(recall.select(key, "item_id", source.alias("source")))
    return reduce(lambda some, more: some.unionByName(more), parts) if parts else none


def _offered_only(rows: DataFrame, offered: DataFrame | None) -> DataFrame:
    return rows if offered is None else rows.join(offered, on="item_id", how="semi")


def _fused(sources: str) -> Column:
    """Reciprocal rank fusion of an array of sources, as DOUBLE."""

    def added(total: Column, source: Column) -> Column:
        return total + F.round(F.lit(float(SCALE)) / (source["rank"] + F.lit(RRF_K))).cast("bigint")

    return F.aggregate(sources, F.lit(0).cast("bigint"), added) / F.lit(float(SCALE))


def main(days: list[str], solution: Solution, node: Node) -> None:
    publish, name = solution.publish, solution.table(node.name)
    weights = inputs.action_weights(solution)

    def merged(ds: str) -> DataFrame:
        def of_kind(kind: str) -> dict[str, DataFrame]:
            lines = [recall.name for recall in solution.recalls if inputs.contract_of(recall) == kind]
            return {line: read_days(solution.table(line), [ds], name) for line in lines}

        seen = inputs.acted_items(inputs.actions_of_window(solution, ds, publish.seen_days), weights)
        return candidates(
            of_kind("recall_u2i"),
            of_kind("recall_hot"),
            inputs.actions_of_window(solution, ds, publish.active_days).select("user_id").distinct(),
            seen if publish.exclude_seen else None,
            inputs.offered_items(solution, ds),
            publish.candidates,
        )

    write_days(inputs.for_each_day(days, merged), name, days, CONTRACT)
