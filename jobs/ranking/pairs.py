"""Pairs of user and item among what is known of both: where each stands, and lookups of an item's values in what its
user has. Plain Arrow and numpy.

Users and items come as tables with one row each, of one feature day. What users have of many things is a map column:
`kv_{attribute}_{event}` counts, `recent` (item -> day number of the last event, newest first), `tags`, `list_{recall}`
scores. What items have several of is a list column: `at_{attribute}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.ranking.feature_list import FeatureList

MAP = pa.map_(pa.string(), pa.float64())


@dataclass(frozen=True)
class Neighbours:
    """An item-to-item list: item k of `triggers` is similar to items[ends[k]:ends[k + 1]]."""

    triggers: pa.Array
    ends: np.ndarray
    items: pa.Array
    score: np.ndarray

    @staticmethod
    def of(rows: pa.Table) -> Neighbours:
        """rows: trigger_item_id, item_id, score, in any order."""
        rows = rows.sort_by([("trigger_item_id", "ascending"), ("item_id", "ascending")]).combine_chunks()
        encoded = rows.column("trigger_item_id").combine_chunks().dictionary_encode()
        counts = np.bincount(encoded.indices.to_numpy(), minlength=len(encoded.dictionary))
        ends = np.concatenate([[0], np.cumsum(counts)])
        items = rows.column("item_id").combine_chunks()
        return Neighbours(encoded.dictionary, ends, items, rows.column("score").to_numpy())


@dataclass(frozen=True)
class Described:
    """Users and items of one feature day. day: its number; neighbours: by recall; hot: item -> score, by recall."""

    day: int
    users: pa.Table
    items: pa.Table
    neighbours: Mapping[str, Neighbours]
    hot: Mapping[str, pa.MapArray]  # one row: the list that everyone gets


class Pairs:
    """Where the user and the item of each pair stand, and lookups of an item's values in what its user has."""

    def __init__(self, features: FeatureList, known: Described, user_id: pa.Array, item_id: pa.Array) -> None:
        self.features, self.known, self.user_id, self.item_id = features, known, user_id, item_id
        self.at_user = pc.index_in(user_id, value_set=column_of(known.users, "user_id"))
        self.at_item = pc.index_in(item_id, value_set=column_of(known.items, "item_id"))
        self._values: dict[str, tuple[pa.Array, np.ndarray, np.ndarray]] = {}

    @cached_property
    def user(self) -> np.ndarray:
        """-1: not known."""
        return pc.fill_null(self.at_user, -1).to_numpy()

    @cached_property
    def ids(self) -> tuple[pa.Array, np.ndarray, np.ndarray]:
        """Each pair's own item as its one value."""
        encoded = self.item_id.dictionary_encode()
        return encoded.dictionary, np.arange(len(self.item_id)), encoded.indices.to_numpy().astype(np.int64)

    def values(self, attribute: str) -> tuple[pa.Array, np.ndarray, np.ndarray]:
        """The items' values of an attribute: distinct ones, and per value of a pair its pair and its code."""
        if attribute not in self._values:
            lists = column_of(self.known.items, f"at_{attribute}").take(self.at_item)
            encoded = pc.list_flatten(lists).dictionary_encode()
            pair = pc.list_parent_indices(lists).to_numpy()
            self._values[attribute] = (encoded.dictionary, pair, encoded.indices.to_numpy().astype(np.int64))
        return self._values[attribute]

    def has(self, name: str) -> np.ndarray:
        """Does the pair's user have such a map?"""
        there = column_of(self.known.users, name).is_valid().to_numpy(zero_copy_only=False)
        return np.append(there, False)[self.user]

    def number(self, name: str) -> np.ndarray:
        """A number of the pair's user, DOUBLE; NaN where it is not known."""
        column = column_of(self.known.users, name).cast(pa.float64())
        return np.append(column.to_numpy(zero_copy_only=False), np.nan)[self.user]

    def found(
        self, maps: pa.MapArray, values: tuple[pa.Array, np.ndarray, np.ndarray], missing: float = 0.0
    ) -> np.ndarray:
        """Of each value of each pair, what the user's map says. maps: one row per user."""
        distinct, pair, code = values
        owner = np.repeat(np.arange(len(maps)), np.diff(maps.offsets.to_numpy()))
        key = pc.fill_null(pc.index_in(held(maps.keys, maps), value_set=distinct), -1).to_numpy()
        return looked_up(owner, key, held(maps.items, maps).to_numpy(), self.user[pair], code, len(distinct), missing)

    def mean(self, per_value: np.ndarray, values: tuple[pa.Array, np.ndarray, np.ndarray]) -> np.ndarray:
        """Over the values of each pair; NaN where its item has none."""
        n = len(self.item_id)
        count = np.bincount(values[1], minlength=n)
        total = np.bincount(values[1], weights=per_value, minlength=n)
        return np.divide(total, count, out=np.full(n, np.nan), where=count > 0)

    def total(self, per_value: np.ndarray, values: tuple[pa.Array, np.ndarray, np.ndarray]) -> np.ndarray:
        """Sum over the values of each pair; NaN where its item has none."""
        n = len(self.item_id)
        total = np.bincount(values[1], weights=per_value, minlength=n)
        return np.where(np.bincount(values[1], minlength=n) > 0, total, np.nan)


