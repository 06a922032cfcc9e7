"""Candidates: every recall, merged into one list per active user.

Grain: one row per (ds, user_id, item_id). Active: any event, an impression too, within publish.active_days. Merged by
jobs/recall/fusion.py: score = sum over the recalls that list the item of weight * score / the user's best score there.
Weights are those of the recall lines, or the day's `fusion_weights` with `fusion: {method: learned}`; a line's `quota`
keeps a place for so many of its items. Ties go to the lower item id; every source keeps its own score and rank.

Left out: items not on offer and, with publish.exclude_seen, items acted on within publish.seen_days (being shown an
item is not acting on it). Each user takes from the hot lists only as many items as could still enter the list. Lists
that stay short are filled up with what else is on offer, the newest first, 9,999 items at most (source `catalog`): a
user has fewer than publish.candidates only when nothing of it is left that they have not acted on. How many is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial, reduce
from typing import TYPE_CHECKING

from jobs.lib import partitions
from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F
from jobs.lib.tables import read_days, write_days
from jobs.recall import inputs
from jobs.recall.pairec import EVERYONE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from pyspark.sql import DataFrame

log = logging.getLogger("recflow")

CONTRACT = "candidates"
SETTINGS = ("publish", "recalls", "fusion")
COLUMNS = (
    "user_id string, item_id string, score double, rank int, sources array<struct<recall:string,score:double,rank:int>>"
)
ROWS = "user_id string, item_id string, recall int, score double, rank int"
PIECE = 300_000  # rows that a task merges at a time
CELLS = 4_000_000  # candidates that a task makes at a time: users without recalls bring few rows and take a full list
CATALOG = "catalog"  # the source of what fills a list up


def candidates(
    personal: dict[str, DataFrame],
    hot: dict[str, DataFrame],
    active: DataFrame,
    seen: DataFrame | None,
    offered: DataFrame | None,
    limit: int,
    weights: Mapping[str, float] | None = None,
    quotas: Mapping[str, int] | None = None,
    tail: Sequence[str] = (),
) -> DataFrame:
    """(user_id, item_id, score, rank, sources), at most `limit` rows a user; sources are sorted by recall name.

    personal and hot: recall_u2i and recall_hot tables by recall name; active: (user_id); seen: (user_id, item_id) to
    leave out; offered: (item_id) on offer, None for any. Duplicates in active and seen are welcome. weights (default 1)
    and quotas (default 0) by recall name; tail: items on offer that fill lists up, best first.
    """
    import numpy as np

    from jobs.recall.fusion import ACTIVE, SEEN, Blend, hot_list

    recalls = sorted([*personal, *hot, CATALOG])
    blend = Blend(
        recalls,
        np.array([(weights or {}).get(name, 1.0) for name in recalls]),
        np.array([(quotas or {}).get(name, 0) for name in recalls]),
        limit,
    )
    session = active.sparkSession

    def listed(tables: dict[str, DataFrame], key: str) -> DataFrame:
        coded = [
            table.select(
                F.col(key).alias("user_id"), "item_id", F.lit(recalls.index(name)).alias("recall"), "score", "rank"
            )
            for name, table in tables.items()
        ]
        rows = reduce(lambda some, more: some.unionByName(more), coded, session.createDataFrame([], ROWS))
        return rows if offered is None else rows.join(offered, on="item_id", how="semi").select(*rows.columns)

    for_everyone = listed(
        {name: table.where(F.col("group_key") == EVERYONE) for name, table in hot.items()}, "group_key"
    )
    everyones = hot_list(for_everyone.toArrow(), blend.weights, tail, recalls.index(CATALOG))
    shared = session.sparkContext.broadcast(everyones)
    rows = listed(personal, "user_id").unionByName(
        _marked(active.select("user_id", F.lit("").alias("item_id")), ACTIVE)
    )
    if seen is not None:
        rows = rows.unionByName(_marked(seen.select("user_id", "item_id"), SEEN))
    by_user = rows.repartition("user_id").sortWithinPartitions("user_id")
    return by_user.mapInArrow(partial(_merged, shared, blend), COLUMNS)


def _marked(rows: DataFrame, mark: int) -> DataFrame:
    """Rows that are no recall, in the form of ROWS."""
    marked = rows.distinct().withColumn("recall", F.lit(mark))
    return marked.withColumn("score", F.lit(0.0)).withColumn("rank", F.lit(0))


def _merged(shared, blend, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    from jobs.recall.fusion import few_users, fused, whole_users

    for rows in whole_users(batches, PIECE):
        for piece in few_users(rows, max(1, CELLS // blend.limit)):
            yield fused(piece, shared.value, blend)


def personal_lists(at: inputs.Day) -> dict[str, DataFrame]:
    """What each recall lists for single users, by the name of its line; lists of groups as those of their users."""
    return {line.name: inputs.list_of(at, line) for line in inputs.listing(at.solution) if line.is_personal}


def hot_lists(at: inputs.Day) -> dict[str, DataFrame]:
    """The lists that are the same for everyone, by the name of their line."""
    return {line.name: inputs.list_of(at, line) for line in inputs.listing(at.solution) if not line.is_personal}


def candidates_at(at: inputs.Day, weights: Mapping[str, float]) -> DataFrame:
    """The candidates of a day from its recalls."""
    publish = at.solution.publish
    seen = at.acted(publish.seen_days) if publish.exclude_seen else None
    return candidates(
        personal_lists(at),
        hot_lists(at),
        at.actions(publish.active_days).select("user_id"),
        seen,
        at.offered(),
        publish.candidates,
        weights,
        {line.name: line.quota for line in at.solution.recalls},
        _tail(at, seen, publish.candidates),
    )


def _tail(at: inputs.Day, seen: DataFrame | None, limit: int) -> list[str]:
    """The items on offer, newest first; as many as a user who has acted on some of them can need."""
    from jobs.recall.fusion import LISTED

    items = on_offer(at)
    most = seen.distinct().groupBy("user_id").count().agg(F.max("count")).first()[0] if seen is not None else 0
    newest = items.orderBy(F.desc_nulls_last("time"), "item_id").limit(min(limit + (most or 0), LISTED - 1))
    return [row.item_id for row in newest.select("item_id").collect()]


def on_offer(at: inputs.Day) -> DataFrame:
    """(item_id, time) of the items on offer: when they were listed. Where nobody says what is on offer: what had any
    event in the active days, and when it last had one."""
    if at.offered() is not None:
        return at.items().select("item_id", F.col("listing_time").alias("time"))
    actions = at.actions(at.solution.publish.active_days)
    return actions.groupBy("item_id").agg(F.max("last_time").alias("time"))


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    publish = solution.publish
    made_from = [recall.name for recall in inputs.listing(solution)]
    if solution.fusion.method == "learned":
        made_from.append("fusion_weights")
    days = max(publish.active_days, publish.seen_days)
    has_groups = any(hasattr(recall.module, "for_users") for recall in solution.recalls)
    return inputs.reads_of(solution, ds, days, *made_from, users=has_groups)


def main(days: list[str], solution: Solution, node: Node) -> None:
    table = solution.table(node.name)
    merged = inputs.for_each_day(days, lambda ds: candidates_at(inputs.Day(solution, ds), weights_of(solution, ds)))
    write_days(merged, table, days, CONTRACT)
    for ds in days:
        for length, users in short_lists(solution, ds):
            log.info(
                "%s ds=%s: %s users have fewer than %s candidates (the shortest list: %s): they have acted on all else "
                "that is on offer (of the newest 9,999)",
                *(table, ds, f"{users:,}", f"{solution.publish.candidates:,}", f"{length:,}"),
            )


def weights_of(solution: Solution, ds: str) -> dict[str, float]:
    """What each recall counts: as learned by ds, else as the recall lines say."""
    said = {line.name: line.fusion_weight for line in solution.recalls}
    if solution.fusion.method != "learned":
        return said
    rows = partitions.read_arrow(solution.table("fusion_weights"), ds, ["recall", "weight"]).to_pylist()
    return said | {row["recall"]: row["weight"] for row in rows}


def short_lists(solution: Solution, ds: str) -> list[tuple[int, int]]:
    """[(length of the shortest list, users with fewer than publish.candidates)], empty when every active user has
    enough; a user without any counts as 0."""
    listed = read_days(solution.table("candidates"), [ds]).groupBy("user_id").agg(F.max("rank").alias("length"))
    active = inputs.Day(solution, ds).actions(solution.publish.active_days).select("user_id").distinct()
    lengths = active.join(listed, on="user_id", how="left").withColumn("length", F.coalesce("length", F.lit(0)))
    short = lengths.where(F.col("length") < solution.publish.candidates)
    row = short.agg(F.min("length").alias("shortest"), F.count(F.lit(1)).alias("users")).first()
    return [(row.shortest, row.users)] if row.users else []
