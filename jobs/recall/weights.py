"""Weights of recalls, learned from lists that users got and what they then acted on.

The lists are blended as jobs/recall/fusion.py does it. Coordinate ascent from given weights: the weight of one recall
at a time is tried at FACTORS of itself (or off, or back on), and a change is kept when the users' mean gain is above
CAUTION standard errors of that gain (the one-standard-error rule), so that few users change little; what then adds
nothing goes. Gain of a user: mean of NDCG@10, NDCG@50 and Recall@50 of the blended list. No randomness: the same lists
and acts give the same weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa

from jobs.recall.fusion import relative
from jobs.recall.sparse import place, plain, sorted_ids

FACTORS = (0.25, 0.5, 0.7, 1.4, 2.0, 4.0)
ROUNDS = 4
CAUTION = 1.0
MIN_USERS = 100
LEAST_GAIN = 1e-4
K_SHORT, K_LONG = 10, 50


@dataclass(frozen=True)
class Blended:
    """Users' lists as one table of cells, sorted by user, then item.

    ends: the cells of user n are ends[n]:ends[n + 1]; scores: cells x recalls, each score over the best of its list,
    0 where a recall does not list the item; is_hit: the user then acted on it; positives: how many items each user
    acted on, listed or not (at least 1).
    """

    ends: np.ndarray
    scores: np.ndarray
    is_hit: np.ndarray
    positives: np.ndarray


def can_teach(lists: Blended) -> bool:
    """Are there enough users, and has any list a hit?"""
    return len(lists.positives) >= MIN_USERS and bool(lists.is_hit.any())


def learned(lists: Blended, start: Sequence[float]) -> tuple[np.ndarray, float, float]:
    """(weights with the greatest at 1, mean gain with the start's weights, mean gain with the learned ones)."""
    weights = np.array(start, np.float64)
    if not weights.any():
        weights[:] = 1.0
    before = gains = gains_of(lists, weights)
    for _ in range(ROUNDS):
        is_changed = False
        for recall, weight in enumerate(weights):
            tried = weight * np.array([0, *FACTORS]) if weight else weights.max() * np.array(FACTORS[:2])
            options = [np.where(np.arange(len(weights)) == recall, value, weights) for value in tried]
            options = [option for option in options if option.any()]
            found = [gains_of(lists, option) for option in options]
            best = int(np.argmax([gain.mean() for gain in found]))
            if _is_better(found[best], gains):
                weights, gains, is_changed = options[best], found[best], True
        if not is_changed:
            break
    for recall in np.argsort(weights, kind="stable")[:-1] if gains.any() else ():  # the greatest stays
        without = np.where(np.arange(len(weights)) == recall, 0, weights)
        if (found := gains_of(lists, without)).mean() >= gains.mean():
            weights, gains = without, found
    return weights / weights.max(), float(before.mean()), float(gains.mean())


def _is_better(new: np.ndarray, old: np.ndarray) -> bool:
    gain = new - old
    return gain.mean() > max(LEAST_GAIN, CAUTION * gain.std() / np.sqrt(len(gain)))


def gains_of(lists: Blended, weights: np.ndarray) -> np.ndarray:
    """Each user's gain when lists are blended with these weights."""
    if not len(lists.positives):
        return np.zeros(1)
    score = np.zeros(len(lists.scores))
    for recall, weight in enumerate(weights):  # in this order: a product of BLAS could have other bits elsewhere
        score += lists.scores[:, recall] * weight
    discounts = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, K_LONG + 2)))])
    return _kernel()(lists.ends, score, lists.is_hit, lists.positives, discounts, K_SHORT, K_LONG)


@cache
def _kernel():
    from jobs.recall.compiled import compiled

    @compiled()
    def gains(ends, score, is_hit, positives, ideal, short, long):
        found = np.zeros(len(positives))
        for user in range(len(positives)):
            start, end = ends[user], ends[user + 1]
            of_short, of_long, hits = 0.0, 0.0, 0
            for cell in range(start, end):
                if not is_hit[cell]:
                    continue
                rank = 1
                for other in range(start, end):
                    if score[other] > score[cell] or (score[other] == score[cell] and other < cell):
                        rank += 1
                if rank <= long:
                    hits += 1
                    of_long += 1 / np.log2(rank + 1)
                    if rank <= short:
                        of_short += 1 / np.log2(rank + 1)
            wanted = positives[user]
            found[user] = (
                of_short / ideal[min(wanted, short)] + of_long / ideal[min(wanted, long)] + hits / wanted
            ) / 3
        return found

    return gains


def blended(
    personal: dict[str, pa.Table], hot: dict[str, pa.Table], seen: pa.Table | None, positives: pa.Table, depth: int
) -> Blended:
    """The lists of the users of `positives`, as `learned` wants them; recalls in the order personal, hot.

    personal: (user_id, item_id, score) by recall, at most `depth` rows a user that matter; hot: (item_id, score) by
    recall, best first, the same for everyone; seen: (user_id, item_id) that lists leave out; positives: distinct
    (user_id, item_id), none of them seen.
    """
    users = sorted_ids([plain(positives["user_id"])])
    parts = [*personal.values(), *hot.values(), positives, *([seen] if seen is not None else [])]
    items = sorted_ids([plain(part["item_id"]) for part in parts])
    recalls = len(personal) + len(hot)

    def cells_of(rows: pa.Table) -> np.ndarray:
        user, item = place(plain(rows["user_id"]), users), place(plain(rows["item_id"]), items)
        return np.where(user >= 0, user.astype(np.int64) * len(items) + item, -1)

    left_out = np.unique(cells_of(seen)) if seen is not None else np.empty(0, np.int64)
    found, scores, recall = [], [], []
    for number, rows in enumerate(personal.values()):
        cells, score = cells_of(rows), rows["score"].to_numpy()
        cells, score = cells[cells >= 0], score[cells >= 0]
        listed = relative(score, cells // len(items), len(users))
        is_new = ~np.isin(cells, left_out)
        found.append(cells[is_new])
        scores.append(listed[is_new])
        recall.append(np.full(is_new.sum(), number))
    for number, rows in enumerate(hot.values(), len(personal)):
        cells = np.arange(len(users))[:, None] * len(items) + place(plain(rows["item_id"]), items)[None, :]
        listed = relative(rows["score"].to_numpy(), np.zeros(rows.num_rows, np.int64), 1)
        is_open = ~np.isin(cells, left_out)
        is_open &= np.cumsum(is_open, axis=1) <= depth
        found.append(cells[is_open])
        scores.append(np.broadcast_to(listed, cells.shape)[is_open])
        recall.append(np.full(is_open.sum(), number))
    cell, which = np.unique(np.concatenate([*found, np.empty(0, np.int64)]), return_inverse=True)
    table = np.zeros((len(cell), recalls), order="F")
    table[which, np.concatenate([*recall, np.empty(0, np.int64)]).astype(int)] = np.concatenate([*scores, np.empty(0)])
    wanted = cells_of(positives)
    return Blended(
        ends=np.searchsorted(cell, np.arange(len(users) + 1) * len(items)).astype(np.int64),
        scores=table,
        is_hit=np.isin(cell, wanted),
        positives=np.bincount(wanted // len(items), minlength=len(users)),
    )
