"""Measures of ranking and of lists, in plain numpy.

Formulas: algorithms.md ("Measures"). A measure that is undefined on its input (one class only, no rows) is NaN:
callers store it as NULL and never as 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

EPSILON = 1e-15


def dense(values: np.ndarray) -> np.ndarray:
    """The 0-based place of each value among the distinct ones: what orders like the values, as small integers."""
    return np.unique(values, return_inverse=True)[1]


def runs(*keys: np.ndarray) -> np.ndarray:
    """Where each run of equal keys starts, in rows that are ordered by these keys."""
    is_first = np.ones(len(keys[0]), bool)
    is_first[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return np.flatnonzero(is_first)


def auc(labels: Sequence[float], scores: Sequence[float]) -> float:
    """Probability that a positive scores above a negative, ties counting half."""
    return placements(np.asarray(labels) > 0, dense(np.asarray(scores, np.float64)))[0]


def placements(positive: np.ndarray, score: np.ndarray) -> tuple[float, np.ndarray]:
    """(AUC, for each row the share of the other class that it is rightly ordered against); score: dense codes.

    Pairs are counted in halves, so that the AUC is exact and the order of rows nothing to it.
    """
    n1 = int(np.count_nonzero(positive))
    n0 = len(positive) - n1
    if n1 == 0 or n0 == 0:
        return math.nan, np.full(len(positive), math.nan)
    size = int(score.max()) + 1
    ones, zeros = (np.bincount(score[of], minlength=size) for of in (positive, ~positive))
    zeros_below, ones_below = np.cumsum(zeros) - zeros / 2, np.cumsum(ones) - ones / 2
    placed = np.where(positive, zeros_below[score] / n0, 1.0 - ones_below[score] / n1)
    return float((ones * zeros_below).sum() / (n1 * n0)), placed


def gauc(users: Sequence, labels: Sequence[float], scores: Sequence[float]) -> tuple[float, int, int]:
    """(GAUC, users in it, users skipped): per-user AUC weighted by the user's rows."""
    user, score = dense(np.asarray(users)), dense(np.asarray(scores, np.float64))
    order = np.lexsort((score, user))
    aucs, rows = user_aucs(user[order], score[order], (np.asarray(labels) > 0)[order])
    has_auc = ~np.isnan(aucs)
    if not has_auc.any():
        return math.nan, 0, len(rows)
    value = float((aucs * rows)[has_auc].sum() / rows[has_auc].sum())
    return value, int(has_auc.sum()), int((~has_auc).sum())


