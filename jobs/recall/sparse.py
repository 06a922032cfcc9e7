"""Sparse kernels of the collaborative recalls: who acted on what as a matrix, and the best of each row of a product.

Spark shuffles rows to their user and hands whole partitions to these functions as Arrow; products are scipy CSR, block
by block, because a self-join in SQL makes one row per pair of items of each user. Numbers are int64 or float64 in an
order that does not depend on partitions, so results are bit-equal for any order of input and number of partitions.
Item codes follow the byte order of item ids, the order in which Spark sorts strings: a lower code wins a tie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from jobs.lib.errors import RecflowError
from jobs.lib.spark import F

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

COLLECTED_BYTES = 2 << 30  # of coded pairs: 130 M similarities
ROWS_PER_BATCH = 100_000
PACKED_SIMILARITIES = "trigger_ids array<string>, trigger_codes binary, ids array<string>, codes binary, scores binary"


def coded(batches: list[pa.RecordBatch], columns: list[str]) -> tuple[pa.Table, dict[str, tuple[pa.Array, np.ndarray]]]:
    """A partition as one table, and for each string column its distinct values in byte order with each row's code."""
    rows = pa.Table.from_batches(batches)
    result = {}
    for name in columns:
        encoded = rows.column(name).dictionary_encode().unify_dictionaries().combine_chunks()
        order = pc.sort_indices(encoded.dictionary).to_numpy()
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        result[name] = encoded.dictionary.take(pa.array(order)), place[encoded.indices.to_numpy()]
    return rows, result


@dataclass(frozen=True)
class Similarities:
    """An i2i table as a matrix: `scores[trigger, item]`, both coded by `items`."""

    items: pa.Array
    scores: sp.csr_matrix


def pack_similarities(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One row (PACKED_SIMILARITIES) for a partition: the ids and codes of either side, and the scores."""
    present = [batch for batch in batches if batch.num_rows]
    if not present:
        return
    rows, codes = coded(present, ["trigger_item_id", "item_id"])
    (triggers, trigger), (items, item) = codes["trigger_item_id"], codes["item_id"]
    score = rows.column("score").to_numpy().astype(np.float64)
    yield _packed_row(trigger_ids=triggers, trigger_codes=trigger, ids=items, codes=item, scores=score)


def similarities(similar: DataFrame) -> Similarities:
    """A (trigger_item_id, item_id, score) table, collected in coded form: 16 bytes a row."""
    parts = _parts(similar.mapInArrow(pack_similarities, PACKED_SIMILARITIES), "lower top_n of the i2i recall")
    items = sorted_ids([part[name].values for part in parts for name in ("trigger_ids", "ids")])

    def joined(ids: str, codes: str) -> np.ndarray:
        found = [place(part[ids].values, items)[_numbers(part[codes], np.int32)] for part in parts]
        return np.concatenate([np.empty(0, np.int32), *found])

    score = np.concatenate([np.empty(0), *[_numbers(part["scores"], np.float64) for part in parts]])
    cells = (joined("trigger_ids", "trigger_codes"), joined("ids", "codes"))
    return Similarities(items, sp.csr_matrix((score, cells), shape=(len(items), len(items))))


def balanced(similar: Similarities) -> Similarities:
    """Each trigger's similarities over their sum; summed in item order, so the bits do not depend on partitions."""
    similar.scores.sort_indices()
    starts, has_any = similar.scores.indptr[:-1], np.diff(similar.scores.indptr) > 0
    totals = np.zeros(len(starts))
    totals[has_any] = np.add.reduceat(similar.scores.data, starts[has_any]) if has_any.any() else 0
    shares = np.divide(1.0, totals, out=np.ones(len(totals)), where=totals > 0)
    values = similar.scores.data * np.repeat(shares, np.diff(similar.scores.indptr))
    return Similarities(
        similar.items, sp.csr_matrix((values, similar.scores.indices, similar.scores.indptr), similar.scores.shape)
    )


def _packed_row(**columns: pa.Array | np.ndarray) -> pa.RecordBatch:
    """A record batch of one row: ids as a list, numbers as their bytes."""
    arrays = [
        pa.array([column.tobytes()], pa.binary())
        if isinstance(column, np.ndarray)
        else pa.array([column.to_pylist()], pa.list_(pa.string()))
        for column in columns.values()
    ]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _parts(packed: DataFrame, advice: str) -> list[dict[str, pa.Scalar]]:
    """Packed partitions, collected. Raises RecflowError with the advice when they would not fit one process."""
    held = packed.persist()
    try:
        coded_columns = [F.octet_length(name) for name, kind in packed.dtypes if kind == "binary"]
        size = held.select(F.sum(sum(coded_columns, F.lit(0).cast("bigint")))).first()[0] or 0
        if size > COLLECTED_BYTES:
            raise RecflowError(f"{size:,} bytes are to be held in one process, at most {COLLECTED_BYTES:,}: {advice}")
        table = held.toArrow()
    finally:
        held.unpersist()
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*table.columns, strict=True)]


