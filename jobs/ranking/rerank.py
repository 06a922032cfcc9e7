"""Re-rank: the first places of a list by more than the score. `publish.rerank` of the solution says by what.

Takes the first `pool` items of each user by score and every pinned one, whole users at a time, in the tasks that
scored them; jobs/ranking/rerank_kernel.py places them. An item's value is its score, from 0, the worst of the user's
pool, to 1, the best, and what freshness adds.

- freshness: weight * 2^(-days listed / half_life_days).
- new_items: of the first k places at least floor(k * share) have an item listed in the `days` up to ds, as far as the
  pool has any and pinned items leave places.
- diversity, window: of one kind at most `most` within any `window` neighbouring places, where the pool allows it;
  mmr (Carbonell and Goldstein 1998): the greatest (1 - weight) * value - weight * similarity comes next, similarity
  being 1 with one of its kind among the last window - 1 places, else 0. Items of unknown kind are like no other.
- pinned items have their place, or the last one of a shorter list. Two of the same place stand one after the other, and
  nearer to the front where the list ends before. new_items counts with their places.

`moves` of a row names the steps that put it there instead of the next one by score. With nothing to move the order is
the score's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from jobs.lib.list_params import Rerank
from jobs.lib.spark import F
from jobs.ranking.fill_ups import PINNED
from jobs.ranking.filters import age

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from jobs.recall.inputs import Day

COLUMNS = (
    "user_id string, item_id string, score double, rank int, model_rank int, moves array<string>, "
    "sources array<struct<recall:string,score:double,rank:int>>"
)
MOVES = ("freshness", "new_items", "diversity", "pinned")  # by the bits of the kernel
PIECE = 200_000  # rows that a task places at a time


@dataclass(frozen=True)
class Reranking:
    """What tasks need. items: item_id, kind (INT, NULL unknown), listed_days (DOUBLE), by item_id."""

    rerank: Rerank
    top_n: int
    items: pa.Table


def reranked(ranked: DataFrame, items: pa.Table, rerank: Rerank, top_n: int) -> DataFrame:
    """(COLUMNS): at most top_n rows a user. ranked: user_id, item_id, score, rank, sources; each user's rows side by
    side in one task, by rank. items: as `kinds` gives them."""
    shared = ranked.sparkSession.sparkContext.broadcast(Reranking(rerank, top_n, items))
    rows = ranked.select("user_id", "item_id", "score", "rank", "sources")
    return rows.mapInArrow(partial(_task, shared), COLUMNS)


def as_ranked(ranked: DataFrame) -> DataFrame:
    """(COLUMNS) of lists that nothing re-ranks."""
    as_is = ranked.withColumn("model_rank", F.col("rank")).withColumn("moves", F.array().cast("array<string>"))
    return as_is.select(*[column.split()[0] for column in COLUMNS.split(", ")])


def kinds(at: Day, rerank: Rerank) -> pa.Table:
    """(item_id, kind, listed_days) of the day's items: what diversity tells apart, and how old they are."""
    import pyarrow as pa

    by = rerank.diversity.by if rerank.diversity else None
    is_dated = bool(rerank.freshness or rerank.new_items)
    if not (by or is_dated):
        return pa.table(
            {"item_id": pa.array([], pa.string()), "kind": np.empty(0, np.int32), "listed_days": np.empty(0)}
        )
    kind = F.col(f"`{by}`") if by else F.lit(None).cast("string")
    listed = age("item", at) if is_dated else F.lit(None).cast("double")
    items = at.items().select("item_id", kind.alias("kind"), listed.alias("listed_days"))
    rows = items.orderBy("item_id").toArrow().combine_chunks()
    encoded = rows.column("kind").combine_chunks()
    codes = encoded.dictionary_encode().indices if len(encoded) else pa.array([], pa.int32())
    return rows.set_column(1, "kind", codes)