def user_aucs(user: np.ndarray, score: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(AUC, rows) of each user; rows come by user, then score. A user whose rows are of one class has no AUC: NaN."""
    start = runs(user, score)
    ones = np.add.reduceat(positive.astype(np.int64), start)
    zeros = np.diff(start, append=len(user)) - ones
    first = runs(user[start])
    below = np.cumsum(zeros) - zeros
    below -= np.repeat(below[first], np.diff(first, append=len(start)))
    wins = np.add.reduceat(ones * (below + zeros / 2), first)
    n1, n0 = np.add.reduceat(ones, first), np.add.reduceat(zeros, first)
    has_both = (n1 > 0) & (n0 > 0)
    return np.divide(wins, n1 * n0, out=np.full(len(first), math.nan), where=has_both), n1 + n0


def request_measures(
    request: np.ndarray, score: np.ndarray, positive: np.ndarray, ks: Sequence[int]
) -> tuple[np.ndarray, dict[tuple[str, int], np.ndarray]]:
    """First rows of the requests with a positive, and their NDCG at each k (0: the whole) and average precision.

    Rows come by request, then score descending. Rows of equal score are in no order, so each counts as the mean over
    all of them, in closed form. Source: McSherry & Najork, Computing Information Retrieval Performance Measures
    Efficiently in the Presence of Tied Scores, ECIR 2008.
    """
    start = runs(request, score)
    ones = np.add.reduceat(positive.astype(np.int64), start)
    rows = np.diff(start, append=len(request))
    first = runs(request[start])
    runs_of = np.diff(first, append=len(start))
    above = start - np.repeat(start[first], runs_of)
    hits = np.cumsum(ones) - ones
    hits -= np.repeat(hits[first], runs_of)
    wanted = np.add.reduceat(ones, first)
    longest = int((above + rows).max(initial=1))
    discounts = np.append(0.0, np.cumsum(_discounts(longest)))
    harmonic = np.append(0.0, np.cumsum(1.0 / np.arange(1, longest + 1)))
    has, found = wanted > 0, {}
    for k in ks:
        cut = k or longest
        reached = discounts[np.minimum(above + rows, cut)] - discounts[np.minimum(above, cut)]
        gain = np.add.reduceat(ones / rows * reached, first)
        found["ndcg", k] = gain[has] / discounts[np.minimum(wanted[has], cut)]
    inverse = harmonic[above + rows] - harmonic[above]
    others = (ones - 1) / np.maximum(rows - 1, 1)
    precision = ones / rows * ((hits + 1) * inverse + others * (rows - (above + 1) * inverse))
    found["map", 0] = np.add.reduceat(precision, first)[has] / wanted[has]
    return start[first][has], found


def log_losses(positive: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Negative log-likelihood of each row in nats; probabilities are kept EPSILON away from 0 and 1."""
    p = np.clip(probabilities, EPSILON, 1 - EPSILON)
    return -np.where(positive, np.log(p), np.log1p(-p))


def entropy(base_rate: float) -> float:
    """Log-loss of always saying the base rate: what a normalised entropy (NE) of 1 is."""
    return -(base_rate * math.log(base_rate) + (1 - base_rate) * math.log1p(-base_rate))


def null_auc_se(positives: int, negatives: int) -> float:
    """Standard error of the AUC of scores that know nothing."""
    if positives == 0 or negatives == 0:
        return math.nan
    return math.sqrt((positives + negatives + 1) / (12.0 * positives * negatives))


def _discounts(n: int) -> np.ndarray:
    return 1.0 / np.log2(np.arange(2, n + 2))


def ideal_dcg(positives: int, k: int) -> float:
    return float(_discounts(min(positives, k)).sum())


def hit_rate(hit_ranks: Iterable[int], k: int) -> float:
    """1 if any of the user's hits (1-based ranks of items that were right) is in the first k."""
    return 1.0 if any(rank <= k for rank in hit_ranks) else 0.0


def recall(hit_ranks: Iterable[int], positives: int, k: int) -> float:
    """Share of the user's positives that are in the first k."""
    return sum(rank <= k for rank in hit_ranks) / positives if positives else math.nan


def ndcg(hit_ranks: Iterable[int], positives: int, k: int) -> float:
    """Discounted gain of the hits in the first k over that of the best possible list (binary relevance)."""
    if not positives:
        return math.nan
    return sum(1.0 / math.log2(rank + 1) for rank in hit_ranks if rank <= k) / ideal_dcg(positives, k)


def coverage(items: int, catalog: int) -> float:
    """Share of the catalog that is on at least one list."""
    return items / catalog if catalog else math.nan


def list_measures(
    hits: Mapping[tuple[int, int], int], first_hits: Mapping[int, int], users: int, ks: Sequence[int]
) -> dict[tuple[str, int], float]:
    """HitRate, Recall and NDCG @ each k over all users, from counts (so that any partitioning gives the same bits).

    hits: (positives of the user, rank of the hit) -> how many; first_hits: best rank -> users;
    users: everyone with a positive, with or without a list: who has no list counts 0.
    """
    result: dict[tuple[str, int], float] = {}
    ordered = sorted(hits.items())
    for k in ks:
        within = [(positives, rank, n) for (positives, rank), n in ordered if rank <= k]
        found = sum(n for rank, n in first_hits.items() if rank <= k)
        shares = math.fsum(n / positives for positives, _, n in within)
        gains = math.fsum(n / math.log2(rank + 1) / ideal_dcg(positives, k) for positives, rank, n in within)
        for name, total in (("hit_rate", found), ("recall", shares), ("ndcg", gains)):
            result[name, k] = total / users if users else math.nan
    return result
