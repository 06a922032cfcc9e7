"""Candidates: every personal recall and the hot lists, merged into one list per active user.

Grain: one row per (ds, user_id, item_id). Active: any event, an impression too, within publish.active_days. Merged by
reciprocal rank fusion (jobs/recall/fusion.py): score = sum over the recalls that list the item of 1 / (60 + rank), the
rank being the item's place in that recall's own list. Ties go to the lower item id.

Left out: items not on offer and, with publish.exclude_seen, items acted on within publish.seen_days (being shown an
item is not acting on it). Each user takes from the hot lists only as many items as could still enter the list.
"""

from __future__ import annotations

from functools import partial, reduce
from typing import TYPE_CHECKING

from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F
from jobs.lib.tables import write_days
from jobs.recall import inputs
from jobs.recall.pairec import EVERYONE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from pyspark.sql import DataFrame

CONTRACT = "candidates"
SETTINGS = ("publish",)
COLUMNS = (
    "user_id string, item_id string, score double, rank int, sources array<struct<recall:string,score:double,rank:int>>"
)
ROWS = "user_id string, item_id string, recall int, score double, rank int"
PIECE = 300_000  # rows that a task merges at a time
CELLS = 4_000_000  # candidates that a task makes at a time: users without recalls bring few rows and take a full list


def candidates(
    personal: dict[str, DataFrame],
    hot: dict[str, DataFrame],
    active: DataFrame,
    seen: DataFrame | None,
    offered: DataFrame | None,
    limit: int,
) -> DataFrame:
    """(user_id, item_id, score, rank, sources), at most `limit` rows a user; sources are sorted by recall name.

    personal and hot: recall_u2i and recall_hot tables by recall name; active: (user_id); seen: (user_id, item_id) to
    leave out; offered: (item_id) on offer, None for any. Duplicates in active and seen are welcome.
    """
    from jobs.recall.fusion import ACTIVE, SEEN, hot_list

    recalls = sorted([*personal, *hot])
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
    shared = session.sparkContext.broadcast(hot_list(for_everyone.toArrow()))
    rows = listed(personal, "user_id").unionByName(
        _marked(active.select("user_id", F.lit("").alias("item_id")), ACTIVE)
    )
    if seen is not None:
        rows = rows.unionByName(_marked(seen.select("user_id", "item_id"), SEEN))
    by_user = rows.repartition("user_id").sortWithinPartitions("user_id")
    return by_user.mapInArrow(partial(_merged, shared, recalls, limit), COLUMNS)


def _marked(rows: DataFrame, mark: int) -> DataFrame:
    """Rows that are no recall, in the form of ROWS."""
    marked = rows.distinct().withColumn("recall", F.lit(mark))
    return marked.withColumn("score", F.lit(0.0)).withColumn("rank", F.lit(0))


def _merged(shared, recalls: list[str], limit: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    from jobs.recall.fusion import few_users, fused, whole_users

    for rows in whole_users(batches, PIECE):
        for piece in few_users(rows, max(1, CELLS // limit)):
            yield fused(piece, shared.value, recalls, limit)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    publish = solution.publish
    recalls = [r.name for r in solution.recalls if inputs.contract_of(r) in ("recall_u2i", "recall_hot")]
    return inputs.reads_of(solution, ds, max(publish.active_days, publish.seen_days), *recalls)


def main(days: list[str], solution: Solution, node: Node) -> None:
    merged = inputs.for_each_day(days, lambda ds: merged_at(inputs.Day(solution, ds)))
    write_days(merged, solution.table(node.name), days, CONTRACT)


def merged_at(at: inputs.Day) -> DataFrame:
    """The candidates of a day from its recalls."""
    publish = at.solution.publish

    def of_kind(kind: str) -> dict[str, DataFrame]:
        return {line.name: at.made(line.name) for line in at.solution.recalls if inputs.contract_of(line) == kind}

    return candidates(
        of_kind("recall_u2i"),
        of_kind("recall_hot"),
        at.actions(publish.active_days).select("user_id"),
        at.acted(publish.seen_days) if publish.exclude_seen else None,
        at.offered(),
        publish.candidates,
    )
