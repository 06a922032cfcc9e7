"""Fusion of ranked lists, some thousand users at a time.

score = sum over the lists that hold an item of weight * score in that list / the best score in it (CombSUM, Fox and
Shaw 1994, with a weight for each recall): lists need no common scale, and how far an item falls behind the best of its
list is kept, which ranks alone would lose. Being listed at all adds 1e-5, so what no recall lists comes last. Points
are whole 1e-9 units, so sums are exact. Recalls are coded by the order of their names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.recall.sparse import coded, place, sorted_ids

SCALE = 1_000_000_000
LISTED = 10_000  # points for being listed at all
OPENED = 1_000  # users whose open places are looked for at a time
SEEN, ACTIVE = -1, -2  # `recall` of a row that says: this user acted on the item; this user gets a list


@dataclass(frozen=True)
class HotList:
    """The lists that are the same for everyone, merged, best first. Item k has the entries ends[k]:ends[k + 1].

    From item number `tail` on it is what fills a list up: it says nothing for an item that some recall lists.
    """

    items: pa.Array
    tail: int
    points: np.ndarray
    ends: np.ndarray
    recall: np.ndarray
    score: np.ndarray
    rank: np.ndarray


@dataclass(frozen=True)
class Blend:
    """How recalls are blended; everything is by recall code.

    weights: what the best item of a list counts. quotas: how many of a user's best items of a personal recall have a
    place among the `limit` candidates whatever their score.
    """

    recalls: list[str]
    weights: np.ndarray
    quotas: np.ndarray
    limit: int


def relative(score: np.ndarray, which: np.ndarray, lists: int) -> np.ndarray:
    """Each score over the best one of its list (0..1). which: the number of the list that a score stands in."""
    best = np.zeros(lists)
    np.maximum.at(best, which, score)
    return np.clip(np.divide(score, best[which], out=np.zeros(len(score)), where=best[which] > 0), 0, 1)


def points_of(relative_score: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return LISTED + np.rint(SCALE * weight * relative_score).astype(np.int64)


def hot_list(listed: pa.Table, weights: np.ndarray, tail: list[str] = (), filler: int = 0) -> HotList:
    """The merged list of (item_id, recall code, score, rank) rows; ties go to the lower id.

    tail: items that fill a list up, in their order, as of recall `filler`, fewer than LISTED; the listed ones are left
    out of it.
    """
    rows, codes = coded(listed.to_batches(), ["item_id"]) if listed.num_rows else (listed, {})
    items, item = codes.get("item_id", (pa.array([], pa.string()), np.empty(0, np.int32)))
    recall, score, rank = (rows.column(name).to_numpy() for name in ("recall", "score", "rank"))
    points = np.zeros(len(items), np.int64)
    np.add.at(points, item, points_of(relative(score, recall, len(weights)), weights[recall]))
    best_first = np.lexsort((np.arange(len(items)), -points))
    position = np.argsort(best_first)
    order = np.lexsort((recall, position[item]))
    is_listed = set(items.to_pylist())
    more = [item for item in tail if item not in is_listed]
    places = np.arange(len(more))
    lengths = np.concatenate([np.bincount(position[item], minlength=len(items)), np.ones(len(more), np.int64)])
    return HotList(
        items=pa.concat_arrays([items.take(pa.array(best_first)), pa.array(more, pa.string())]),
        tail=len(items),
        points=np.concatenate([points[best_first], LISTED - 1 - places]).astype(np.int64),
        ends=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        recall=np.concatenate([recall[order], np.full(len(more), filler)]).astype(np.int32),
        score=np.concatenate([score[order], np.zeros(len(more))]),
        rank=np.concatenate([rank[order], places + 1]).astype(np.int32),
    )


def whole_users(batches: Iterator[pa.RecordBatch], at_least: int, key: str = "user_id") -> Iterator[pa.Table]:
    """Rows sorted by user (the column `key`), in pieces of about `at_least` rows that never part a user's rows."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(part.num_rows for part in held) >= at_least:
            rows = pa.Table.from_batches(held)
            users = rows.column(key)
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


