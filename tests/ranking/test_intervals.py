"""Intervals: against a bootstrap by user, against the known error of a null AUC, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.ranking import intervals as iv
from jobs.ranking import measures as m
from jobs.ranking.intervals import Estimate, Judged

MEASURES = {
    "auc": iv.auc, "gauc": lambda rows: iv.gauc(rows)[0], "log_loss": iv.log_loss, "ne": iv.ne,
    "calibration": iv.calibration, "base_rate": iv.base_rate,
    "ndcg_10": lambda rows: dict_of(iv.by_request(rows))["ndcg", 10],
    "ndcg_0": lambda rows: dict_of(iv.by_request(rows))["ndcg", 0],
    "map": lambda rows: dict_of(iv.by_request(rows))["map", 0],
}  # fmt: skip


def dict_of(found) -> dict[tuple[str, int], Estimate]:
    return {(measure, k): estimate for measure, k, estimate in found}


def judged(user, request, label, value) -> Judged:
    return iv.judged(iv.ordered(np.asarray(user), np.asarray(request), np.asarray(label) > 0), np.asarray(value))


def world(users: int, seed: int, steps: int = 50) -> tuple[np.ndarray, ...]:
    """Users with few and many rows, each with a taste of its own: rows of a user are alike. Scores tie."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(4, 40, users)
    user = np.repeat(np.arange(users), rows)
    request = user * 10 + rng.integers(0, 4, len(user))
    hidden = rng.normal(0, 1, users)[user] + rng.normal(0, 1, len(user))
    label = rng.random(len(user)) < 1 / (1 + np.exp(1 - hidden))
    value = 1 / (1 + np.exp(-np.round((hidden + rng.normal(0, 1, len(user)) - 1) * 0.7, 4)))
    return user, request, label, np.clip(np.round(value * steps) / steps, 0.01, 0.99)


def test_every_interval_is_as_wide_as_a_bootstrap_by_user_says():
    """Widths of 400 resamples are within 15% (their own error is about 4%), and so are the centres."""
    user, request, label, value = world(150, seed=3)
    rows_of = [np.flatnonzero(user == u) for u in range(150)]
    rng, drawn = np.random.default_rng(5), {name: [] for name in MEASURES}
    for _ in range(400):
        chosen = rng.integers(0, 150, 150)
        at = np.concatenate([rows_of[u] for u in chosen])
        lengths = [len(rows_of[u]) for u in chosen]
        again = np.repeat(np.arange(150), lengths)  # a user drawn twice is two users
        resample = judged(again, again * 10_000 + request[at], label[at], value[at])
        for name, measure in MEASURES.items():
            drawn[name].append(measure(resample).value)
    rows = judged(user, request, label, value)
    for name, measure in MEASURES.items():
        found, spread = measure(rows), np.std(drawn[name])
        assert (found.high - found.low) / (2 * iv.Z) == pytest.approx(spread, rel=0.15), name
        assert found.value == pytest.approx(np.mean(drawn[name]), abs=0.3 * spread), name


def test_with_one_row_per_user_an_auc_of_nothing_has_the_known_error():
    rng = np.random.default_rng(1)
    n = 4000
    label = np.arange(n) < n // 4
    found = iv.auc(judged(np.arange(n), np.arange(n), label, rng.random(n)))
    assert (found.high - found.low) / (2 * iv.Z) == pytest.approx(m.null_auc_se(1000, 3000), rel=0.02)
    assert found.low < 0.5 < found.high


def test_a_user_whose_rows_are_there_twice_tells_no_more_than_once():
    user, request, label, value = world(60, seed=9)
    once, twice = (judged(*(np.tile(of, n) for of in (user, request, label, value))) for n in (1, 2))
    for name in ("auc", "gauc", "log_loss", "ne", "calibration", "base_rate"):
        assert MEASURES[name](twice)[:3] == pytest.approx(MEASURES[name](once)[:3]), name


def test_base_rate_by_hand():
    # two users, 3 of 4 rows positive: influences (1-3/4)/4 x 2 = 1/8, (1-3/4)/4 - (3/4)/4 = -1/8; SE = sqrt(2/1 * 2/64)
    found = iv.base_rate(judged([1, 1, 2, 2], [1, 1, 2, 2], [1, 1, 1, 0], [0.5] * 4))
    assert found == (0.75, pytest.approx(0.75 - iv.Z * 0.25), 1.0, 4)


