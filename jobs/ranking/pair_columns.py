"""The model's columns of pairs of user and item: the one definition that training samples, daily lists and readers of a
published bundle all go through. Plain Arrow and numpy, free of Spark.

Users and items come as tables with one row each, of one feature day; pairs say which rows belong together. What users
have of many things is a map column: `kv_{attribute}_{event}` counts, `recent` (item -> day number of the last event,
newest first), `tags`, `list_{recall}` scores. What items have several of is a list column: `at_{attribute}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.lib.feature_operators import (
    Combo,
    DaysSince,
    History,
    Id,
    Lookup,
    Match,
    Raw,
    RecallScore,
    Similarity,
    TagOverlap,
    TextOverlap,
)
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


def pair_columns(
    features: FeatureList, known: Described, user_id: pa.Array, item_id: pa.Array, context: Mapping[str, pa.Array]
) -> pa.Table:
    """The model's columns, numbers as FLOAT, of each pair; what nothing is known about is NULL.

    context: hour, weekday and the context's categories, of each pair.
    """
    pairs = _Pairs(features, known, user_id, item_id)
    columns: dict[str, pa.Array] = dict(context)
    for name in (*features.of_user, *features.user_categories):
        columns[name] = _column(known.users, name).take(pairs.at_user)
    for name in (*features.of_item, *features.item_categories):
        columns[name] = _column(known.items, name).take(pairs.at_item)
    for operator in features.operators:
        made = [*operator.numbers, *operator.texts]
        if not isinstance(operator, DaysSince):
            columns |= dict(zip(made, _OPERATORS[type(operator)](operator, pairs, columns), strict=True))
    table = {name: _float(columns[name]) for name in features.numbers}
    return pa.table(table | {name: columns[name] for name in features.categories})


class _Pairs:
    """Where the user and the item of each pair stand, and lookups of an item's values in what its user has."""

    def __init__(self, features: FeatureList, known: Described, user_id: pa.Array, item_id: pa.Array) -> None:
        self.features, self.known, self.user_id, self.item_id = features, known, user_id, item_id
        self.at_user = pc.index_in(user_id, value_set=_column(known.users, "user_id"))
        self.at_item = pc.index_in(item_id, value_set=_column(known.items, "item_id"))
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
            lists = _column(self.known.items, f"at_{attribute}").take(self.at_item)
            encoded = pc.list_flatten(lists).dictionary_encode()
            pair = pc.list_parent_indices(lists).to_numpy()
            self._values[attribute] = (encoded.dictionary, pair, encoded.indices.to_numpy().astype(np.int64))
        return self._values[attribute]

    def has(self, name: str) -> np.ndarray:
        """Does the pair's user have such a map?"""
        there = _column(self.known.users, name).is_valid().to_numpy(zero_copy_only=False)
        return np.append(there, False)[self.user]

    def number(self, name: str) -> np.ndarray:
        """A number of the pair's user, DOUBLE; NaN where it is not known."""
        column = _column(self.known.users, name).cast(pa.float64())
        return np.append(column.to_numpy(zero_copy_only=False), np.nan)[self.user]

    def found(
        self, maps: pa.MapArray, values: tuple[pa.Array, np.ndarray, np.ndarray], missing: float = 0.0
    ) -> np.ndarray:
        """Of each value of each pair, what the user's map says. maps: one row per user."""
        distinct, pair, code = values
        owner = np.repeat(np.arange(len(maps)), np.diff(maps.offsets.to_numpy()))
        key = pc.fill_null(pc.index_in(_held(maps.keys, maps), value_set=distinct), -1).to_numpy()
        return _looked_up(owner, key, _held(maps.items, maps).to_numpy(), self.user[pair], code, len(distinct), missing)

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


