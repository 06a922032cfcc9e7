"""Measures of scored rows with their 95% intervals. Users are what is drawn, rows of one user are no independent rows.

Each measure is a smooth function of means, so its error is nearly a sum over rows of what each row adds to it (its
influence): summed by user, the squares of these sums estimate the variance (for AUC: DeLong's placements, clustered as
in Obuchowski 1997; for the others: the delta method, as for ratios in cluster samples). No resampling, one pass.

Sums run over rows in one order (user, score, request, label), so figures are the same in whatever order rows come.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from jobs.ranking import measures

Z = 1.959963984540054  # 97.5% quantile of the normal distribution
DECILES = 10
NDCG_KS = (10, 0)  # 0: the whole request


class Estimate(NamedTuple):
    """A value (None: undefined), its 95% interval (None: unknown, as with one user), and what n it is about."""

    value: float | None
    low: float | None
    high: float | None
    n: int


NOTHING = Estimate(None, None, None, 0)
Measured = Iterator[tuple[str, int, Estimate]]


@dataclass(frozen=True)
class Samples:
    """What happened, by user, then request; codes. A request is of one user. `row`: where each row came from."""

    user: np.ndarray
    request: np.ndarray
    positive: np.ndarray
    row: np.ndarray


@dataclass(frozen=True)
class Judged(Samples):
    """Scored samples, by user, then score. score: the dense code of value."""

    value: np.ndarray
    score: np.ndarray

    def where(self, mask: np.ndarray) -> Judged:
        """mask: of these rows."""
        return Judged(*(getattr(self, field.name)[mask] for field in fields(self)))

    @property
    def n(self) -> int:
        return len(self.user)


def ordered(user: np.ndarray, request: np.ndarray, positive: np.ndarray) -> Samples:
    """Samples of rows in any order; user and request are codes that don't follow the order of rows."""
    row = np.lexsort((positive, request, user))
    user, positive = user[row], positive[row]
    is_first = np.zeros(len(row), np.int64)
    is_first[measures.runs(user, request[row])] = 1
    return Samples(user, np.cumsum(is_first), positive, row)


def judged(samples: Samples, values: np.ndarray) -> Judged:
    """values: the score of each row where it came from."""
    value = values.astype(np.float64)[samples.row]
    score = measures.dense(value)
    order = np.argsort(samples.user * (score.max(initial=0) + 1) + score, kind="stable")
    return Judged(*(getattr(samples, field.name)[order] for field in fields(samples)), value[order], score[order])


def plain(value: float, n: int) -> Estimate:
    return Estimate(None if math.isnan(value) else float(value), None, None, n)


def estimate(value: float, influence: np.ndarray, user: np.ndarray, n: int, most: float = math.inf) -> Estimate:
    """influence: what each row (of users in order) adds to the error; the interval stays between 0 and `most`."""
    if math.isnan(value):
        return plain(value, n)
    by_user = np.add.reduceat(influence, measures.runs(user))
    if (users := len(by_user)) < 2:
        return plain(value, n)
    half = Z * math.sqrt(users / (users - 1) * float((by_user * by_user).sum()))
    value = min(float(value), most)  # a mean of ones can be above 1 by rounding
    return Estimate(value, max(0.0, value - half), min(most, value + half), n)


def mean(values: np.ndarray, user: np.ndarray, most: float = math.inf) -> Estimate:
    """The mean of values, of which a user has one or several."""
    if not len(values):
        return NOTHING
    value = float(values.mean())
    return estimate(value, (values - value) / len(values), user, len(values), most)


def auc(rows: Judged) -> Estimate:
    value, influence = _auc(rows)
    return estimate(value, influence, rows.user, rows.n, most=1.0)


def _auc(rows: Judged) -> tuple[float, np.ndarray]:
    value, placed = measures.placements(rows.positive, rows.score)
    ones = np.count_nonzero(rows.positive)
    return value, (placed - value) / np.where(rows.positive, ones, rows.n - ones)


def gauc(rows: Judged) -> tuple[Estimate, int]:
    """GAUC (n: users in it), and the users skipped because their rows are of one class."""
    value, influence, has_auc = _gauc(rows)
    skipped = int(np.count_nonzero(~has_auc))
    if not has_auc.any():
        return NOTHING, skipped
    return estimate(value, influence[has_auc], np.arange(len(has_auc) - skipped), len(has_auc) - skipped, 1.0), skipped


