"""Measures against figures worked by hand and against slow definitions."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.ranking import measures as m


def test_auc_counts_a_tie_as_half():
    # pairs (positive, negative): .9>.5 .9>.1 .5=.5 .5>.1 -> 3.5 of 4
    assert m.auc([1, 0, 1, 0], [0.9, 0.5, 0.5, 0.1]) == 0.875


def test_auc_of_one_class_or_of_nothing_is_undefined():
    assert math.isnan(m.auc([1, 1], [0.1, 0.2]))
    assert math.isnan(m.auc([], []))


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), min_size=2, max_size=30))
def test_auc_is_the_share_of_ordered_pairs(rows):
    positives = [s for y, s in rows if y]
    negatives = [s for y, s in rows if not y]
    if not positives or not negatives:
        return
    pairs = [(p > n) + 0.5 * (p == n) for p, n in itertools.product(positives, negatives)]
    assert m.auc([y for y, _ in rows], [s for _, s in rows]) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


def test_gauc_weights_users_by_rows_and_skips_one_class_users():
    users = ["a", "a", "a", "b", "b", "c"]
    labels = [1, 0, 0, 0, 1, 1]
    scores = [0.5, 0.5, 0.1, 0.9, 0.2, 0.3]  # a: (half + 1)/2 = .75 over 3 rows, b: 0 over 2 rows, c: skipped
    assert m.gauc(users, labels, scores) == (0.75 * 3 / 5, 2, 1)
    assert math.isnan(m.gauc(["a"], [1], [0.1])[0])
    assert m.gauc([], [], [])[1:] == (0, 0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=40))
def test_gauc_is_the_weighted_mean_of_user_aucs(rows):
    total = weight = 0.0
    for user in "abc":
        mine = [(y, s) for u, y, s in rows if u == user]
        value = m.auc([y for y, _ in mine], [s for _, s in mine])
        if not math.isnan(value):
            total, weight = total + value * len(mine), weight + len(mine)
    value, users, skipped = m.gauc(*zip(*rows, strict=True))
    assert users + skipped == len({u for u, _, _ in rows})
    if weight:
        assert value == pytest.approx(total / weight, abs=1e-12)
    else:
        assert math.isnan(value)


def test_log_loss_of_a_row_is_finite():
    assert m.log_losses(np.array([True, False]), np.array([0.8, 0.4])) == pytest.approx(
        [-math.log(0.8), -math.log(0.6)]
    )
    assert np.isfinite(m.log_losses(np.array([True, False]), np.array([0.0, 1.0]))).all()
    assert m.entropy(0.5) == pytest.approx(math.log(2))


def test_ndcg_and_average_precision_of_a_request():
    # r1: hits at ranks 1 and 3 of 3; r2: no positive; r3: one hit, tied with one other row at ranks 1 and 2
    request, label = np.array([1, 1, 1, 2, 3, 3, 3]), np.array([1, 0, 1, 0, 0, 1, 0]) > 0
    score = np.array([9, 8, 7, 5, 6, 6, 1])
    first, found = m.request_measures(request, score, label, (1, 0))
    assert first.tolist() == [0, 4]
    assert found["ndcg", 1] == pytest.approx([1.0, 0.5])
    assert found["ndcg", 0] == pytest.approx([1.5 / (1 + 1 / math.log2(3)), (1 + 1 / math.log2(3)) / 2])
    assert found["map", 0] == pytest.approx([(1 + 2 / 3) / 2, (1 + 1 / 2) / 2])


@settings(derandomize=True, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=6))
def test_equal_scores_count_as_the_mean_over_their_orders(rows):
    rows = sorted(rows, key=lambda row: -row[1])
    label, score = (np.array(of) for of in zip(*rows, strict=True))
    _, found = m.request_measures(np.zeros(len(rows), int), score, label > 0, (3, 0))
    if not label.any():
        assert all(len(values) == 0 for values in found.values())
        return
    means: dict = {}
    orders = [order for order in itertools.permutations(range(len(rows))) if (np.diff(score[list(order)]) <= 0).all()]
    for order in orders:
        ranks = [place + 1 for place, row in enumerate(order) if label[row]]
        one = {("ndcg", k): m.ndcg(ranks, len(ranks), k or len(rows)) for k in (3, 0)}
        one["map", 0] = sum((n + 1) / rank for n, rank in enumerate(ranks)) / len(ranks)
        for key, value in one.items():
            means[key] = means.get(key, 0.0) + value / len(orders)
    for key, value in means.items():
        assert found[key] == pytest.approx([value]), key


def test_null_auc_se():
    assert m.null_auc_se(10, 20) == pytest.approx(math.sqrt(31 / 2400))


def test_list_measures_of_one_user():
    # three positives; hits at ranks 1 and 4. DCG@4 = 1 + 1/log2(5); ideal = 1 + 1/log2(3) + 1/2
    assert m.hit_rate([4, 1], 1) == 1.0 and m.hit_rate([4], 3) == 0.0 and m.hit_rate([], 10) == 0.0
    assert m.recall([1, 4], 3, 4) == pytest.approx(2 / 3) and m.recall([1, 4], 3, 3) == pytest.approx(1 / 3)
    ideal = 1 + 1 / math.log2(3) + 0.5
    assert m.ndcg([1, 4], 3, 4) == pytest.approx((1 + 1 / math.log2(5)) / ideal)
    assert m.ndcg([1, 2], 5, 2) == pytest.approx(1.0)
    assert m.coverage(3, 12) == 0.25 and math.isnan(m.coverage(0, 0))


@given(st.lists(st.tuples(st.integers(1, 4), st.sets(st.integers(1, 12), max_size=4)), min_size=1, max_size=8))
def test_list_measures_from_counts_are_means_over_users(users):
    users = [(max(positives, len(ranks)), ranks) for positives, ranks in users]
    hits: dict = {}
    first: dict = {}
    for positives, ranks in users:
        for rank in ranks:
            hits[positives, rank] = hits.get((positives, rank), 0) + 1
        if ranks:
            first[min(ranks)] = first.get(min(ranks), 0) + 1
    result = m.list_measures(hits, first, len(users), [3, 10])
    for k in (3, 10):
        assert result["hit_rate", k] == pytest.approx(np.mean([m.hit_rate(r, k) for _, r in users]))
        assert result["recall", k] == pytest.approx(np.mean([m.recall(r, p, k) for p, r in users]))
        assert result["ndcg", k] == pytest.approx(np.mean([m.ndcg(r, p, k) for p, r in users]))
