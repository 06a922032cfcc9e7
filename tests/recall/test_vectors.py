"""Vectors: a slow reference, what the vectors foretell, and what may not change a bit."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.lib.errors import RecflowError
from jobs.recall import dense
from jobs.recall import vectors as job
from jobs.recall.vector_kernels import gram_of, solve_rows
from jobs.recall.vectors import Params, strengths, vectors
from tests.features.builders import ACTIONS
from tests.recall.builders import layouts, table

ACTS = "user_id string, item_id string, strength double, last_time bigint"
COLUMNS = ("side", "id", "vector")
# Two circles of taste: users a* act on items 1*, users b* on items 2*, each leaving out one.
CIRCLES = [
    (f"{circle}{user}", f"{1 + (circle == 'b')}{item}", 1.0 + item, 100 * item)
    for circle in "ab"
    for user in range(5)
    for item in range(5)
    if user != item
]


def params(**more):
    return Params(name="vectors", job="vectors", **({"factors": 3, "regularization": 0.1} | more))


def found(spark, rows, p) -> dict:
    return {(side, key): vector for side, key, vector in table(vectors(spark.createDataFrame(rows, ACTS), p), *COLUMNS)}


def reference(rows, p: Params) -> dict:
    """The definition: one linear system after another, in numpy."""
    mine, items = {}, sorted({row[1] for row in rows})
    for user, item, strength, last in rows:
        mine.setdefault(user, {})[item] = (p.alpha * np.log2(1 + strength), last)
    learns = {u: acts for u, acts in mine.items() if p.min_user_behavior <= len(acts) <= p.max_user_behavior}
    items = sorted({item for acts in learns.values() for item in acts})
    start = np.random.default_rng(p.seed).standard_normal((len(items), p.factors)) / (10 * p.factors**0.5)
    y, x = dict(zip(items, start, strict=True)), {}

    shrinkage = p.regularization * sum(map(len, learns.values())) / np.sqrt(len(learns) * len(items))

    def solved(acts: dict, others: dict):
        matrix = sum(np.outer(v, v) for v in others.values()) + shrinkage * np.eye(p.factors)
        right = np.zeros(p.factors)
        for other, extra in acts.items():
            matrix = matrix + extra * np.outer(others[other], others[other])
            right = right + (1 + extra) * others[other]
        return np.linalg.solve(matrix, right)

    for _ in range(p.iterations):
        x = {u: solved({i: extra for i, (extra, _) in acts.items()}, y) for u, acts in learns.items()}
        y = {i: solved({u: acts[i][0] for u, acts in learns.items() if i in acts}, x) for i in items}
    for user, acts in mine.items():
        latest = sorted(acts, key=lambda item: (-acts[item][1], item))[: p.user_items]
        if known := {i: acts[i][0] for i in latest if i in y}:
            x[user] = solved(known, y)
        else:
            x.pop(user, None)
    return {("user", u): list(v) for u, v in x.items()} | {("item", i): list(v) for i, v in y.items()}


@pytest.mark.parametrize(
    "more",
    [{"user_items": 2, "max_user_behavior": 4, "threads": 1}, {"alpha": 3, "seed": 8, "min_user_behavior": 1}],
)
def test_the_job_equals_the_reference(spark, more):
    rng = random.Random(5)
    pairs = sorted({(f"u{rng.randrange(9)}", f"i{rng.randrange(8)}") for _ in range(30)}) + [("lonely", "i99")]
    rows = [(user, item, float(rng.randrange(1, 5)), rng.randrange(4)) for user, item in pairs]
    p = params(iterations=3, **more)
    by_job, by_hand = found(spark, rows, p), reference(rows, p)
    assert by_job.keys() == by_hand.keys()
    assert ("user", "lonely") in by_job or p.min_user_behavior > 1  # i99 has a vector only if the lonely teach
    for key, vector in by_hand.items():
        assert by_job[key] == pytest.approx(vector, rel=1e-7, abs=1e-9), key


def test_a_user_fits_the_items_of_their_circle_and_the_one_left_out_among_them(spark):
    of = found(spark, CIRCLES, params(factors=2))
    users, items = ([key for key in of if key[0] == side] for side in ("user", "item"))
    fit = {(u[1], i[1]): float(np.dot(of[u], of[i])) for u in users for i in items}
    for user, left_out, others in (("a0", "10", "2"), ("b3", "23", "1")):
        assert fit[user, left_out] > 0.5
        assert max(abs(value) for (one, item), value in fit.items() if one == user and item[0] == others) < 0.1


def test_order_partitions_and_threads_change_no_bit(spark):
    rows = CIRCLES + [(f"u{n % 40}", f"i{n * 7 % 31}", 1.0 + n % 3, n) for n in range(300)]
    rows = list({row[:2]: row for row in rows}.values())
    expected = table(vectors(spark.createDataFrame(rows, ACTS), params(factors=7)), *COLUMNS)
    assert len(expected) > 70
    for threads, frame in enumerate(layouts(spark, rows, ACTS), 1):
        assert table(vectors(frame, params(factors=7, threads=threads)), *COLUMNS) == expected


@pytest.mark.parametrize("rows", [[], [("u", "a", 1.0, 1)]], ids=["nothing", "one act"])
def test_without_users_of_two_items_there_are_no_vectors(spark, rows):
    assert found(spark, rows, params()) == {}


def test_strengths_sum_the_weights_of_acts_and_keep_the_last_time(spark):
    rows = [
        ("20261120", "u", "a", "click", 2, 0, 10),
        ("20261121", "u", "a", "praise", 1, 0, 30),
        ("20261121", "u", "a", "expr", 9, 0, 40),
        ("20261121", "u", "b", "click", 1, 0, 20),
    ]
    summed = strengths(spark.createDataFrame(rows, ACTIONS), {"click": 1.0, "praise": 2.5})
    assert table(summed, "user_id", "item_id", "strength", "last_time") == [("u", "a", 4.5, 30), ("u", "b", 1.0, 20)]


def test_who_teaches_is_said(spark, caplog):
    with caplog.at_level("INFO", logger="recflow"):
        found(spark, [*CIRCLES, ("lonely", "10", 1.0, 1)], params(iterations=1))
    assert "learned from 10 users with 40 pairs; not from 1 users with fewer than 2 items, 0 with more" in caplog.text


def test_what_does_not_fit_is_refused_with_advice(spark, monkeypatch):
    monkeypatch.setattr(job, "MAX_PAIRS", 10)
    with pytest.raises(RecflowError, match="vectors: 40 pairs .* at most 10: lower max_user_behavior"):
        found(spark, CIRCLES, params())
    monkeypatch.setattr(job, "MAX_PAIRS", 40)
    monkeypatch.setattr(dense, "HELD_BYTES", 100)
    with pytest.raises(RecflowError, match="240 bytes of item vectors, at most 100 .* lower factors"):
        found(spark, CIRCLES, params())


@pytest.mark.parametrize(
    "wrong",
    [{"factors": 0}, {"regularization": 0}, {"alpha": -1}, {"iterations": 0}, {"user_items": 0}, {"seed": -1},
     {"min_user_behavior": 9, "max_user_behavior": 8}],
)  # fmt: skip
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        params(**wrong)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.lists(st.integers(0, 4), unique=True, max_size=5), min_size=1, max_size=6),
    seed=st.integers(0, 99),
    shrinkage=st.sampled_from([0.1, 1.0, 7.0]),
)
def test_half_a_step_solves_the_normal_equations_of_every_row(rows, seed, shrinkage):
    rng = np.random.default_rng(seed)
    others, extra = rng.standard_normal((5, 3)), rng.random(sum(map(len, rows)))
    ends = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    solved = np.zeros((len(rows), 3))
    codes = np.array(sum(rows, []), np.int32)
    solve_rows(ends, codes, extra, others, gram_of(others), shrinkage, solved, 0, len(rows))
    for n, row in enumerate(rows):
        weight = np.zeros(5)
        weight[row] = extra[ends[n] : ends[n + 1]]
        matrix = others.T @ np.diag(1 + weight) @ others + shrinkage * np.eye(3)
        acted = np.isin(np.arange(5), row)
        assert np.allclose(solved[n], np.linalg.solve(matrix, others.T @ ((1 + weight) * acted)))
