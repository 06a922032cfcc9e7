"""Measures by hand, and what intervals promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp

from jobs.evaluate.judge import Judge, Lists


def lists(*by_user):
    """Each user's item codes, best first."""
    rows = [(user, item, rank) for user, items in enumerate(by_user) for rank, item in enumerate(items, 1)]
    return Lists(*(np.array([row[n] for row in rows], np.int64) for n in range(3)))


def judge(positives, items=300, popularity=None, catalog=None):
    cells = [(user, item) for user, mine in enumerate(positives) for item in mine]
    matrix = sp.csr_matrix((np.ones(len(cells), bool), tuple(np.array(cells).T)), (len(positives), items))
    offered = np.ones(items, bool) if catalog is None else np.isin(np.arange(items), catalog)
    return Judge(matrix, np.zeros(items) if popularity is None else np.array(popularity), offered, actors=7)


def figure(figures, measure, k):
    return next(f for f in figures if (f.measure, f.k) == (measure, k))


def test_measures_of_two_users_by_hand():
    found = judge([{1, 2, 9}, {5}]).figures("x", lists([1, 3, 2], [4, 6]))
    assert figure(found, "hit_rate", 10).value == 0.5
    assert figure(found, "recall", 10).value == pytest.approx((2 / 3 + 0) / 2)
    ideal = 1 + 1 / math.log2(3) + 0.5
    assert figure(found, "ndcg", 10).value == pytest.approx((1 + 0.5) / ideal / 2)
    assert figure(found, "mrr", 25).value == 0.5
    assert figure(found, "coverage", 10).value == pytest.approx(5 / 300)
    assert figure(found, "novelty", 10).value == 3.0  # one of 7 + 1 users
    assert figure(found, "served", 0).value == 1.0


def test_only_the_first_k_count_and_a_user_without_a_list_counts_as_nothing_found():
    long = list(range(100, 160))
    found = judge([{109, 110}, {149, 150}, {1}]).figures("x", lists(long, long, []))
    assert figure(found, "recall", 10).value == pytest.approx(0.5 / 3)
    assert figure(found, "recall", 50).value == pytest.approx((1 + 0.5) / 3)
    assert figure(found, "mrr", 25).value == pytest.approx(0.1 / 3)
    assert figure(found, "served", 0).value == pytest.approx(2 / 3)
    assert figure(found, "novelty", 10).n == 2


def test_novelty_is_less_for_what_many_acted_on_and_coverage_counts_only_what_is_on_offer():
    found = judge([{0}], items=4, popularity=[7, 1, 0, 0], catalog=[0, 1, 3]).figures("x", lists([0, 1, 2]))
    assert figure(found, "novelty", 10).value == pytest.approx((0 + 2 + 3) / 3)
    assert figure(found, "coverage", 10).value == pytest.approx(2 / 3)


def test_an_interval_holds_the_mean_and_shrinks_with_users():
    rng = np.random.default_rng(1)
    widths = []
    for users in (50, 5_000):
        held = judge([{int(rng.random() < 0.3)} for _ in range(users)], items=3)
        value, low, high = held.interval(held.per_user(lists(*[[1]] * users))["hit_rate", 10])
        assert low < value < high
        assert high - low == pytest.approx(2 * 1.96 * math.sqrt(value * (1 - value) / users), rel=0.2)
        widths.append(high - low)
    assert widths[1] < widths[0] / 5


def test_a_difference_is_paired_so_lists_that_differ_little_have_a_narrow_interval():
    rng = np.random.default_rng(2)
    users = 400
    held = judge([{int(rng.integers(0, 3))} for _ in range(users)], items=4)
    one = lists(*[[0, 1, 2]] * users)
    other = lists(*[[0, 1, 2] if user else [3] for user in range(users)])
    value, low, high = held.difference(one, other)["hit_rate", 10]
    assert value == pytest.approx(1 / users) and 0 <= low <= value <= high < 0.02
    assert held.difference(one, one)["ndcg", 50] == (0.0, 0.0, 0.0)


def test_overlap_is_of_each_users_first_k_and_of_users_with_a_list():
    held = judge([{0}, {0}, {0}], items=10)
    assert held.overlap(lists([1, 2], [3], []), lists([2, 9], [4], [5]), 50)[0] == pytest.approx((0.5 + 0) / 2)
    assert held.overlap(lists([1, 2], [3], []), lists([2, 9], [4], [5]), 1)[0] == 0.0
    assert held.overlap(lists([], [], []), lists([1], [2], [3]), 1) == (None, None, None)


def test_a_subject_without_any_list_found_nothing():
    found = judge([{1}, {2}]).figures("x", lists([], []))
    assert {f.value for f in found if f.measure != "novelty"} == {0.0}
    assert figure(found, "novelty", 10).value is None


def test_a_share_has_the_interval_of_a_binomial():
    found = judge([{1}]).share("x", "served", 0, 30, 100)
    assert found.value == 0.3
    assert found.low == pytest.approx(0.21, abs=0.03) and found.high == pytest.approx(0.39, abs=0.03)
    assert judge([{1}]).share("x", "served", 0, 0, 0).value is None
