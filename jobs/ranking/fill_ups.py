"""What fills short lists up, and what is pinned: pairs of user and item beside the candidates.

A list that has fewer than top_n candidates left takes, in this order, from the hot list behind `publish.fallback` and
from the rest of what is on offer, the newest first, until it is full or nothing is left. Filters hold for both, and
with publish.exclude_seen neither gives what the user acted on. A pinned item needs no recall and may have been seen;
filters hold for it too. Offers are collected: they are bounded by the catalog.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from jobs.lib.expression_tree import Expression
from jobs.lib.spark import F
from jobs.ranking import filters
from jobs.ranking.candidates import CATALOG
from jobs.ranking.pieces import PAIR, SEEN, USER, Lookup, Piece, plain_column
from jobs.recall.pairec import EVERYONE

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from jobs.recall.inputs import Day

COLUMNS = "user_id string, item_id string, sources array<struct<recall:string,score:double,rank:int>>, place int"
HOT_PER_PLACE = 10  # hot items that are looked at, per place of the list
PIECE = 200_000  # rows that a task works on at a time,
AT_ONCE, CELLS = 100, 1_000_000  # and offers that it looks at for a user at first, and for all of its users at most
PINNED = "pinned"
LAST = 2**31 - 1  # the place of a pinned item among fill-ups


@dataclass(frozen=True)
class Offers:
    """What lists are filled up with, best first. items: codes in the Lookup; the first len(hot) are of the hot list."""

    items: np.ndarray
    hot_score: np.ndarray
    hot_rank: np.ndarray
    source: str  # the recall that hot items are said to come from


@dataclass(frozen=True)
class Pin:
    item: str
    place: int
    users: Expression | None


@dataclass(frozen=True)
class Filling:
    found: Lookup
    offers: Offers
    pins: list[Pin]


def offers(hot: DataFrame | None, catalog: DataFrame | None, top_n: int, offered: DataFrame | None = None) -> DataFrame:
    """(item_id, hot_rank, hot_score, time), as `filling` takes it.

    hot: a recall_hot table; catalog: (item_id, time) on offer; one of them is given. Hot items must be in the catalog,
    without one among offered (item_id), if that is given.
    """
    if hot is None:
        return catalog.select("item_id", F.lit(LAST).alias("hot_rank"), F.lit(0.0).alias("hot_score"), "time")
    best = hot.where((F.col("group_key") == EVERYONE) & (F.col("rank") <= HOT_PER_PLACE * top_n))
    best = best.select("item_id", F.col("rank").alias("hot_rank"), F.col("score").alias("hot_score"))
    if catalog is None:
        best = best if offered is None else best.join(offered.select("item_id"), on="item_id", how="semi")
        return best.withColumn("time", F.lit(None).cast("bigint"))
    joined = catalog.select("item_id", "time").join(best, on="item_id", how="left")
    return joined.select("item_id", F.coalesce("hot_rank", F.lit(LAST)).alias("hot_rank"), "hot_score", "time")


def filling(found: Lookup, pins: list[Pin], source: str) -> Filling:
    """found: a Lookup that was given `offers`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    items = found.items.append_column("code", pa.array(np.arange(found.items.num_rows)))
    kept = items.filter(pc.invert(filters.removed_items(found.about_items)))
    kept = kept.set_column(kept.column_names.index("time"), "time", pc.negate(kept.column("time").cast(pa.int64())))
    best = kept.sort_by([("hot_rank", "ascending"), ("time", "ascending"), ("item_id", "ascending")])
    rank = best.column("hot_rank").to_numpy()
    is_hot = rank < LAST
    score = pc.fill_null(best.column("hot_score"), 0.0).to_numpy()
    return Filling(found, Offers(best.column("code").to_numpy(), score[is_hot], rank[is_hot], source), pins)


def fill_ups(
    candidates: DataFrame, users: DataFrame, seen: DataFrame | None, top_n: int, at: Day, filling: Filling
) -> DataFrame:
    """(user_id, item_id, sources, place) that bring every user to top_n items, and the pinned items of every user.

    users: (user_id) who get a list; seen: (user_id, item_id) to leave out; place: the order in which a list is filled.
    """
    counted = candidates.groupBy("user_id").agg(F.count(F.lit(1)).alias("n"))
    lacking = users.join(counted, on="user_id", how="left").select(
        "user_id", F.greatest(F.lit(top_n) - F.coalesce("n", F.lit(0)), F.lit(0)).cast("int").alias("lacking")
    )
    if not filling.pins:
        lacking = lacking.where("lacking > 0")

    def theirs(pairs: DataFrame, mark: int) -> DataFrame:
        return filters.marked(pairs, mark).join(lacking.select("user_id"), on="user_id", how="semi")

    known = filters.user_rows(lacking, at, filling.found).join(lacking, on="user_id", how="inner")
    parts = [known, theirs(candidates, PAIR), filters.own_rows(at, filling.found, lacking)]
    if seen is not None:
        parts.append(theirs(seen, SEEN))
    shared = candidates.sparkSession.sparkContext.broadcast(filling)
    return filters.by_user(*parts).mapInArrow(partial(_task, shared), COLUMNS)


