"""EASE: a worked example, a slow reference, and what may not change a result."""

from __future__ import annotations

import os
from collections import defaultdict
from fractions import Fraction

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.recall import ease_i2i as job
from jobs.recall.ease_i2i import Params, ease_i2i
from tests.recall.builders import GOLDEN, PAIRS, layouts, table

COLUMNS = ("trigger_item_id", "rank", "item_id", "score")


def params(**more):
    return Params(name="ease_i2i", job="ease_i2i", **more)


def inverse(matrix: list[list[Fraction]]) -> list[list[Fraction]]:
    """By Gauss and Jordan, in fractions."""
    n = len(matrix)
    rows = [list(row) + [Fraction(i == j) for j in range(n)] for i, row in enumerate(matrix)]
    for i in range(n):
        rows[i] = [value / rows[i][i] for value in rows[i]]  # X'X + lambda I is positive definite: no pivots of 0
        for j in range(n):
            if j != i:
                rows[j] = [one - rows[j][i] * other for one, other in zip(rows[j], rows[i], strict=True)]
    return [row[n:] for row in rows]


def reference(pairs, p: Params) -> list[tuple]:
    """The closed form, exact: B[i, j] = -P[i, j] / P[j, j]."""
    items_of = defaultdict(set)
    for user, item in pairs:
        items_of[user].add(item)
    kept = [items for items in items_of.values() if p.min_user_behavior <= len(items) <= p.max_user_behavior]
    items = sorted(set().union(*kept)) if kept else []
    both = [[Fraction(sum(i in mine and j in mine for mine in kept)) for j in items] for i in items]
    for n in range(len(items)):
        both[n][n] += Fraction(p.regularization)
    found = inverse(both)
    rows = []
    for i, trigger in enumerate(items):
        weights = [(-found[i][j] / found[j][j], items[j]) for j in range(len(items)) if j != i]
        listed = sorted((-round(float(weight), 9), item) for weight, item in weights if weight > Fraction(1, 2 * 10**9))
        rows += [(trigger, rank, item, -score) for rank, (score, item) in enumerate(listed[: p.top_n], 1)]
    return sorted(rows)


def test_three_items_by_hand(spark):
    """Three users took a and b, one took b and c; with 1 added, X'X is [[4, 3, 0], [3, 5, 1], [0, 1, 2]]."""
    rows = [(user, item) for user in ("u1", "u2", "u3") for item in "ab"] + [("u4", "b"), ("u4", "c")]
    found = table(ease_i2i(spark.createDataFrame(rows, PAIRS), params(regularization=1)), *COLUMNS)
    # The cofactors of the matrix (its determinant is 18): P aa 9, ab -6, ac 3; bb 8, bc -4; cc 11, each over 18.
    assert found == [
        ("a", 1, "b", 0.75),
        ("b", 1, "a", round(6 / 9, 9)), ("b", 2, "c", round(4 / 11, 9)),
        ("c", 1, "b", 0.5),
    ]  # fmt: skip


def test_layout_repeats_and_blocks_change_nothing(spark, monkeypatch):
    expected = table(ease_i2i(spark.createDataFrame(GOLDEN, PAIRS), params()), *COLUMNS)
    assert expected == reference(GOLDEN, params())
    monkeypatch.setattr(job, "BLOCK", 3)
    for frame in layouts(spark, GOLDEN + GOLDEN[:7], PAIRS):
        assert table(ease_i2i(frame, params()), *COLUMNS) == expected


@pytest.mark.parametrize("rows", [[], [("u", "a")], [("u", "a"), ("v", "b")]], ids=["nothing", "one item", "no pair"])
def test_without_users_of_two_items_nothing_is_similar(spark, rows):
    assert table(ease_i2i(spark.createDataFrame(rows, PAIRS), params()), *COLUMNS) == []


def test_a_catalog_that_does_not_fit_keeps_the_items_of_most_users_and_says_so(spark, caplog):
    """Of GOLDEN 12 has five users; 10, 11 and 13 have three each, and the lower ids stay."""
    with caplog.at_level("INFO", logger="recflow"):
        found = table(ease_i2i(spark.createDataFrame(GOLDEN, PAIRS), params(max_items=3)), *COLUMNS)
    assert found == reference([pair for pair in GOLDEN if pair[1] != "13"], params(min_user_behavior=1))
    assert "1 of 4 items, with 3 of 14 pairs, are left out (max_items 3)" in caplog.text


def test_users_with_too_few_or_too_many_items_teach_nothing(spark):
    p = params(min_user_behavior=3, max_user_behavior=3, regularization=1)
    found = table(ease_i2i(spark.createDataFrame(GOLDEN, PAIRS), p), *COLUMNS)
    assert found == reference(GOLDEN, p) and {row[0] for row in found} == {"10", "11", "12"}


def test_a_task_has_one_thread_of_blas(spark):
    """More threads split a product otherwise, and so give other bits."""
    given = spark.sparkContext.parallelize([0], 1).map(lambda _: os.environ.get("OMP_NUM_THREADS")).collect()
    assert given == ["1"]


# Cases share no user and no item. A matrix of unlinked blocks has the inverses of its blocks.
CASE = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), max_size=25)


@settings(max_examples=2, deadline=None, derandomize=True, phases=[Phase.generate])
@given(
    cases=st.lists(CASE, min_size=6, max_size=8), regularization=st.sampled_from([0.5, 300]), top_n=st.integers(1, 5)
)
def test_the_job_equals_the_reference(spark, cases, regularization, top_n):
    p = params(regularization=regularization, top_n=top_n, max_user_behavior=5)
    pairs = [(f"{n}u{user}", f"{n}i{item}") for n, case in enumerate(cases) for user, item in case]
    found = table(ease_i2i(spark.createDataFrame(pairs, PAIRS).repartition(3), p), *COLUMNS)
    expected = []
    for n in range(len(cases)):
        expected += reference([pair for pair in pairs if pair[0].startswith(f"{n}u")], p)
    assert found == sorted(expected)


@pytest.mark.parametrize(
    "wrong",
    [
        {"regularization": 0}, {"regularization": float("inf")}, {"window_days": 0}, {"max_items": 1},
        {"max_items": 40_001}, {"top_n": 0}, {"min_user_behavior": 9, "max_user_behavior": 8}, {"lambda": 1},
    ],
)  # fmt: skip
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        params(**wrong)
