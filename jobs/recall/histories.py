"""Who acted on what: what the item-to-item recalls compute from.

The driver puts groups of whole users together, one at a time and each of about ACTS_PER_GROUP rows, and broadcasts
them: no process holds all pairs, and all that the driver keeps is as large as the catalog.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from jobs.lib.errors import RecflowError
from jobs.lib.spark import F
from jobs.recall.kernels import hash_of_pairs
from jobs.recall.packed_acts import PACKED, Group, Limits, hash_of, packed, put_together, split, unpacked
from jobs.recall.sparse import blocks_of, place, sorted_ids

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import DataFrame, SparkSession

ACTS_PER_GROUP = 10_000_000  # about 0.5 GB in the driver while they are put together, 0.2 GB in a task
MOST = 2**62  # of sums of products of two values, which are int64
LAST_HASH = "code int, last_hash bigint, users bigint, squares bigint"

log = logging.getLogger("recflow")


@dataclass(frozen=True)
class Catalog:
    """The items of all groups, and by item: how many users acted on it, the sum of their squared values, and of their
    numbers of items. codes: of the items of each group. last_hash: in the sample of its users, the largest."""

    items: pa.Array
    codes: list[np.ndarray]
    users: np.ndarray
    squares: np.ndarray
    reached: np.ndarray
    item_hash: np.ndarray
    last_hash: np.ndarray | None = None

    def is_sampled(self, group: Group, seed: int) -> np.ndarray:
        """Which pairs of a group belong to the sample of their item's users."""
        if self.last_hash is None:
            return np.ones(len(group.codes), bool)
        hashes = hash_of_pairs(seed, group.user_hash, self.item_hash, group.codes, group.ends)
        return hashes <= self.last_hash[group.codes]


@dataclass(frozen=True)
class Histories:
    """What tasks are sent: broadcasts of a Catalog and of each Group."""

    shared: Broadcast
    groups: list[Broadcast]

    def loaded(self, catalog: Catalog) -> Iterator[Group]:
        """Each group with codes among all items, one in memory at a time."""
        for shared, codes in zip(self.groups, catalog.codes, strict=True):
            group = once(shared)
            yield replace(group, codes=codes[group.codes])


def once(shared: Broadcast) -> Any:
    """The value of a broadcast. What is loaded would stay with a worker that Spark uses again, so it is let go."""
    value = shared.value
    vars(shared).pop("_value", None)
    return value


def histories(acts: DataFrame, limits: Limits, name: str) -> tuple[Histories, Catalog]:
    """acts: user_id, item_id and, if values count, value BIGINT in millionths; or packed. Rows of a pair are summed."""
    context = acts.sparkSession.sparkContext
    groups, ids, figures, left_out = [], [], [], np.zeros(4, np.int64)
    for tables in _grouped(acts):
        items, group, out = put_together(tables, limits)
        groups.append(context.broadcast(group))
        ids.append(items)
        figures.append(_figures(group, len(items)))
        left_out += out
    catalog = _catalog(ids, figures)
    few, many, cut, kept = left_out.tolist()
    log.info(
        "%s: %s users with %s pairs of %s items; left out: %s users with fewer than %d items; %s with more than %d, %s",
        *(name, f"{kept:,}", f"{int(catalog.users.sum()):,}", f"{len(catalog.items):,}"),
        *(f"{few:,}", limits.at_least, f"{many:,}", limits.at_most),
        f"{cut:,} of whose pairs" if limits.sample_heavy_users else f"with {cut:,} pairs",
    )
    found = Histories(context.broadcast(catalog), groups)
    if limits.users_per_item and (catalog.users > limits.users_per_item).any():
        catalog = _sampled(acts.sparkSession, found, catalog, limits, name)
        found = Histories(context.broadcast(catalog), groups)
    return found, catalog


def _grouped(acts: DataFrame) -> Iterator[list[pa.Table]]:
    """The packed rows of each group of users. Empty groups are left out; there is always one."""
    whole, parts = packed(acts).persist(), None
    try:
        groups = math.ceil((whole.agg(F.sum("acts")).first()[0] or 0) / ACTS_PER_GROUP)
        if groups < 2:
            yield unpacked(whole.select("rows").toArrow().column(0))
            return
        parts = whole.mapInArrow(partial(split, groups), PACKED).persist()
        for part in range(groups):
            yield unpacked(parts.where(F.col("part") == part).select("rows").toArrow().column(0))
    finally:
        for held in filter(None, (whole, parts)):
            held.unpersist()


