"""Users and items of a bundle in the shape that jobs/ranking/pair_columns.py takes. Free of Spark.

What known.py gives to Spark's workers as maps is text in the bundle; here it becomes the same maps again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.features.windows import RECENT
from jobs.lib.feature_operators import Id, Similarity, TagOverlap
from jobs.ranking.feature_list import FeatureList
from jobs.ranking.known import listed
from jobs.ranking.pairs import MAP, Neighbours
from jobs.recall.pairec import EVERYONE
from jobs.serve.published import Bundle

USERS, ITEMS, LISTS, TAGS = "features/user", "features/item", "features/lists", "tags"
OFFERED = "is_offered"
ESCAPES = ((":", "%3A"), (",", "%2C"), ("%", "%25"))


class Users:
    """Rows of the bundle's users, all of them or those asked for, held as they were published."""

    def __init__(self, bundle: Bundle, features: FeatureList, ids: Sequence[str] | None = None) -> None:
        self._features = features
        wanted = [*features.of_user, *features.user_categories, *features.windows.kv_names]
        wanted += [f"total_{kv.attribute}" for kv in features.windows.kvs if kv.has_share]
        wanted += [TAGS] if any(isinstance(o, TagOverlap) for o in features.operators) else []
        self.rows = bundle.rows(USERS, ["user_id", *wanted], ids)
        self._lists = {
            name: bundle.rows(f"{LISTS}/{name}", ["user_id", "item_id", "score"], ids)
            for name in listed(features)
            if "user_id" in bundle.columns(f"{LISTS}/{name}")
        }

    @property
    def ids(self) -> pa.ChunkedArray:
        """In pieces: all of them may be over 2 GiB."""
        return self.rows.column("user_id")

    def described(self, ids: pa.Array) -> pa.Table:
        """Those of these users that are known, with maps."""
        return described_users(self.rows.filter(pc.is_in(self.ids, value_set=ids)), self._features, self._lists)


def offered(bundle: Bundle, items: Sequence[str] | None = None) -> pa.ChunkedArray | None:
    """Which items are on offer, of all or of those asked for; None where the bundle does not say."""
    if OFFERED not in bundle.columns(ITEMS):
        return None
    return bundle.rows(ITEMS, ["item_id"], items, [(OFFERED, "=", True)]).column("item_id")


def described_users(rows: pa.Table, features: FeatureList, lists: dict[str, pa.Table]) -> pa.Table:
    """rows: of features/user; lists: user_id, item_id, score of the recalls that operators read, by name."""
    windows, columns = features.windows, {name: _column(rows, name) for name in rows.column_names}
    for kv, name in zip(windows.kvs, windows.kv_names, strict=True):
        maps = parsed(columns.pop(name), is_escaped=kv.attribute != RECENT)
        columns[RECENT if kv.attribute == RECENT else f"kv_{kv.attribute}_{kv.event}"] = maps
    if TAGS in columns:
        tags = columns[TAGS]
        keys = pc.list_flatten(tags)
        columns[TAGS] = _maps(tags.is_valid(), pc.list_value_length(tags), keys, pa.array(np.ones(len(keys))))
    for name, listed_rows in lists.items():
        columns[f"list_{name}"] = _list_maps(listed_rows, columns["user_id"])
    return pa.table(columns)


def parsed(texts: pa.Array, is_escaped: bool = True) -> pa.MapArray:
    """The maps that KV strings "value:number,..." stand for, in their order. is_escaped: are keys left as they stand in
    the text?"""
    entries = pc.split_pattern(texts.cast(pa.string()), ",")
    pair = pc.split_pattern(pc.list_flatten(entries), ":")
    keys = pc.list_element(pair, 0) if len(pair) else pa.array([], pa.string())
    numbers = pc.list_element(pair, 1).cast(pa.float64()) if len(pair) else pa.array([], pa.float64())
    if not is_escaped:
        for character, code in ESCAPES:
            keys = pc.replace_substring(keys, code, character)
    return _maps(texts.is_valid(), pc.list_value_length(entries), keys, numbers)


def _maps(is_there: pa.Array, sizes: pa.Array, keys: pa.Array, numbers: pa.Array) -> pa.MapArray:
    ends = np.concatenate([[0], np.cumsum(pc.fill_null(sizes, 0).to_numpy())]).astype(np.int32)
    missing = np.append(~is_there.to_numpy(zero_copy_only=False), False)
    return pa.MapArray.from_arrays(pa.array(ends, pa.int32(), mask=missing), keys, numbers).cast(MAP)


def _list_maps(rows: pa.Table, users: pa.Array) -> pa.MapArray:
    """Of each user the map from item to score; NULL for users without a list."""
    at = pc.index_in(_column(rows, "user_id"), value_set=users)
    rows = rows.append_column("at", at).filter(at.is_valid()).sort_by("at").combine_chunks()
    sizes = np.bincount(_column(rows, "at").to_numpy(), minlength=len(users))
    return _maps(pa.array(sizes > 0), pa.array(sizes), _column(rows, "item_id"), _column(rows, "score"))


def described_items(bundle: Bundle, features: FeatureList, ids: Sequence[str] | None = None) -> pa.Table:
    """Numbers are FLOAT, as they travel to Spark's workers. ids: all items where none are given."""
    there = bundle.columns(ITEMS)
    wanted = [*features.of_item, *features.item_categories, *[name for name in there if name.startswith("at_")]]
    wanted += ["author"] if any(isinstance(o, Id) and o.of == "author" for o in features.operators) else []
    rows = bundle.rows(ITEMS, ["item_id", *wanted], ids)
    columns = {name: _column(rows, name) for name in rows.column_names}
    return pa.table({n: c.cast(pa.float32()) if n in features.of_item else c for n, c in columns.items()})


def neighbours(bundle: Bundle, features: FeatureList) -> dict[str, Neighbours]:
    columns = ["trigger_item_id", "item_id", "score"]
    names = [name for name, operator in listed(features).items() if isinstance(operator, Similarity)]
    return {name: Neighbours.of(bundle.rows(f"{LISTS}/{name}", columns)) for name in names}


def hot(bundle: Bundle, features: FeatureList) -> dict[str, pa.MapArray]:
    """Everyone's list, by recall."""
    found = {}
    for name in listed(features):
        if "group_key" in bundle.columns(f"{LISTS}/{name}"):
            rows = bundle.rows(f"{LISTS}/{name}", ["item_id", "score"], [EVERYONE])
            found[name] = pa.array(
                [list(zip(*(rows.column(c).to_pylist() for c in ("item_id", "score")), strict=True))], MAP
            )
    return found


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