def _task(shared, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    from jobs.recall.fusion import whole_users

    for rows in whole_users(batches, PIECE):
        yield from placed(rows, shared.value).to_batches()


def placed(rows: pa.Table, reranking: Reranking) -> pa.Table:
    """The lists of whole users."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from jobs.ranking import rerank_kernel as kernel

    rerank, top_n = reranking.rerank, reranking.top_n
    rows, items = rows.combine_chunks(), reranking.items
    ends = pc.run_end_encode(rows.column("user_id").combine_chunks()).run_ends.to_numpy()
    known = pc.index_in(rows.column("item_id"), value_set=items.column("item_id").combine_chunks())
    kind = pc.fill_null(items.column("kind").take(known), -1).to_numpy().astype(np.int64)
    gain, is_new = _ages(items.column("listed_days").to_numpy(zero_copy_only=False), rerank)
    at = pc.fill_null(known, len(gain) - 1).to_numpy()
    diversity = rerank.diversity
    methods = {None: kernel.NONE, "mmr": kernel.MMR, "window": kernel.WINDOW}
    rank = rows.column("rank").to_numpy().astype(np.int64)
    share = rerank.new_items.share if rerank.new_items else 0.0
    row, moves, length = kernel.placed(
        np.concatenate([[0], ends]).astype(np.int64),
        rank,
        rows.column("score").to_numpy().astype(np.float64),
        gain[at],
        kind,
        is_new[at],
        _pins(rows.column("sources")),
        rerank.pool,
        top_n,
        np.floor(np.arange(1, top_n + 1) * share + 1e-9).astype(np.int64),
        methods[diversity.method if diversity else None],
        diversity.window if diversity else 1,
        diversity.most if diversity else 1,
        round(diversity.weight * kernel.UNIT) if diversity else 0,
    )
    names = [[name for bit, name in enumerate(MOVES) if bits >> bit & 1] for bits in range(1 << len(MOVES))]
    place = np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length) + 1
    chosen = rows.take(pa.array(row))
    return pa.table(
        {
            "user_id": chosen.column("user_id"),
            "item_id": chosen.column("item_id"),
            "score": chosen.column("score"),
            "rank": pa.array(place.astype(np.int32)),
            "model_rank": pa.array(rank[row].astype(np.int32)),
            "moves": pa.array(names, pa.list_(pa.string())).take(pa.array(moves)),
            "sources": chosen.column("sources"),
        }
    )


def _ages(listed_days: np.ndarray, rerank: Rerank) -> tuple[np.ndarray, np.ndarray]:
    """What freshness adds to each item, in 1e-9, and whether it is new; the last entry is an item that is not known."""
    days = np.append(listed_days.astype(np.float64), np.nan)
    is_dated = np.isfinite(days)
    gain, is_new = np.zeros(len(days), np.int64), np.zeros(len(days), bool)
    if rerank.freshness:
        distinct = {day: rerank.freshness.weight * 2.0 ** (-max(day, 0.0) / rerank.freshness.half_life_days) for day in
                    set(days[is_dated].tolist())}  # fmt: skip
        gain[is_dated] = [round(distinct[day] * 1e9) for day in days[is_dated].tolist()]
    if rerank.new_items:
        is_new[is_dated] = days[is_dated] < rerank.new_items.days
    return gain, is_new


def _pins(sources: pa.ChunkedArray) -> np.ndarray:
    """The place that each row is pinned to, 0 for none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = pa.concat_arrays(sources.chunks) if sources.num_chunks else pa.array([], sources.type)
    entries, owner = pc.list_flatten(lists), pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    is_pin = pc.equal(pc.struct_field(entries, "recall"), PINNED).to_numpy(zero_copy_only=False)
    place = pc.struct_field(entries, "rank").to_numpy(zero_copy_only=False)
    pins = np.zeros(len(lists), np.int64)
    pins[owner[is_pin]] = place[is_pin]
    return pins