def _numbers(column: pa.Scalar, dtype: type) -> np.ndarray:
    return np.frombuffer(column.as_buffer(), dtype)


def plain(column: pa.ChunkedArray) -> pa.Array:
    """A column of ids as one array of text."""
    return column.combine_chunks().cast(pa.string()) if len(column) else pa.array([], pa.string())


def sorted_ids(parts: list[pa.Array]) -> pa.Array:
    """The distinct ids of all parts in byte order."""
    distinct = pc.unique(pa.concat_arrays([part.cast(pa.string()) for part in parts] or [pa.array([], pa.string())]))
    return distinct.take(pc.sort_indices(distinct))


def place(ids: pa.Array, items: pa.Array) -> np.ndarray:
    """The code of each id within `items`; -1 for one that is not there."""
    return pc.fill_null(pc.index_in(ids.cast(pa.string()), value_set=items), -1).to_numpy().astype(np.int32)


def blocks_of(work: np.ndarray, budget: int) -> np.ndarray:
    """Consecutive blocks of rows, each of about `budget` work (or one row): the bounds, len(blocks) + 1 of them."""
    number = np.cumsum(work, dtype=np.int64) // budget
    starts = np.flatnonzero(np.diff(number, prepend=-1)) if len(work) else np.empty(0, np.int64)
    return np.append(starts, len(work)).astype(np.int64)


@dataclass(frozen=True)
class Best:
    """The chosen cells of a matrix: row, column, score and 1-based rank within the row, in that order."""

    row: np.ndarray
    column: np.ndarray
    score: np.ndarray
    rank: np.ndarray


def best_of_rows(scores: sp.csr_matrix, top_n: int, excluded: sp.csr_matrix) -> Best:
    """The top_n cells of each row by score descending, then column; cells of `excluded` (same shape) are left out."""
    is_excluded = np.zeros(scores.shape[1], bool)
    columns, values, lengths = [], [], np.zeros(scores.shape[0], np.int64)
    for row in range(scores.shape[0]):
        start, end = scores.indptr[row], scores.indptr[row + 1]
        out = excluded.indices[excluded.indptr[row] : excluded.indptr[row + 1]]
        is_excluded[out] = True
        column, value = scores.indices[start:end], scores.data[start:end]
        kept = ~is_excluded[column]
        column, value = column[kept], value[kept]
        is_excluded[out] = False
        if len(value) > top_n:
            kept = value >= np.partition(value, len(value) - top_n)[len(value) - top_n]
            column, value = column[kept], value[kept]
        order = np.lexsort((column, -value))[:top_n]
        columns.append(column[order])
        values.append(value[order])
        lengths[row] = len(order)
    starts = np.cumsum(lengths) - lengths
    return Best(
        row=np.repeat(np.arange(scores.shape[0]), lengths),
        column=np.concatenate([np.empty(0, np.int32), *columns]),
        score=np.concatenate([np.empty(0, np.float64), *values]),
        rank=(np.arange(lengths.sum()) - np.repeat(starts, lengths) + 1).astype(np.int32),
    )


def i2i_rows(
    items: pa.Array, start: int, lengths: np.ndarray, codes: np.ndarray, scores: np.ndarray
) -> Iterator[pa.RecordBatch]:
    """The rows of an i2i table: triggers start, start + 1, ... have so many similar items each, best first."""
    firsts = np.cumsum(lengths) - lengths
    rows = pa.table(
        {
            "trigger_item_id": items.take(pa.array(np.repeat(np.arange(start, start + len(lengths)), lengths))),
            "item_id": items.take(pa.array(codes)),
            "score": pa.array(scores),
            "rank": pa.array((np.arange(len(codes)) - np.repeat(firsts, lengths) + 1).astype(np.int32)),
        }
    )
    yield from rows.to_batches(max_chunksize=ROWS_PER_BATCH)
