"""The filters of a bundle's lists, applied to pairs that were no candidates. Free of Spark.

A bundle holds the filters and what they look up (jobs/publish/filter_fields.py), so a pair is judged here as a
candidate was. Who or what the bundle does not know has no values: a filter removes a pair only when it is true of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.lib.expression_tree import Leaf, Names
from jobs.lib.list_params import Filter, rules_of
from jobs.publish.bundle import BundleError
from jobs.publish.filter_fields import EVENTS, ITEMS, RULES, USERS
from jobs.ranking.pieces import OWN, PAIR, USER, Lookup, Piece
from jobs.serve.published import Bundle

FILTERED = "filtered"  # what filters removed from the candidates


class Filtering:
    """The filters of a bundle, of all users and items or of those asked for. Without any it removes nothing."""

    def __init__(self, bundle: Bundle, users: Sequence[str] | None = None, items: Sequence[str] | None = None) -> None:
        """Raises BundleError where lists were filtered, and the bundle does not say how."""
        if not bundle.has(RULES) and bundle.columns(FILTERED):
            raise BundleError(
                f"{bundle.address} does not say how its lists were filtered: an older version published it. "
                "Publish the day again"
            )
        self._found = _lookup(bundle, items) if bundle.has(RULES) else Lookup([], {}, _empty("item_id"), {})
        self._bundle, self._ids = bundle, users
        self.filters = [rule.name for rule in self._found.rules]
        self.about_users = [rule.name for rule in self._found.rules if not rule.is_about_items]

    @cached_property
    def _users(self) -> pa.Table:
        return _rows(self._bundle, USERS, self._ids)

    @cached_property
    def _events(self) -> pa.Table:
        return _rows(self._bundle, EVENTS, self._ids)

    def removed(self, users: pa.Array, items: pa.Array) -> dict[str, np.ndarray]:
        """Filter -> which of these pairs it removes."""
        own = _those(_those(self._events, "user_id", users), "item_id", items)
        return _removed(self._found, users, items, _those(self._users, "user_id", users), own)

    def is_kept_for_anyone(self, items: pa.ChunkedArray) -> np.ndarray:
        """Which of these items no filter removes of those that are about items alone."""
        distinct = items.unique()
        nobody = pa.array([""] * len(distinct), pa.string())
        removed = _removed(self._found.about_items, nobody, distinct, _empty("user_id"), _empty("user_id", "item_id"))
        is_removed = np.logical_or.reduce([np.zeros(len(distinct), bool), *removed.values()])
        return ~pc.is_in(items, distinct.filter(pa.array(is_removed))).to_numpy()

    @property
    def size(self) -> int:
        """Bytes of what is looked up."""
        return sum(table.nbytes for table in (self._found.items, self._users, self._events))


def names_by_place(removed: dict[str, np.ndarray], places: int) -> list[list[str]]:
    """The filters that remove each pair."""
    found: list[list[str]] = [[] for _ in range(places)]
    for name, is_removed in removed.items():
        for place in np.flatnonzero(is_removed).tolist():
            found[place].append(name)
    return found


def _removed(found: Lookup, users: pa.Array, items: pa.Array, theirs: pa.Table, own: pa.Table) -> dict[str, np.ndarray]:
    if not found.rules:
        return {}
    pairs = pa.table({"user_id": users, "item_id": items})
    parts = [_marked(pairs, PAIR), _marked(theirs, USER), _marked(own, OWN)]
    known = replace(found, items=_those(found.items, "item_id", items))
    piece = Piece.of(pa.concat_tables(parts, promote_options="default"), known)
    return piece.removed(piece.user[: len(users)], piece.item[: len(users)])


def _those(rows: pa.Table, column: str, ids: pa.Array) -> pa.Table:
    return rows.filter(pc.is_in(rows[column], ids))


def _marked(rows: pa.Table, mark: int) -> pa.Table:
    return rows.append_column("mark", pa.array(np.full(len(rows), mark, np.int32)))


def _lookup(bundle: Bundle, items: Sequence[str] | None) -> Lookup:
    about = bundle.json(RULES)
    try:
        said = about["names"]
        names = Names(said["columns"], tuple(said["events"]), said["reach"])
        rules = rules_of([Filter(**line) for line in about["filters"]], about["banned"], names)
        columns = {Leaf(one["side"], one["name"], one["days"]): one["column"] for one in about["columns"]}
        context = about["context"]
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{bundle.address}/{RULES} holds no filters: {type(error).__name__} {error}") from error
    return Lookup(rules, columns, _rows(bundle, ITEMS, items, "item_id"), context)


def _rows(bundle: Bundle, folder: str, keys: Sequence[str] | None, *otherwise: str) -> pa.Table:
    """A table of the filters; without rows where they need none."""
    if not bundle.columns(folder):
        return _empty(*(otherwise or ("user_id", "item_id")))
    return bundle.rows(folder, keys=keys)


def _empty(*names: str) -> pa.Table:
    return pa.table({name: pa.array([], pa.string()) for name in names})
