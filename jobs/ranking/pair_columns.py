"""The model's columns of pairs of user and item: the one definition that training samples, daily lists and readers of a
published bundle all go through. Plain Arrow and numpy, free of Spark.

What users and items are known by stands in pairs.py.
"""

from __future__ import annotations

from collections.abc import Mapping

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
from jobs.ranking.pairs import Described, Pairs, as_float, column_of, first_of, held, looked_up, maps_of


def pair_columns(
    features: FeatureList, known: Described, user_id: pa.Array, item_id: pa.Array, context: Mapping[str, pa.Array]
) -> pa.Table:
    """The model's columns, numbers as FLOAT, of each pair; what nothing is known about is NULL.

    context: hour, weekday and the context's categories, of each pair.
    """
    pairs = Pairs(features, known, user_id, item_id)
    columns: dict[str, pa.Array] = dict(context)
    for name in (*features.of_user, *features.user_categories):
        columns[name] = column_of(known.users, name).take(pairs.at_user)
    for name in (*features.of_item, *features.item_categories):
        columns[name] = column_of(known.items, name).take(pairs.at_item)
    for operator in features.operators:
        made = [*operator.numbers, *operator.texts]
        if not isinstance(operator, DaysSince):
            columns |= dict(zip(made, _OPERATORS[type(operator)](operator, pairs, columns), strict=True))
    table = {name: as_float(columns[name]) for name in features.numbers}
    return pa.table(table | {name: columns[name] for name in features.categories})


def _lookup(operator: Lookup, pairs: Pairs, columns: dict[str, pa.Array]) -> list[np.ndarray]:
    windows = pairs.features.windows
    event, values = windows.preference[0], pairs.values(operator.of)
    name = f"kv_{operator.of}_{event}"
    acted = pairs.found(maps_of(pairs.known.users, name), values)
    has_acted = pairs.has(name)
    made = {"cnt": np.where(has_acted, pairs.mean(acted, values), np.nan)}
    made["share"] = made["cnt"] / pairs.number(f"total_{operator.of}")
    if windows.seen_event is not None:
        seen_name = f"kv_{operator.of}_{windows.seen_event}"
        seen = pairs.found(maps_of(pairs.known.users, seen_name), values)
        is_known = pairs.has(seen_name) | has_acted
        made["seen"] = np.where(is_known, pairs.mean(seen, values), np.nan)
        if pairs.features.own_rate in pairs.features.of_user:
            own, w0 = pairs.number(pairs.features.own_rate), operator.smoothing
            rate = (acted + w0 * own[values[1]]) / (seen + w0)
            made["rate"] = np.where(is_known, pairs.mean(rate, values), np.nan)
            made["lift"] = made["rate"] - own
    return [made[stat] for stat in operator.stats]


def _match(operator: Match, pairs: Pairs, columns: dict[str, pa.Array]) -> list[np.ndarray]:
    name = f"kv_{operator.of}_{pairs.features.windows.preference[0]}"
    values = pairs.values(operator.of)
    top = first_of(maps_of(pairs.known.users, name), operator.top)
    hits = pairs.total((pairs.found(top, values) > 0).astype(np.float64), values)
    return [np.where(pairs.has(name), np.where(np.isnan(hits), np.nan, hits > 0), np.nan)]


def _tag_overlap(operator: TagOverlap, pairs: Pairs, columns: dict[str, pa.Array]) -> list[np.ndarray]:
    values, maps = pairs.values(operator.of), maps_of(pairs.known.users, "tags")
    shared = np.where(pairs.has("tags"), pairs.total(pairs.found(maps, values), values), np.nan)
    own = np.append(np.diff(maps.offsets.to_numpy()), 0)[pairs.user]
    theirs = np.bincount(values[1], minlength=len(shared))
    return [shared, shared / (own + theirs - shared)]


def _text_overlap(operator: TextOverlap, pairs: Pairs, columns: dict[str, pa.Array]) -> list[np.ndarray]:
    """The share of the title's words; recent items that are no longer listed have no title."""
    users, items = pairs.known.users, pairs.known.items
    recent = first_of(maps_of(users, "recent"), operator.last)
    owner = np.repeat(np.arange(len(recent)), np.diff(recent.offsets.to_numpy()))
    at_item = pc.index_in(held(recent.keys, recent), value_set=column_of(items, "item_id"))
    words = column_of(items, "at_title_words").take(at_item)
    values = pairs.values("title_words")
    key = pc.fill_null(pc.index_in(pc.list_flatten(words), value_set=values[0]), -1).to_numpy()
    of_word = owner[pc.list_parent_indices(words).to_numpy()]
    found = looked_up(of_word, key, np.ones(len(key)), pairs.user[values[1]], values[2], len(values[0]), 0.0)
    return [np.where(pairs.has("recent"), pairs.mean(found, values), np.nan)]


