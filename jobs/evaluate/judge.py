"""Measures of lists, with bootstrap intervals. Plain numpy on coded users and items.

Per user (binary relevance, formulas as in jobs/ranking/measures.py): HitRate, Recall and NDCG at k, MRR@25, and
novelty at k, the mean over the first k of -log2 of the share of users who acted on the item (one user is added, so
that an item that nobody acted on has a value). Of all lists: coverage at k, the share of items on offer that stand on
anyone's first k. A user without a list counts 0, and is left out of novelty. Intervals are percentiles of RESAMPLES
resamples of the users, drawn from a seed; all lists are judged on the same resamples, so differences are paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

KS = (10, 50, 200)
MRR_K = 25
RESAMPLES = 1000
COVERAGE_RESAMPLES = 100
PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Lists:
    """Rows sorted by user, then rank: codes of users (0..users - 1) and items, and the 1-based rank."""

    user: np.ndarray
    item: np.ndarray
    rank: np.ndarray


@dataclass(frozen=True)
class Figure:
    """One measure of one subject; low and high bound the 95% interval, n is what it is about (users or items)."""

    subject: str
    measure: str
    k: int
    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Judge:
    """What lists are held against.

    positives: users x items (bool), at least one a user; popularity: users who acted on each item in train; catalog:
    whether an item is on offer; actors: users in train.
    """

    positives: sp.csr_matrix
    popularity: np.ndarray
    catalog: np.ndarray
    actors: int
    seed: int = 7

    @cached_property
    def resamples(self) -> np.ndarray:
        """Resamples x users: how often a user is drawn, over the number of users."""
        users = self.positives.shape[0]
        drawn = np.random.default_rng(self.seed).multinomial(users, np.full(users, 1 / users), RESAMPLES)
        return drawn / users

    def per_user(self, lists: Lists) -> dict[tuple[str, int], np.ndarray]:
        """(measure, k) -> one value a user; NaN where a user has no value."""
        users = self.positives.shape[0]
        wanted = np.diff(self.positives.indptr)
        is_hit = np.zeros(len(lists.user), bool)
        if len(lists.user):
            is_hit[:] = np.asarray(self.positives[lists.user, lists.item]).ravel()
        gain = 1 / np.log2(lists.rank + 1.0)
        ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, max(KS) + 2)))])
        novelty = -np.log2((self.popularity[lists.item] + 1) / (self.actors + 1))
        found = {}

        def summed(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
            return np.bincount(lists.user[rows], weights=values[rows], minlength=users)

        for k in KS:
            within = lists.rank <= k
            hits = summed(within & is_hit, np.ones(len(gain)))
            length = summed(within, np.ones(len(gain)))
            found["hit_rate", k] = (hits > 0).astype(np.float64)
            found["recall", k] = hits / wanted
            found["ndcg", k] = summed(within & is_hit, gain) / ideal[np.minimum(wanted, k)]
            total = summed(within, novelty)
            found["novelty", k] = np.divide(total, length, out=np.full(users, np.nan), where=length > 0)
        first = np.full(users, np.inf)
        np.minimum.at(first, lists.user[is_hit], lists.rank[is_hit])
        found["mrr", MRR_K] = np.where(first <= MRR_K, 1 / first, 0.0)
        found["served", 0] = (np.bincount(lists.user, minlength=users) > 0).astype(np.float64)
        return found

    def figures(self, subject: str, lists: Lists) -> list[Figure]:
        found = [
            Figure(subject, measure, k, *self.interval(values), int((~np.isnan(values)).sum()))
            for (measure, k), values in self.per_user(lists).items()
        ]
        return found + [self._coverage(subject, lists, k) for k in KS]

    def difference(self, lists: Lists, other: Lists) -> dict[tuple[str, int], tuple[float, float, float]]:
        """(measure, k) -> (mean of lists - other, low, high): paired by user."""
        one, two = self.per_user(lists), self.per_user(other)
        return {key: self.interval(one[key] - two[key]) for key in one}

    def interval(self, values: np.ndarray) -> tuple[float | None, float | None, float | None]:
        """The mean over users with a value, and its bounds."""
        has_value = ~np.isnan(values)
        if not has_value.any():
            return None, None, None
        drawn = self.resamples @ has_value.astype(np.float64)
        means = (self.resamples @ np.where(has_value, values, 0))[drawn > 0] / drawn[drawn > 0]
        low, high = np.percentile(means, PERCENTILES)
        return float(values[has_value].mean()), float(low), float(high)

    def share(self, subject: str, measure: str, k: int, found: int, total: int) -> Figure:
        """A share of users or items; resamples of yes and no are draws of a binomial."""
        if not total:
            return Figure(subject, measure, k, None, None, None, 0)
        drawn = np.random.default_rng(self.seed).binomial(total, found / total, RESAMPLES) / total
        low, high = np.percentile(drawn, PERCENTILES)
        return Figure(subject, measure, k, found / total, float(low), float(high), total)

    def overlap(self, one: Lists, other: Lists, k: int) -> tuple[float | None, float | None, float | None]:
        """Mean share of a user's first k items in `one` that are among the first k in `other`, and its bounds."""
        users, items = self.positives.shape
        keys = [
            lists.user[lists.rank <= k].astype(np.int64) * items + lists.item[lists.rank <= k] for lists in (one, other)
        ]
        user = keys[0] // items
        length = np.bincount(user, minlength=users)
        shared = np.bincount(user, weights=np.isin(keys[0], keys[1]), minlength=users)
        return self.interval(np.divide(shared, length, out=np.full(users, np.nan), where=length > 0))

    def _coverage(self, subject: str, lists: Lists, k: int) -> Figure:
        """Bounds of a resample are biased downwards (it has fewer distinct users), so they are about their own mean."""
        items = int(self.catalog.sum())
        within = (lists.rank <= k) & self.catalog[lists.item]
        shape = self.positives.shape
        listed = sp.csr_matrix((np.ones(within.sum()), (lists.user[within], lists.item[within])), shape)
        drawn = sp.csr_matrix(self.resamples[:COVERAGE_RESAMPLES])
        shares = np.diff((drawn @ listed).indptr) / items if items else np.zeros(1)
        value = len(np.unique(lists.item[within])) / items if items else None
        if value is None:
            return Figure(subject, "coverage", k, None, None, None, 0)
        low, high = np.percentile(shares, PERCENTILES) - shares.mean()
        return Figure(subject, "coverage", k, value, max(0.0, value + low), min(1.0, value + high), items)