def _looked_up(
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


def _lookup(operator: Lookup, pairs: _Pairs, columns: dict[str, pa.Array]) -> list[np.ndarray]:
    windows = pairs.features.windows
    event, values = windows.preference[0], pairs.values(operator.of)
    name = f"kv_{operator.of}_{event}"
    acted = pairs.found(_maps(pairs.known.users, name), values)
    has_acted = pairs.has(name)
    made = {"cnt": np.where(has_acted, pairs.mean(acted, values), np.nan)}
    made["share"] = made["cnt"] / pairs.number(f"total_{operator.of}")
    if windows.seen_event is not None:
        seen_name = f"kv_{operator.of}_{windows.seen_event}"
        seen = pairs.found(_maps(pairs.known.users, seen_name), values)
        is_known = pairs.has(seen_name) | has_acted
        made["seen"] = np.where(is_known, pairs.mean(seen, values), np.nan)
        if pairs.features.own_rate in pairs.features.of_user:
            own, w0 = pairs.number(pairs.features.own_rate), operator.smoothing
            rate = (acted + w0 * own[values[1]]) / (seen + w0)
            made["rate"] = np.where(is_known, pairs.mean(rate, values), np.nan)
            made["lift"] = made["rate"] - own
    return [made[stat] for stat in operator.stats]


def _match(operator: Match, pairs: _Pairs, columns: dict[str, pa.Array]) -> list[np.ndarray]:
    name = f"kv_{operator.of}_{pairs.features.windows.preference[0]}"
    values = pairs.values(operator.of)
    top = _first(_maps(pairs.known.users, name), operator.top)
    hits = pairs.total((pairs.found(top, values) > 0).astype(np.float64), values)
    return [np.where(pairs.has(name), np.where(np.isnan(hits), np.nan, hits > 0), np.nan)]


def _tag_overlap(operator: TagOverlap, pairs: _Pairs, columns: dict[str, pa.Array]) -> list[np.ndarray]:
    values, maps = pairs.values(operator.of), _maps(pairs.known.users, "tags")
    shared = np.where(pairs.has("tags"), pairs.total(pairs.found(maps, values), values), np.nan)
    own = np.append(np.diff(maps.offsets.to_numpy()), 0)[pairs.user]
    theirs = np.bincount(values[1], minlength=len(shared))
    return [shared, shared / (own + theirs - shared)]


def _text_overlap(operator: TextOverlap, pairs: _Pairs, columns: dict[str, pa.Array]) -> list[np.ndarray]:
    """The share of the title's words; recent items that are no longer listed have no title."""
    users, items = pairs.known.users, pairs.known.items
    recent = _first(_maps(users, "recent"), operator.last)
    owner = np.repeat(np.arange(len(recent)), np.diff(recent.offsets.to_numpy()))
    at_item = pc.index_in(_held(recent.keys, recent), value_set=_column(items, "item_id"))
    words = _column(items, "at_title_words").take(at_item)
    values = pairs.values("title_words")
    key = pc.fill_null(pc.index_in(pc.list_flatten(words), value_set=values[0]), -1).to_numpy()
    of_word = owner[pc.list_parent_indices(words).to_numpy()]
    found = _looked_up(of_word, key, np.ones(len(key)), pairs.user[values[1]], values[2], len(values[0]), 0.0)
    return [np.where(pairs.has("recent"), pairs.mean(found, values), np.nan)]


def _history(operator: History, pairs: _Pairs, columns: dict[str, pa.Array]) -> list[np.ndarray]:
    return [pairs.known.day - pairs.found(_maps(pairs.known.users, "recent"), pairs.ids, np.nan)]


def _similarity(operator: Similarity, pairs: _Pairs, columns: dict[str, pa.Array]) -> list[np.ndarray]:
    """0 where none of the user's last items is similar to it; missing for users without any."""
    of, distinct = pairs.known.neighbours[operator.of], pairs.ids[0]
    recent = _first(_maps(pairs.known.users, "recent"), operator.last)
    owner = np.repeat(np.arange(len(recent)), np.diff(recent.offsets.to_numpy()))
    trigger = pc.fill_null(pc.index_in(_held(recent.keys, recent), value_set=of.triggers), -1).to_numpy()
    owner, trigger = owner[trigger >= 0], trigger[trigger >= 0]
    counts = np.diff(of.ends)[trigger]
    at = np.repeat(of.ends[trigger] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts) + np.arange(counts.sum())
    code = pc.fill_null(pc.index_in(of.items, value_set=distinct), -1).to_numpy()[at]
    used = code >= 0
    cell, score = np.repeat(owner, counts)[used] * len(distinct) + code[used], of.score[at[used]]
    cells, position = np.unique(cell, return_inverse=True)
    best = np.zeros(len(cells))
    np.maximum.at(best, position, score)
    total = np.bincount(position, weights=score, minlength=len(cells))
    users, codes = np.divmod(cells, max(len(distinct), 1))
    has = pairs.has("recent")
    looked = [_looked_up(users, codes, n, pairs.user, pairs.ids[2], len(distinct), 0.0) for n in (best, total)]
    return [np.where(has, found, np.nan) for found in looked]


def _recall_score(operator: RecallScore, pairs: _Pairs, columns: dict[str, pa.Array]) -> list[np.ndarray]:
    if operator.of in pairs.known.hot:
        everyones = pairs.known.hot[operator.of]
        at = pc.index_in(pairs.item_id, value_set=_held(everyones.keys, everyones))
        return [_held(everyones.items, everyones).take(at).to_numpy(zero_copy_only=False)]
    return [pairs.found(_maps(pairs.known.users, f"list_{operator.of}"), pairs.ids, np.nan)]


def _id(operator: Id, pairs: _Pairs, columns: dict[str, pa.Array]) -> list[pa.Array]:
    if operator.of == "author":
        return [_column(pairs.known.items, "author").take(pairs.at_item)]
    return [pairs.user_id if operator.of == "user_id" else pairs.item_id]


def _raw(operator: Raw, pairs: _Pairs, columns: dict[str, pa.Array]) -> list[np.ndarray]:
    """The z-score is taken where the model is applied, with the mean and deviation of its own training rows."""
    x = _float(columns[operator.of]).to_numpy(zero_copy_only=False).astype(np.float64)
    if operator.transform == "log":
        return [np.sign(x) * np.log1p(np.abs(x))]
    if operator.transform == "bucket":
        return [np.where(np.isnan(x), np.nan, np.searchsorted(operator.bounds, x, side="left"))]
    return [x]


def _combo(operator: Combo, pairs: _Pairs, columns: dict[str, pa.Array]) -> list[pa.Array]:
    one, other = (columns[name] for name in operator.of)
    return [pc.binary_join_element_wise(one, other, "|", null_handling="emit_null")]


_OPERATORS = {
    Id: _id, Raw: _raw, Combo: _combo, Lookup: _lookup, Match: _match, TagOverlap: _tag_overlap,
    TextOverlap: _text_overlap, History: _history, Similarity: _similarity, RecallScore: _recall_score,
}  # fmt: skip


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _maps(table: pa.Table, name: str) -> pa.MapArray:
    return _column(table, name)


def _held(flat: pa.Array, maps: pa.MapArray) -> pa.Array:
    """The part of a map array's keys or items that its rows hold: a slice keeps the whole."""
    offsets = maps.offsets
    return flat.slice(offsets[0].as_py(), offsets[-1].as_py() - offsets[0].as_py()) if len(maps) else flat.slice(0, 0)


def _first(maps: pa.MapArray, n: int) -> pa.MapArray:
    """The first n entries of each map."""
    starts, sizes = maps.offsets.to_numpy()[:-1], np.diff(maps.offsets.to_numpy())
    kept = np.minimum(sizes, n)
    ends = np.concatenate([[0], np.cumsum(kept)])
    at = np.repeat(starts - ends[:-1], kept) + np.arange(ends[-1])
    return pa.MapArray.from_arrays(
        pa.array(ends, pa.int32()), maps.keys.take(pa.array(at)), maps.items.take(pa.array(at))
    )


def _float(column: pa.Array | np.ndarray) -> pa.Array:
    """FLOAT; a NaN is missing."""
    if isinstance(column, np.ndarray):
        return pa.array(column.astype(np.float32), from_pandas=True)
    return (
        column.combine_chunks().cast(pa.float32()) if isinstance(column, pa.ChunkedArray) else column.cast(pa.float32())
    )