def _history(operator: History, pairs: Pairs, columns: dict[str, pa.Array]) -> list[np.ndarray]:
    return [pairs.known.day - pairs.found(maps_of(pairs.known.users, "recent"), pairs.ids, np.nan)]


def _similarity(operator: Similarity, pairs: Pairs, columns: dict[str, pa.Array]) -> list[np.ndarray]:
    """0 where none of the user's last items is similar to it; missing for users without any, and where that day has
    no lists."""
    of, distinct = pairs.known.neighbours[operator.of], pairs.ids[0]
    if not len(of.triggers):
        return [np.full(len(pairs.item_id), np.nan)] * len(operator.stats)
    recent = first_of(maps_of(pairs.known.users, "recent"), operator.last)
    sizes = np.diff(recent.offsets.to_numpy())
    owner = np.repeat(np.arange(len(recent)), sizes)
    trigger = pc.fill_null(pc.index_in(held(recent.keys, recent), value_set=of.triggers), -1).to_numpy()
    owner, trigger = owner[trigger >= 0], trigger[trigger >= 0]
    counts = np.diff(of.ends)[trigger]
    at = np.repeat(of.ends[trigger] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts) + np.arange(counts.sum())
    code = pc.fill_null(pc.index_in(of.items.take(pa.array(at)), value_set=distinct), -1).to_numpy()
    used = code >= 0
    cell, score = np.repeat(owner, counts)[used] * len(distinct) + code[used], of.score[at[used]]
    cells, position = np.unique(cell, return_inverse=True)
    best = np.zeros(len(cells))
    np.maximum.at(best, position, score)
    total = np.bincount(position, weights=score, minlength=len(cells))
    users, codes = np.divmod(cells, max(len(distinct), 1))
    has, made = pairs.has("recent"), {"max": best, "sum": total, "mean": total / np.maximum(sizes[users], 1)}
    looked = [
        looked_up(users, codes, made[stat], pairs.user, pairs.ids[2], len(distinct), 0.0) for stat in operator.stats
    ]
    return [np.where(has, found, np.nan) for found in looked]


def _recall_score(operator: RecallScore, pairs: Pairs, columns: dict[str, pa.Array]) -> list[np.ndarray]:
    if operator.of in pairs.known.hot:
        everyones = pairs.known.hot[operator.of]
        at = pc.index_in(pairs.item_id, value_set=held(everyones.keys, everyones))
        return [held(everyones.items, everyones).take(at).to_numpy(zero_copy_only=False)]
    return [pairs.found(maps_of(pairs.known.users, f"list_{operator.of}"), pairs.ids, np.nan)]


def _id(operator: Id, pairs: Pairs, columns: dict[str, pa.Array]) -> list[pa.Array]:
    if operator.of == "author":
        return [column_of(pairs.known.items, "author").take(pairs.at_item)]
    return [pairs.user_id if operator.of == "user_id" else pairs.item_id]


def _raw(operator: Raw, pairs: Pairs, columns: dict[str, pa.Array]) -> list[np.ndarray]:
    """The z-score is taken where the model is applied, with the mean and deviation of its own training rows."""
    x = as_float(columns[operator.of]).to_numpy(zero_copy_only=False).astype(np.float64)
    if operator.transform == "log":
        return [np.sign(x) * np.log1p(np.abs(x))]
    if operator.transform == "bucket":
        return [np.where(np.isnan(x), np.nan, np.searchsorted(np.float32(operator.bounds), np.float32(x), side="left"))]
    return [x]


def _combo(operator: Combo, pairs: Pairs, columns: dict[str, pa.Array]) -> list[pa.Array]:
    parts = [pc.replace_substring(pc.replace_substring(columns[n], "%", "%25"), "|", "%7C") for n in operator.of]
    return [pc.binary_join_element_wise(*parts, "|", null_handling="emit_null")]


_OPERATORS = {
    Id: _id, Raw: _raw, Combo: _combo, Lookup: _lookup, Match: _match, TagOverlap: _tag_overlap,
    TextOverlap: _text_overlap, History: _history, Similarity: _similarity, RecallScore: _recall_score,
}  # fmt: skip
