"""Some whole users inside a task, and what conditions look up for pairs of them and of items."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.lib.expression_tree import COUNT, NUMBER, TAGS, Expression, Leaf
from jobs.lib.list_params import Rule
from jobs.ranking.conditions import is_true
from jobs.recall.sparse import plain

if TYPE_CHECKING:
    import pyarrow as pa

PAIR, USER, OWN, SEEN = 0, 1, 2, 3  # `mark`: a candidate, a user, a user's events with an item, an item acted on


@dataclass(frozen=True)
class Lookup:
    """What tasks need. columns: leaf -> its column in rows and items; items: item_id and the columns of item leaves."""

    rules: list[Rule]
    columns: dict[Leaf, str]
    items: pa.Table
    context: dict[str, Any]

    def of(self, *sides: str) -> dict[Leaf, str]:
        return {leaf: name for leaf, name in self.columns.items() if leaf.side in sides}

    @property
    def about_items(self) -> Lookup:
        """With those of its rules alone that are the same for every user."""
        return replace(self, rules=[rule for rule in self.rules if rule.is_about_items])


@dataclass(frozen=True)
class Piece:
    """Whole users, and all that conditions look up for them. Users and items are coded; items from 0 as in the Lookup,
    then those that it does not know."""

    found: Lookup
    users: pa.Array
    items: pa.Array
    user: np.ndarray  # of each row
    item: np.ndarray  # of each row; -1 for a user's own
    mark: np.ndarray
    rows: pa.Table

    @classmethod
    def of(cls, rows: pa.Table, found: Lookup) -> Piece:
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = rows.combine_chunks()
        users, ids = plain(rows.column("user_id")), plain(rows.column("item_id"))
        known = plain(found.items.column("item_id"))
        unknown = pc.unique(ids.filter(pc.invert(pc.or_(pc.is_in(ids, value_set=known), pc.is_null(ids)))))
        items, distinct = pa.concat_arrays([known, unknown]), pc.unique(users)
        item = pc.fill_null(pc.index_in(ids, value_set=items, skip_nulls=True), -1).to_numpy(zero_copy_only=False)
        user = pc.index_in(users, value_set=distinct).to_numpy(zero_copy_only=False)
        mark = rows.column("mark").to_numpy()
        return cls(found, distinct, items, user.astype(np.int64), item.astype(np.int64), mark, rows)

    def cells(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        return user * len(self.items) + item

    def is_true(self, condition: Expression, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        """For each pair of codes."""
        return is_true(condition, lambda leaf: self._values(leaf, user, item), len(user))

    def removed(self, user: np.ndarray, item: np.ndarray) -> dict[str, np.ndarray]:
        """Which pairs each filter removes."""
        return {rule.name: self.is_true(rule.condition, user, item) for rule in self.found.rules}

    def is_kept(self, user: np.ndarray, item: np.ndarray) -> np.ndarray:
        kept = np.ones(len(user), bool)
        for is_removed in self.removed(user, item).values():
            kept &= ~is_removed
        return kept

    def _values(self, leaf: Leaf, user: np.ndarray, item: np.ndarray) -> pa.Array:
        import pyarrow as pa

        if leaf.side == "context":
            value = self.found.context[leaf.name]
            kind = pa.float64() if leaf.name in ("hour", "weekday") else pa.string()
            return pa.repeat(pa.scalar(value, kind), len(user))
        if leaf.name == "item_id" and leaf.side == "item":
            return self.items.take(pa.array(item))
        if leaf.name == "user_id" and leaf.side == "user":
            return self.users.take(pa.array(user))
        name = self.found.columns[leaf]
        if leaf.side == "item":
            values = plain_column(self.found.items, name)
            return values.take(_places(item, item < len(values)))
        if leaf.side == "user":
            rows, keys, wanted = self._rows(USER), self.user, user
        else:
            rows, keys, wanted = self._rows(OWN), self.cells(self.user, self.item), self.cells(user, item)
        order = rows[np.argsort(keys[rows], kind="stable")]
        place = np.searchsorted(keys[order], wanted)
        is_there = place < len(order)
        is_there[is_there] = keys[order[place[is_there]]] == wanted[is_there]
        at = np.zeros(len(wanted), np.int64)
        at[is_there] = order[place[is_there]]
        values = plain_column(self.rows, name).take(_places(at, is_there))
        if leaf.side != COUNT:
            return values
        import pyarrow.compute as pc

        return pc.fill_null(values, 0.0)

    def _rows(self, mark: int) -> np.ndarray:
        return np.flatnonzero(self.mark == mark)


def arrow_type(kind: str) -> pa.DataType:
    """Of the values that are looked up."""
    import pyarrow as pa

    return {NUMBER: pa.float64(), TAGS: pa.list_(pa.string())}.get(kind, pa.string())


def plain_column(table: pa.Table, name: str) -> pa.Array:
    """A column as one array."""
    import pyarrow as pa

    column = table.column(name)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _places(at: np.ndarray, is_there: np.ndarray) -> pa.Array:
    """Places to take from; NULL where there is nothing."""
    import pyarrow as pa

    return pa.array(at, mask=~is_there)
