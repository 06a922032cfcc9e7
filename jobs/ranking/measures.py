"""Measures of ranking and of lists, in plain numpy.

Formulas: algorithms.md ("Measures"). A measure that is undefined on its input (one class only, no rows) is NaN:
callers store it as NULL and never as 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

EPSILON = 1e-15


def average_ranks(values: np.ndarray) -> np.ndarray:
    """1-based ranks; equal values share the average of the ranks that they span."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2.0)[inverse]


def auc(labels: Sequence[float], scores: Sequence[float]) -> float:
    """Probability that a positive scores above a negative, ties counting half."""
    positive = np.asarray(labels) > 0
    n1, n0 = int(positive.sum()), int((~positive).sum())
    if n1 == 0 or n0 == 0:
        return math.nan
    ranks = average_ranks(np.asarray(scores, dtype=np.float64))
    return float((ranks[positive].sum() - n1 * (n1 + 1) / 2.0) / (n1 * n0))


def gauc(users: Sequence, labels: Sequence[float], scores: Sequence[float]) -> tuple[float, int, int]:
    """(GAUC, users in it, users skipped): per-user AUC weighted by the user's rows.

    A user whose rows are all of one class has no AUC and is skipped. One sort for all users: ranks within a user
    are overall ranks over (user, score) less the rows of the users before.
    """
    _, user = np.unique(np.asarray(users), return_inverse=True)
    if user.size == 0:
        return math.nan, 0, 0
    positive = (np.asarray(labels) > 0).astype(np.float64)
    _, score = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
    rows = np.bincount(user)
    before = np.cumsum(rows) - rows
    ranks = average_ranks(user.astype(np.int64) * (int(score.max()) + 1) + score) - before[user]
    n1 = np.bincount(user, weights=positive)
    n0 = rows - n1
    both = (n1 > 0) & (n0 > 0)
    if not both.any():
        return math.nan, 0, int(rows.size)
    rank_sum = np.bincount(user, weights=ranks * positive)
    aucs = (rank_sum[both] - n1[both] * (n1[both] + 1) / 2.0) / (n1[both] * n0[both])
    return float((aucs * rows[both]).sum() / rows[both].sum()), int(both.sum()), int((~both).sum())


def log_loss(labels: Sequence[float], probabilities: Sequence[float]) -> float:
    """Mean negative log-likelihood in nats; probabilities are kept EPSILON away from 0 and 1."""
    y = np.asarray(labels, dtype=np.float64)
    if y.size == 0:
        return math.nan
    p = np.clip(np.asarray(probabilities, dtype=np.float64), EPSILON, 1 - EPSILON)
    return float(-(y * np.log(p) + (1 - y) * np.log1p(-p)).mean())


def ne(labels: Sequence[float], probabilities: Sequence[float]) -> float:
    """Normalised entropy: log-loss over the log-loss of always saying the base rate of these rows (1 = no better)."""
    y = np.asarray(labels, dtype=np.float64)
    if y.size == 0 or y.min() == y.max():
        return math.nan
    return log_loss(y, probabilities) / log_loss(y, np.full(y.size, y.mean()))


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
