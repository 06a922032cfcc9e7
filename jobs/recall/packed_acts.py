"""Acts in coded form: packed by the task that reads them, put together into groups of whole users.

Rows cross from the JVM to a worker once and leave it as packed bytes: Spark moves bytes well and rows slowly. Users
stand in the order of the hash of their id, and a group is a range of hashes, so neither partitions nor the number of
groups decide an order. Item codes follow the byte order of item ids, the order in which Spark sorts strings: a lower
code wins a tie.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.recall.kernels import hash_of_pairs, hash_of_strings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ACTS_HELD = 2_000_000  # rows that a task holds before it packs them
UNIT, LARGEST = 10_000, 1_000_000  # values are counted in hundredths, and at most as 10,000
PACKED = "part int, acts bigint, rows binary"
_NO_ACTS = pa.table({name: pa.array([], pa.string()).dictionary_encode() for name in ("user_id", "item_id")})


@dataclass(frozen=True)
class Limits:
    """Which users count, and how many of an item's. Samples are those with the least hash of (seed, user, item)."""

    at_least: int
    at_most: int
    sample_heavy_users: bool = False  # to at_most items, instead of leaving them out
    users_per_item: int | None = None
    seed: int = 7


@dataclass(frozen=True)
class Group:
    """Some users with all their items in CSR form: codes ascend within a user. `values` are empty where all are 1."""

    codes: np.ndarray
    ends: np.ndarray
    values: np.ndarray
    user_hash: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        return np.diff(self.ends)

    def only(self, is_kept: np.ndarray) -> Group:
        """The pairs that are kept; a user may end up without any."""
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_kept)])
        values = self.values[is_kept] if len(self.values) else self.values
        return replace(self, codes=self.codes[is_kept], ends=before[self.ends], values=values)

    def users(self, is_kept: np.ndarray) -> Group:
        """The users who are kept."""
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.sizes[is_kept])])
        kept = self.only(np.repeat(is_kept, self.sizes))
        return replace(kept, ends=ends, user_hash=self.user_hash[is_kept])