def _gauc(rows: Judged) -> tuple[float, np.ndarray, np.ndarray]:
    """The value, what each user adds to its error, and who has an AUC at all."""
    aucs, weight = measures.user_aucs(rows.user, rows.score, rows.positive)
    has_auc = ~np.isnan(aucs)
    if not has_auc.any():
        return math.nan, np.zeros(len(aucs)), has_auc
    weight = np.where(has_auc, weight, 0) / weight[has_auc].sum()
    aucs = np.where(has_auc, aucs, 0.0)
    value = float((aucs * weight).sum())
    return value, (aucs - value) * weight, has_auc


def differences(rows: Judged, others: Judged) -> Measured:
    """AUC and GAUC of the first less those of the second: the same samples under two scores, so paired by user."""
    user = measures.runs(rows.user)  # as many rows in either
    (value, influence), (other, of_other) = _auc(rows), _auc(others)
    yield (
        "auc",
        0,
        _difference(value - other, np.add.reduceat(influence, user) - np.add.reduceat(of_other, user), rows.n),
    )
    (value, influence, has_auc), (other, of_other, _) = _gauc(rows), _gauc(others)
    yield "gauc", 0, _difference(value - other, (influence - of_other)[has_auc], int(has_auc.sum()))


def _difference(value: float, by_user: np.ndarray, n: int) -> Estimate:
    """by_user: what every user adds to the error; a difference may lie on either side of 0."""
    if math.isnan(value) or (users := len(by_user)) < 2:
        return plain(value, n)
    half = Z * math.sqrt(users / (users - 1) * float((by_user * by_user).sum()))
    return Estimate(value, value - half, value + half, n)


def log_loss(rows: Judged) -> Estimate:
    return mean(measures.log_losses(rows.positive, rows.value), rows.user)


def ne(rows: Judged) -> Estimate:
    """Normalised entropy: log-loss over the log-loss of always saying the base rate of these rows (1: no better)."""
    rate = float(rows.positive.mean()) if rows.n else 0.0
    if rate in (0.0, 1.0):
        return plain(math.nan, rows.n)
    losses, chance = measures.log_losses(rows.positive, rows.value), measures.entropy(rate)
    value = float(losses.mean()) / chance
    of_chance = math.log((1 - rate) / rate) * (rows.positive - rate)
    return estimate(value, (losses - value * chance - value * of_chance) / (rows.n * chance), rows.user, rows.n)


def calibration(rows: Judged) -> Estimate:
    """Predicted over observed positives: 1 is right on the whole, above it promises too much."""
    positives = int(np.count_nonzero(rows.positive))
    if not positives:
        return plain(math.nan, rows.n)
    value = float(rows.value.sum()) / positives
    return estimate(value, (rows.value - value * rows.positive) / positives, rows.user, rows.n)


def base_rate(rows: Judged) -> Estimate:
    return mean(rows.positive.astype(np.float64), rows.user, most=1.0)


def deciles(rows: Judged) -> Measured:
    """Mean score (`predicted`) and share of positives (`observed`) by decile of the score, k from 1 (lowest) to 10.

    Rows of equal score share a decile, by their average rank: with few distinct scores some deciles hold nothing.
    """
    if not rows.n:
        return
    counts = np.bincount(rows.score)
    middle = np.cumsum(counts) - counts / 2
    decile = np.minimum(middle * DECILES / rows.n, DECILES - 1).astype(np.int64)[rows.score]
    for k in range(DECILES):
        within = rows.where(decile == k)
        if within.n:
            yield "predicted", k + 1, plain(float(within.value.mean()), within.n)
            yield "observed", k + 1, base_rate(within)


def by_request(rows: Judged) -> Measured:
    """NDCG and MAP over the requests with a positive (n); equal scores count as in any order."""
    most = rows.score.max(initial=0)
    order = np.argsort(rows.request * (most + 1) + most - rows.score, kind="stable")
    first, found = measures.request_measures(rows.request[order], rows.score[order], rows.positive[order], NDCG_KS)
    for (measure, k), values in found.items():
        yield measure, k, mean(values, rows.user[order][first], most=1.0)