def test_one_user_has_a_value_and_no_interval_and_nothing_has_neither():
    one = judged([1, 1], [1, 1], [1, 0], [0.8, 0.4])
    for measure in MEASURES.values():
        assert measure(one).value is not None and measure(one).low is None
    nothing = judged(np.empty(0, int), np.empty(0, int), [], np.empty(0))
    for measure in MEASURES.values():
        assert measure(nothing) == (None, None, None, 0)
    assert list(iv.deciles(nothing)) == []


def test_ne_and_calibration_by_hand():
    rows = judged([1, 2, 3, 4], [1, 2, 3, 4], [1, 0, 0, 0], [0.25] * 4)
    assert iv.ne(rows).value == pytest.approx(1.0) and iv.calibration(rows).value == 1.0
    rows = judged([1, 2], [1, 2], [1, 0], [0.8, 0.4])
    expected = -(math.log(0.8) + math.log(0.6)) / 2
    assert iv.log_loss(rows).value == pytest.approx(expected)
    assert iv.ne(rows).value == pytest.approx(expected / math.log(2))
    assert iv.calibration(rows).value == pytest.approx(1.2)


def test_deciles_hold_equal_scores_together():
    n = 20
    rows = judged(np.arange(n), np.arange(n), np.arange(n) >= 10, [0.1] * 10 + [0.3] * 8 + [0.9] * 2)
    found = dict_of(iv.deciles(rows))
    # average ranks 5, 14 and 19 of 20: deciles 3, 8 and 10
    assert {k for _, k in found} == {3, 8, 10}
    assert found["predicted", 3] == (pytest.approx(0.1), None, None, 10) and found["observed", 3].value == 0.0
    assert found["observed", 8].value == 1.0 and found["predicted", 10].n == 2


ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 1), st.integers(1, 4)), min_size=1, max_size=30
)


@settings(derandomize=True, max_examples=50)
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_bit(rows, shuffler):
    def figures(given):
        user, request, label, value = zip(*[(u, u * 10 + r, y, v / 7) for u, r, y, v in given], strict=True)
        of = judged(user, request, label, value)
        return [measure(of) for measure in MEASURES.values()], list(iv.deciles(of))

    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    assert figures(rows) == figures(shuffled)


def test_differences_are_paired_by_user_and_as_wide_as_a_bootstrap_says():
    user, request, label, value = world(150, seed=3)
    rng = np.random.default_rng(8)
    other = np.clip(value + rng.normal(0, 0.1, len(value)), 0.01, 0.99)
    rows_of, drawn = [np.flatnonzero(user == u) for u in range(150)], {"auc": [], "gauc": []}
    measures = {"auc": iv.auc, "gauc": lambda rows: iv.gauc(rows)[0]}
    for _ in range(400):
        chosen = rng.integers(0, 150, 150)
        at = np.concatenate([rows_of[u] for u in chosen])
        again = np.repeat(np.arange(150), [len(rows_of[u]) for u in chosen])
        pair = [judged(again, again * 10_000 + request[at], label[at], of[at]) for of in (value, other)]
        for name, measure in measures.items():
            drawn[name].append(measure(pair[0]).value - measure(pair[1]).value)
    first, second = (judged(user, request, label, of) for of in (value, other))
    found = dict_of(iv.differences(first, second))
    for name, measure in measures.items():
        estimate = found[name, 0]
        assert estimate.value == pytest.approx(measure(first).value - measure(second).value, abs=1e-12)
        assert estimate.high - estimate.low == pytest.approx(2 * iv.Z * np.std(drawn[name]), rel=0.15)
    same = dict_of(iv.differences(first, first))
    assert {(e.value, e.low, e.high) for e in same.values()} == {(0.0, 0.0, 0.0)}
    one_class = judged([0, 1], [0, 1], [1, 1], [0.5, 0.25])
    assert [e.value for e in dict_of(iv.differences(one_class, one_class)).values()] == [None, None]