def fused(rows: pa.Table, hot: HotList, blend: Blend) -> pa.RecordBatch:
    """(user_id, item_id, score, rank, sources) of the users of some (user_id, item_id, recall, score, rank) rows.

    Only active users get a list, and no seen item is in it. A user takes from the hot list at most `limit` items that
    they have neither seen nor been recalled: what is further down could not enter the list.
    """
    limit = blend.limit
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
    list_of = user[mine].astype(np.int64) * len(blend.recalls) + recall[mine]
    points = points_of(relative(score[mine], list_of, len(users) * len(blend.recalls)), blend.weights[recall[mine]])
    is_new = ~np.isin(cell[mine], seen)
    mine, list_of, points = mine[is_new], list_of[is_new], points[is_new]
    own, which = np.unique(cell[mine], return_inverse=True)
    own_points = np.zeros(len(own), np.int64)
    np.add.at(own_points, which, points)
    is_kept_anyway = np.zeros(len(own), bool)
    is_kept_anyway[which[_within_quota(list_of, rank[mine], blend.quotas[recall[mine]])]] = True
    own_position = position[own % len(items)]
    own_position = np.where(own_position < hot.tail, own_position, -1)
    own_points[own_position >= 0] += hot.points[own_position[own_position >= 0]]

    taken = np.concatenate([own, seen])
    more_user, more_position = _open_positions(taken // len(items), position[taken % len(items)], is_active, hot, limit)
    cells = np.concatenate([own, more_user * len(items) + hot_item[more_position]])
    points = np.concatenate([own_points, hot.points[more_position]])
    hot_position = np.concatenate([own_position, more_position])
    is_kept_anyway = np.concatenate([is_kept_anyway, np.zeros(len(more_user), bool)])

    owner = cells // len(items)
    chosen = np.lexsort((cells, -points, ~is_kept_anyway, owner))
    chosen = chosen[_places(owner[chosen]) <= limit]
    kept = chosen[np.lexsort((cells[chosen], -points[chosen], owner[chosen]))]
    place_in_list = _places(owner[kept]).astype(np.int32)

    sources = _sources(kept, which, mine, (recall, score, rank), hot_position, hot, blend.recalls)
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


def _places(owner: np.ndarray) -> np.ndarray:
    """1-based places within runs of equal owners."""
    return np.arange(len(owner)) - np.searchsorted(owner, owner) + 1


def _within_quota(list_of: np.ndarray, rank: np.ndarray, quota: np.ndarray) -> np.ndarray:
    """Which rows are among the first `quota` of their list."""
    order = np.lexsort((rank, list_of))
    is_within = np.empty(len(order), bool)
    is_within[order] = _places(list_of[order]) <= quota[order]
    return is_within


def _open_positions(
    user: np.ndarray, position: np.ndarray, is_active: np.ndarray, hot: HotList, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each active user the first `limit` positions of the hot list but those taken: users, and positions."""
    user, position = user[position >= 0], position[position >= 0]
    taken = np.bincount(user, minlength=len(is_active))
    active = np.flatnonzero(is_active)
    active = active[np.argsort(taken[active], kind="stable")]  # so that who has taken much widens few rows
    row_of, found = np.full(len(is_active), -1), [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for chosen in np.split(active, np.arange(OPENED, len(active), OPENED)):
        row_of[:] = -1
        row_of[chosen] = np.arange(len(chosen))
        width = min(len(hot.items), limit + int(taken[chosen].max(initial=0)))
        is_open = np.ones((len(chosen), width), bool)
        within = (row_of[user] >= 0) & (position < width)
        is_open[row_of[user[within]], position[within]] = False
        row, open_position = np.nonzero(is_open & (np.cumsum(is_open, axis=1) <= limit))
        found.append((chosen[row], open_position))
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


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
