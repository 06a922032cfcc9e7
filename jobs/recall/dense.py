"""Tables of vectors as matrices, and the best cells of the rows of a dense matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.lib.errors import RecflowError
from jobs.lib.spark import F
from jobs.recall.sparse import Best

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CELLS = 4_000_000  # products that a task holds at a time
HELD_BYTES = 2 << 30  # of one side's vectors: about 6 M items with 40 factors


@dataclass(frozen=True)
class Vectors:
    """matrix[k] is the vector of ids[k]; ids in byte order."""

    ids: pa.Array
    matrix: np.ndarray

    @property
    def transposed(self) -> np.ndarray:
        return np.ascontiguousarray(self.matrix.T)


def vectors_of(rows: DataFrame, side: str, advice: str) -> Vectors:
    """One side of a recall_vectors table, collected. Raises RecflowError with the advice when it would not fit."""
    held = rows.where(F.col("side") == side).select("id", "vector").persist()
    try:
        size = 8 * (held.select(F.sum(F.size("vector").cast("bigint"))).first()[0] or 0)
        if size > HELD_BYTES:
            raise RecflowError(f"{size:,} bytes of {side} vectors, at most {HELD_BYTES:,} in one process: {advice}")
        table = held.toArrow().combine_chunks()
    finally:
        held.unpersist()
    ids = table.column("id").cast(pa.string()).combine_chunks()
    order = pc.sort_indices(ids)
    return Vectors(ids.take(order), matrix_of(table.column("vector"))[order.to_numpy()])


def matrix_of(vectors: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A column of vectors, all of one length, as rows."""
    flat = pc.list_flatten(vectors).to_numpy().astype(np.float64)
    return flat.reshape(len(vectors), -1) if len(vectors) else np.empty((0, 0))


def best_of_dense(scores: np.ndarray, top_n: int, is_allowed: np.ndarray) -> Best:
    """The top_n allowed cells of each row by score descending, then column. What is not allowed is overwritten."""
    scores[~is_allowed] = -np.inf
    lengths = np.minimum(is_allowed.sum(axis=1), top_n)
    columns, values = [], []
    for row, length in zip(scores, lengths, strict=True):
        least = np.partition(row, len(row) - length)[len(row) - length] if length else np.inf
        column = np.flatnonzero(row >= least)
        column = column[np.argsort(-row[column], kind="stable")][:length]
        columns.append(column)
        values.append(row[column])
    starts = np.cumsum(lengths) - lengths
    return Best(
        row=np.repeat(np.arange(len(scores)), lengths),
        column=np.concatenate([np.empty(0, np.int64), *columns]),
        score=np.concatenate([np.empty(0), *values]),
        rank=(np.arange(lengths.sum()) - np.repeat(starts, lengths) + 1).astype(np.int32),
    )


def best_items(
    users: pa.Array,
    matrix: np.ndarray,
    items: Vectors,
    barred: tuple[np.ndarray, np.ndarray],
    count: int,
    may_be_listed: np.ndarray | None = None,
) -> Iterator[pa.RecordBatch]:
    """(user_id, item_id, score, rank): the items of the largest inner products above 0 with each user's row of matrix.

    barred: rows and item codes that are left out, duplicates welcome; may_be_listed: a mask of the items, None for all.
    """
    from jobs.recall.vector_kernels import inner_products

    if not len(users) or not len(items.ids):
        return
    transposed = items.transposed
    user, item = barred
    order = np.argsort(user, kind="stable")
    user, item = user[order], item[order]
    step = max(1, CELLS // len(items.ids))
    for start in range(0, len(users), step):
        scores = inner_products(matrix[start : start + step], transposed)
        is_allowed = scores > 0
        if may_be_listed is not None:
            is_allowed &= may_be_listed
        first, last = np.searchsorted(user, [start, start + step])
        is_allowed[user[first:last] - start, item[first:last]] = False
        best = best_of_dense(scores, count, is_allowed)
        yield pa.RecordBatch.from_arrays(
            [users.take(pa.array(best.row + start)), items.ids.take(pa.array(best.column)), best.score, best.rank],
            names=["user_id", "item_id", "score", "rank"],
        )