def _task(shared, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    from jobs.recall.fusion import few_users, whole_users

    for rows in whole_users(batches, PIECE):
        for part in few_users(rows, CELLS // AT_ONCE):
            yield _filled(part, shared.value)


def _filled(rows: pa.Table, filling: Filling) -> pa.RecordBatch:
    piece = Piece.of(rows, filling.found)
    mine = np.flatnonzero(piece.mark == USER)
    lacking = np.zeros(len(piece.users), np.int64)
    lacking[piece.user[mine]] = plain_column(piece.rows, "lacking").to_numpy(zero_copy_only=False)[mine]
    user, item, place = _pinned(piece, filling)
    had = piece.mark == PAIR
    candidates = piece.cells(piece.user[had], piece.item[had])
    more = ~np.isin(piece.cells(user, item), candidates)
    lacking -= np.bincount(user[more], minlength=len(lacking))
    taken = (piece.mark == PAIR) | (piece.mark == SEEN)
    cells = np.concatenate([piece.cells(piece.user[taken], piece.item[taken]), piece.cells(user, item)])
    filled_user, position = _opened(piece, lacking, np.unique(cells), filling.offers.items)
    return _rows(piece, (user, item, place), (filled_user, position), filling.offers)


def _pinned(piece: Piece, filling: Filling) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(user, item, place) of the pinned items of each user; an item that is not on offer is left out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = [np.empty((3, 0), np.int64)]
    for pin in filling.pins:
        code = pc.index(filling.found.items.column("item_id"), pa.scalar(pin.item)).as_py()
        if code >= 0:
            user = np.arange(len(piece.users))
            item = np.full(len(user), code)
            is_meant = piece.is_kept(user, item)
            if pin.users is not None:
                is_meant &= piece.is_true(pin.users, user, item)
            found.append(np.stack([user, item, np.full(len(user), pin.place)])[:, is_meant])
    return tuple(np.concatenate(found, axis=1))


def _opened(piece: Piece, lacking: np.ndarray, taken: np.ndarray, offered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(user, position): for each user the first `lacking` offers that are not taken and that the filters leave."""
    lacking, start, width = lacking.copy(), 0, AT_ONCE
    found = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    while start < len(offered) and (lacking > 0).any():
        users = np.flatnonzero(lacking > 0)
        here = np.arange(start, min(start + width, len(offered)))
        user, position = np.repeat(users, len(here)), np.tile(here, len(users))
        is_open = ~np.isin(piece.cells(user, offered[position]), taken)
        user, position = user[is_open], position[is_open]
        kept = piece.is_kept(user, offered[position])
        user, position = user[kept], position[kept]
        number = np.arange(len(user)) - np.searchsorted(user, user)
        chosen = number < lacking[user]
        found.append((user[chosen], position[chosen]))
        lacking -= np.bincount(user[chosen], minlength=len(lacking))
        start += len(here)
        width = max(AT_ONCE, CELLS // max(1, int((lacking > 0).sum())))
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def _rows(piece: Piece, pinned: tuple, filled: tuple, offers: Offers) -> pa.RecordBatch:
    import pyarrow as pa

    (pin_user, pin_item, pin_place), (user, position) = pinned, filled
    hot = len(offers.hot_rank)
    is_hot = position < hot
    at = np.where(is_hot, position, 0)
    score, rank = np.zeros(len(position)), position - hot + 1
    score[is_hot], rank[is_hot] = offers.hot_score[at[is_hot]], offers.hot_rank[at[is_hot]]
    recall = np.where(is_hot, 0, 1)
    names = pa.array([offers.source, CATALOG, PINNED])
    sources = pa.StructArray.from_arrays(
        [
            names.take(pa.array(np.concatenate([np.full(len(pin_user), 2), recall]).astype(np.int32))),
            pa.array(np.concatenate([np.zeros(len(pin_user)), score])),
            pa.array(np.concatenate([pin_place, rank]).astype(np.int32)),
        ],
        names=["recall", "score", "rank"],
    )
    ends = pa.array(np.arange(len(sources) + 1, dtype=np.int32))
    place = np.concatenate([np.full(len(pin_user), LAST), position + 1]).astype(np.int32)
    columns = [
        piece.users.take(pa.array(np.concatenate([pin_user, user]))),
        piece.items.take(pa.array(np.concatenate([pin_item, offers.items[position]]))),
        pa.ListArray.from_arrays(ends, sources),
        pa.array(place),
    ]
    return pa.RecordBatch.from_arrays(columns, names=["user_id", "item_id", "sources", "place"])