def _figures(group: Group, n_items: int) -> np.ndarray:
    """By item: users, the sum of their squared values, the sum of their numbers of items."""
    figures = np.zeros((3, n_items), np.int64)
    figures[0] = np.bincount(group.codes, minlength=n_items)
    np.add.at(figures[1], group.codes, group.values**2 if len(group.values) else 1)
    np.add.at(figures[2], group.codes, np.repeat(group.sizes, group.sizes))
    return figures


def _catalog(ids: list[pa.Array], figures: list[np.ndarray]) -> Catalog:
    items = sorted_ids(ids)
    codes = [place(part, items) for part in ids]
    total, rough = np.zeros((3, len(items)), np.int64), np.zeros(len(items))
    for code, part in zip(codes, figures, strict=True):
        total[:, code] += part
        rough[code] += part[1].astype(np.float64)
    if len(items) and rough.max() > MOST:
        item = items[int(rough.argmax())]
        raise RecflowError(f"the squared values of item_id {item} come to more than {MOST:.0e}: lower window_days")
    return Catalog(items, codes, *total, hash_of(items))


def _sampled(session: SparkSession, found: Histories, catalog: Catalog, limits: Limits, name: str) -> Catalog:
    """The catalog with the sample of each item's users, by blocks of the items that have too many."""
    work = np.where(catalog.users > limits.users_per_item, catalog.users, 0)
    bounds = blocks_of(work, ACTS_PER_GROUP)
    task = partial(_last_hashes, found, bounds, limits)
    rows = session.range(0, len(bounds) - 1, 1, len(bounds) - 1).mapInArrow(task, LAST_HASH).toArrow()
    code, last, users, squares = (column.to_numpy() for column in rows.columns)
    last_hash = np.full(len(work), np.iinfo(np.uint64).max, np.uint64)
    last_hash[code] = last.view(np.uint64)
    left = replace(catalog, users=catalog.users.copy(), squares=catalog.squares.copy(), last_hash=last_hash)
    left.users[code], left.squares[code] = users, squares
    lost = int((catalog.users - left.users).sum())
    log.info(
        "%s: %s items have more than %d users; samples of these leave out %s pairs",
        *(name, f"{len(code):,}", limits.users_per_item, f"{lost:,}"),
    )
    return left


def _last_hashes(
    found: Histories, bounds: np.ndarray, limits: Limits, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """LAST_HASH of the items of some blocks that have too many users."""
    catalog = once(found.shared)
    for block in blocks_asked(batches):
        parts = []
        for group in found.loaded(catalog):
            is_asked = (catalog.users > limits.users_per_item)[group.codes]
            is_asked &= (group.codes >= bounds[block]) & (group.codes < bounds[block + 1])
            hashes = hash_of_pairs(limits.seed, group.user_hash, catalog.item_hash, group.codes, group.ends)[is_asked]
            values = group.values if len(group.values) else np.ones(len(group.codes), np.int64)
            parts.append((group.codes[is_asked], hashes, values[is_asked]))
        codes, hashes, values = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = np.lexsort((hashes, codes))
        codes, hashes, values = codes[order], hashes[order], values[order]
        items, starts = np.unique(codes, return_index=True)
        last = hashes[starts + limits.users_per_item - 1]
        is_kept = hashes <= np.repeat(last, np.diff(np.append(starts, len(codes))))
        users, squares = (np.add.reduceat(np.where(is_kept, figure, 0), starts) for figure in (1, values**2))
        columns = [items.astype(np.int32), last.view(np.int64), users.astype(np.int64), squares]
        yield pa.RecordBatch.from_arrays(
            [pa.array(c) for c in columns], names=["code", "last_hash", "users", "squares"]
        )


def blocks_asked(batches: Iterable[pa.RecordBatch]) -> Iterator[int]:
    return (number for batch in batches for number in batch.column(0).to_pylist())