def looked_up(
    owner: np.ndarray,
    key: np.ndarray,
    number: np.ndarray,
    user: np.ndarray,
    code: np.ndarray,
    size: int,
    missing: float,
) -> np.ndarray:
    """numbers[user, code] of a sparse table given by (owner, key, number); keys below 0 are left out."""
    used = key >= 0
    cell, number = owner[used] * size + key[used], number[used]
    order = np.argsort(cell, kind="stable")
    cell, number = cell[order], number[order]
    if not len(cell):
        return np.full(len(user), missing)
    wanted = user * size + code
    at = np.minimum(np.searchsorted(cell, wanted), len(cell) - 1)
    return np.where((cell[at] == wanted) & (user >= 0), number[at], missing)


def column_of(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def maps_of(table: pa.Table, name: str) -> pa.MapArray:
    return column_of(table, name)


def held(flat: pa.Array, maps: pa.MapArray) -> pa.Array:
    """The part of a map array's keys or items that its rows hold: a slice keeps the whole."""
    offsets = maps.offsets
    return flat.slice(offsets[0].as_py(), offsets[-1].as_py() - offsets[0].as_py()) if len(maps) else flat.slice(0, 0)


def first_of(maps: pa.MapArray, n: int) -> pa.MapArray:
    """The first n entries of each map."""
    starts, sizes = maps.offsets.to_numpy()[:-1], np.diff(maps.offsets.to_numpy())
    kept = np.minimum(sizes, n)
    ends = np.concatenate([[0], np.cumsum(kept)])
    at = np.repeat(starts - ends[:-1], kept) + np.arange(ends[-1])
    return pa.MapArray.from_arrays(
        pa.array(ends, pa.int32()), maps.keys.take(pa.array(at)), maps.items.take(pa.array(at))
    )


def as_float(column: pa.Array | np.ndarray) -> pa.Array:
    """FLOAT; a NaN is missing."""
    if isinstance(column, np.ndarray):
        return pa.array(column.astype(np.float32), from_pandas=True)
    return (
        column.combine_chunks().cast(pa.float32()) if isinstance(column, pa.ChunkedArray) else column.cast(pa.float32())
    )


def places(ids: pa.ChunkedArray) -> np.ndarray:
    """The place of each id among the ids, in byte order: the order in which Spark sorts strings."""
    encoded = ids.combine_chunks().dictionary_encode()
    place = np.empty(len(encoded.dictionary), np.int64)
    place[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(place))
    return place[encoded.indices.to_numpy(zero_copy_only=False)]
