"""Could any key repeat? A cheap answer for many rows: 64-bit hashes in blobs instead of keys in a shuffle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from jobs.lib.spark import F

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

BUCKETS = 64
ROWS_AT_ONCE = 1 << 20


def may_repeat(rows: DataFrame, keys: dict[str, list[str]]) -> set[str]:
    """Names of those keys of which two rows may be the same; of the others no two rows are.

    Equal keys have equal hashes, so nothing is missed; two keys in 2^64 may share a hash, so a name in the answer is
    a suspicion. One pass for all keys. Each task cuts its hashes into buckets by their first bits; the few blobs are
    shuffled, not the rows, and one bucket at a time is sorted.
    """
    hashes = rows.select(*[F.xxhash64(*map(F.col, columns)).alias(name) for name, columns in keys.items()])
    blobs = hashes.mapInArrow(_cut, "key int, bucket int, hashes binary").repartition("key", "bucket")
    found = blobs.mapInArrow(_repeated, "key int").collect()  # at most one row per task and key
    names = list(keys)
    return {names[row["key"]] for row in found}


def _cut(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(b.num_rows for b in held) >= ROWS_AT_ONCE:
            yield _blobs(held)
            held = []
    if held:
        yield _blobs(held)


def _blobs(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """One row per key and bucket: the sorted hashes that fall into it."""
    import pyarrow as pa

    blobs = []
    for key in range(batches[0].num_columns):
        hashes = np.sort(np.concatenate([batch.column(key).to_numpy() for batch in batches]).view(np.uint64))
        cuts = np.searchsorted(hashes >> np.uint64(58), np.arange(BUCKETS + 1, dtype=np.uint64))
        blobs += [hashes[start:end].tobytes() for start, end in zip(cuts, cuts[1:], strict=False)]
    n_keys = batches[0].num_columns
    return pa.RecordBatch.from_arrays(
        [
            pa.array(np.repeat(np.arange(n_keys, dtype=np.int32), BUCKETS)),
            pa.array(np.tile(np.arange(BUCKETS, dtype=np.int32), n_keys)),
            pa.array(blobs, pa.binary()),
        ],
        names=["key", "bucket", "hashes"],
    )


def _repeated(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    buckets: dict[tuple[int, int], list[np.ndarray]] = {}
    for batch in batches:
        for key, bucket, blob in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            buckets.setdefault((key, bucket), []).append(np.frombuffer(blob, dtype=np.uint64))
    repeated = {key for (key, _), parts in buckets.items() if _has_equal(np.sort(np.concatenate(parts)))}
    yield pa.RecordBatch.from_arrays([pa.array(sorted(repeated), pa.int32())], names=["key"])


def _has_equal(ascending: np.ndarray) -> bool:
    return bool((ascending[1:] == ascending[:-1]).any())