def pack(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of PACKED: some rows at a time, ids as codes of a dictionary of their own, in Arrow's stream format."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(part.num_rows for part in held) >= ACTS_HELD:
            yield _packed(0, pa.Table.from_batches(held))
            held = []
    if sum(part.num_rows for part in held):
        yield _packed(0, pa.Table.from_batches(held))


def packed(acts: DataFrame) -> DataFrame:
    """Rows of PACKED from rows of user_id, item_id and perhaps value; what is packed stays so."""
    return acts if "rows" in acts.columns else acts.mapInArrow(pack, PACKED)


def split(parts: int, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Packed rows again, each with only the users of one part."""
    for batch in batches:
        for rows in unpacked(batch.column("rows")):
            users = rows.column("user_id").combine_chunks()
            part = ((hash_of(users.dictionary) >> np.uint64(32)) * np.uint64(parts)) >> np.uint64(32)
            part_of_row = part[users.indices.to_numpy()]
            for number in np.unique(part_of_row):
                yield _packed(int(number), rows.filter(pa.array(part_of_row == number)))


def unpacked(column: pa.Array | pa.ChunkedArray) -> list[pa.Table]:
    return [pa.ipc.open_stream(rows.as_buffer()).read_all() for rows in column]


def hash_of(ids: pa.Array) -> np.ndarray:
    ids = ids.cast(pa.large_string())
    _, offsets, data = ids.buffers()
    bounds = np.frombuffer(offsets, np.int64)[ids.offset : ids.offset + len(ids) + 1]
    return hash_of_strings(bounds, np.frombuffer(data or b"", np.uint8))


def put_together(tables: list[pa.Table], limits: Limits) -> tuple[pa.Array, Group, np.ndarray]:
    """The items that remain in byte order, the users who remain, and counts: users with too few items, with too many,
    pairs that the latter lost, users who remain."""
    rows = pa.concat_tables(tables or [_NO_ACTS]).unify_dictionaries().combine_chunks()
    user_ids, item_ids = (rows.column(name).combine_chunks() for name in ("user_id", "item_id"))
    items, item = _in_order(item_ids, pc.sort_indices(item_ids.dictionary).to_numpy())
    hashes = hash_of(user_ids.dictionary)
    users, user = _in_order(user_ids, _by_hash(user_ids.dictionary, hashes))
    value = rows.column("value").to_numpy() if "value" in rows.column_names else None
    pairs, values = _distinct(user.astype(np.int64) * len(items) + item, value)
    sizes = np.bincount(pairs // max(len(items), 1), minlength=len(users))
    group = Group(
        codes=(pairs % max(len(items), 1)).astype(np.int32),
        ends=np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]),
        values=values,
        user_hash=np.sort(hashes),
    )
    is_heavy = sizes > limits.at_most
    is_kept = np.repeat((sizes >= limits.at_least) & ~is_heavy, sizes)
    if limits.sample_heavy_users and is_heavy.any():
        is_kept |= _sample_of_users(group, np.repeat(is_heavy, sizes), hash_of(items), limits)
    kept = group.only(is_kept)
    lost = np.repeat(is_heavy, sizes).sum() - is_kept[np.repeat(is_heavy, sizes)].sum()
    kept = kept.users(kept.sizes > 0)
    counts = [((sizes > 0) & (sizes < limits.at_least)).sum(), is_heavy.sum(), lost, len(kept.sizes)]
    is_used = np.bincount(kept.codes, minlength=len(items)) > 0
    codes = (np.cumsum(is_used) - 1)[kept.codes].astype(np.int32)
    return items.filter(pa.array(is_used)), replace(kept, codes=codes), np.array(counts)


def _packed(part: int, rows: pa.Table) -> pa.RecordBatch:
    for number, name in enumerate(rows.column_names):
        if pa.types.is_string(rows.column(name).type):
            rows = rows.set_column(number, name, rows.column(name).dictionary_encode())
    rows = rows.unify_dictionaries()
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows.combine_chunks())
    packed = {"part": np.array([part], np.int32), "acts": np.array([rows.num_rows], np.int64)}
    return pa.RecordBatch.from_pydict(packed | {"rows": [sink.getvalue()]})


def _in_order(ids: pa.DictionaryArray, order: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """The dictionary in this order, and each row's place in it."""
    place_of = np.empty(len(order), np.int32)
    place_of[order] = np.arange(len(order), dtype=np.int32)
    return ids.dictionary.take(pa.array(order)), place_of[ids.indices.to_numpy()]


def _by_hash(ids: pa.Array, hashes: np.ndarray) -> np.ndarray:
    order = np.argsort(hashes)
    if (np.diff(hashes[order].view(np.int64)) == 0).any():  # two ids with one hash: by id
        by_id = pc.sort_indices(ids).to_numpy()
        order = by_id[np.argsort(hashes[by_id], kind="stable")]
    return order


def _distinct(pairs: np.ndarray, value: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The distinct pairs, ascending, and their values in units; pairs whose value comes to nothing are none."""
    if value is None:
        pairs = np.sort(pairs)
        return pairs[np.diff(pairs, prepend=-1) != 0], np.empty(0, np.int64)
    order = np.argsort(pairs, kind="stable")
    pairs = pairs[order]
    starts = np.flatnonzero(np.diff(pairs, prepend=-1))
    sums = np.add.reduceat(value[order], starts) if len(starts) else np.empty(0, np.int64)
    units = np.minimum((sums + UNIT // 2) // UNIT, LARGEST)
    return pairs[starts][units > 0], units[units > 0]


def _sample_of_users(group: Group, is_heavy: np.ndarray, item_hash: np.ndarray, limits: Limits) -> np.ndarray:
    """Which pairs of heavy users are in the sample of at_most of their items."""
    chosen = np.zeros(len(is_heavy), bool)
    heavy = np.flatnonzero(is_heavy)
    user = np.repeat(np.arange(len(group.sizes)), group.sizes)[heavy]
    hashes = hash_of_pairs(limits.seed, group.user_hash, item_hash, group.codes, group.ends)[heavy]
    order = np.lexsort((hashes, user))
    rank = np.arange(len(heavy)) - np.searchsorted(user, user[order])
    chosen[heavy[order[rank < limits.at_most]]] = True
    return chosen
