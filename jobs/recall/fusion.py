"""Reciprocal rank fusion of ranked lists, some thousand users at a time.

Source: Cormack, Clarke and Buettcher 2009: score = sum over the lists that hold an item of 1 / (60 + rank). It needs
no scale common to the lists. Points are whole 1e-9 units, so sums are exact. Recalls are coded by the order of their
names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.recall.sparse import coded, place, sorted_ids

K = 60
SCALE = 1_000_000_000
SEEN, ACTIVE = -1, -2  # `recall` of a row that says: this user acted on the item; this user gets a list


@dataclass(frozen=True)
class HotList:
    """The lists that are the same for everyone, merged, best first. Item k has the entries ends[k]:ends[k + 1]."""

    items: pa.Array
    points: np.ndarray
    ends: np.ndarray
    recall: np.ndarray
    score: np.ndarray
    rank: np.ndarray


def points_of(rank: np.ndarray) -> np.ndarray:
    return np.rint(SCALE / (K + rank.astype(np.float64))).astype(np.int64)


def hot_list(listed: pa.Table) -> HotList:
    """The merged list of (item_id, recall code, score, rank) rows; ties go to the lower id."""
    rows, codes = coded(listed.to_batches(), ["item_id"]) if listed.num_rows else (listed, {})
    items, item = codes.get("item_id", (pa.array([], pa.string()), np.empty(0, np.int32)))
    recall, score, rank = (rows.column(name).to_numpy() for name in ("recall", "score", "rank"))
    points = np.zeros(len(items), np.int64)
    np.add.at(points, item, points_of(rank))
    best_first = np.lexsort((np.arange(len(items)), -points))
    position = np.argsort(best_first)
    order = np.lexsort((recall, position[item]))
    return HotList(
        items=items.take(pa.array(best_first)),
        points=points[best_first],
        ends=np.concatenate([[0], np.cumsum(np.bincount(position[item], minlength=len(items)))]).astype(np.int64),
        recall=recall[order],
        score=score[order],
        rank=rank[order],
    )


def whole_users(batches: Iterator[pa.RecordBatch], at_least: int) -> Iterator[pa.Table]:
    """Rows sorted by user, in pieces of about `at_least` rows that never part a user's rows."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(part.num_rows for part in held) >= at_least:
            rows = pa.Table.from_batches(held)
            users = rows.column("user_id")
            last_user_starts = pc.index(users, users[-1]).as_py()
            if last_user_starts:
                yield rows.slice(0, last_user_starts)
                held = rows.slice(last_user_starts).to_batches()
    if sum(part.num_rows for part in held):
        yield pa.Table.from_batches(held)


def few_users(rows: pa.Table, at_most: int) -> Iterator[pa.Table]:
    """Rows sorted by user, cut into pieces of at most so many users."""
    starts = pc.run_end_encode(rows.column("user_id").combine_chunks()).run_ends.to_pylist()
    cuts = [0, *starts[at_most - 1 : -1 : at_most], rows.num_rows]
    for start, end in zip(cuts[:-1], cuts[1:], strict=True):
        yield rows.slice(start, end - start)


def fused(rows: pa.Table, hot: HotList, recalls: list[str], limit: int) -> pa.RecordBatch:
    """(user_id, item_id, score, rank, sources) of the users of some (user_id, item_id, recall, score, rank) rows.

    Only active users get a list, and no seen item is in it. A user takes from the hot list at most `limit` items that
    they have neither seen nor been recalled: what is further down could not enter the list.
    """
    _, codes = coded(rows.to_batches(), ["user_id", "item_id"])
    (users, user), (ids, item) = codes["user_id"], codes["item_id"]
    recall, score, rank = (rows.column(name).to_numpy(zero_copy_only=False) for name in ("recall", "score", "rank"))
    items = sorted_ids([ids, hot.items])
    item = place(ids, items)[item]
    hot_item = place(hot.items, items)
    position = np.full(len(items), -1)
    position[hot_item] = np.arange(len(hot_item))
    is_active = np.zeros(len(users), bool)
    is_active[user[recall == ACTIVE]] = True

    cell = user.astype(np.int64) * len(items) + item
    seen = np.unique(cell[(recall == SEEN) & is_active[user]])
    mine = np.flatnonzero((recall >= 0) & is_active[user])
    mine = mine[~np.isin(cell[mine], seen)]
    own, which = np.unique(cell[mine], return_inverse=True)
    own_points = np.zeros(len(own), np.int64)
    np.add.at(own_points, which, points_of(rank[mine]))
    own_position = position[own % len(items)]
    own_points[own_position >= 0] += hot.points[own_position[own_position >= 0]]

    taken = np.concatenate([own, seen])
    more_user, more_position = _open_positions(taken // len(items), position[taken % len(items)], is_active, hot, limit)
    cells = np.concatenate([own, more_user * len(items) + hot_item[more_position]])
    points = np.concatenate([own_points, hot.points[more_position]])
    hot_position = np.concatenate([own_position, more_position])

    best_first = np.lexsort((cells, -points, cells // len(items)))
    owner = cells[best_first] // len(items)
    starts = np.searchsorted(owner, owner)
    place_in_list = np.arange(len(owner)) - starts + 1
    kept = best_first[place_in_list <= limit]
    place_in_list = place_in_list[place_in_list <= limit].astype(np.int32)

    sources = _sources(kept, which, mine, (recall, score, rank), hot_position, hot, recalls)
    return pa.RecordBatch.from_arrays(
        [
            users.take(pa.array(cells[kept] // len(items))),
            items.take(pa.array(cells[kept] % len(items))),
            pa.array(points[kept] / SCALE),
            pa.array(place_in_list),
            sources,
        ],
        names=["user_id", "item_id", "score", "rank", "sources"],
    )


def _open_positions(
    user: np.ndarray, position: np.ndarray, is_active: np.ndarray, hot: HotList, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each active user the first `limit` positions of the hot list but those taken: users, and positions."""
    user, position = user[position >= 0], position[position >= 0]
    most_taken = int(np.bincount(user).max()) if len(user) else 0
    is_open = np.repeat(is_active[:, None], min(len(hot.items), limit + most_taken), axis=1)
    within = position < is_open.shape[1]
    is_open[user[within], position[within]] = False
    return np.nonzero(is_open & (np.cumsum(is_open, axis=1) <= limit))


def _sources(
    kept: np.ndarray,
    which: np.ndarray,
    mine: np.ndarray,
    given: tuple[np.ndarray, np.ndarray, np.ndarray],
    hot_position: np.ndarray,
    hot: HotList,
    recalls: list[str],
) -> pa.Array:
    """For each kept cell the list of (recall, score, rank) that brought it, by recall name."""
    row_of = np.full(len(hot_position), -1)
    row_of[kept] = np.arange(len(kept))
    own_row, own_entry = row_of[which], mine
    own_entry, own_row = own_entry[own_row >= 0], own_row[own_row >= 0]
    at = hot_position[kept]
    length = np.where(at >= 0, hot.ends[at + 1] - hot.ends[at], 0)
    hot_row = np.repeat(np.arange(len(kept)), length)
    hot_entry = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length - hot.ends[at] * (at >= 0), length)
    hot_values = (hot.recall, hot.score, hot.rank)
    recall, score, rank = (
        np.concatenate([own[own_entry], everyones[hot_entry]]) for own, everyones in zip(given, hot_values, strict=True)
    )
    row = np.concatenate([own_row, hot_row])
    order = np.lexsort((recall, row))
    ends = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(kept)))]).astype(np.int32)
    entries = pa.StructArray.from_arrays(
        [
            pa.array(recalls, pa.string()).take(pa.array(recall[order].astype(np.int32))),
            pa.array(score[order].astype(np.float64)),
            pa.array(rank[order].astype(np.int32)),
        ],
        names=["recall", "score", "rank"],
    )
    return pa.ListArray.from_arrays(pa.array(ends), entries)
