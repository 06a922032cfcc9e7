"""Similar items by vectors: angles worked by hand, ties, and what may not change a result."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.recall import vector_i2i as job
from jobs.recall.vector_i2i import Params, vector_i2i
from tests.recall.builders import layouts, table

VECTORS = "side string, id string, vector array<double>"
COLUMNS = ("trigger_item_id", "rank", "item_id", "score")
ITEMS = [
    ("item", "a", [3.0, 4.0]),
    ("item", "b", [6.0, 8.0]),  # as a, twice as long
    ("item", "c", [4.0, 3.0]),
    ("item", "d", [-3.0, -4.0]),  # points away from all others
    ("item", "e", [0.0, 0.0]),
    ("user", "a", [3.0, 4.0]),
]


def params(**more):
    return Params(name="vector_i2i", job="vector_i2i", source="vectors", **more)


def test_cosine_is_the_angle_alone(spark):
    assert table(vector_i2i(spark.createDataFrame(ITEMS, VECTORS), params()), *COLUMNS) == [
        ("a", 1, "b", pytest.approx(1)), ("a", 2, "c", pytest.approx(0.96)),
        ("b", 1, "a", pytest.approx(1)), ("b", 2, "c", pytest.approx(0.96)),
        ("c", 1, "a", pytest.approx(0.96)), ("c", 2, "b", pytest.approx(0.96)),
    ]  # fmt: skip


def test_the_inner_product_favours_long_vectors_and_ties_go_to_the_lower_id(spark, monkeypatch):
    expected = [
        ("a", 1, "b", 50.0), ("a", 2, "c", 24.0),
        ("b", 1, "a", 50.0), ("b", 2, "c", 48.0),
        ("c", 1, "b", 48.0), ("c", 2, "a", 24.0),
    ]  # fmt: skip
    monkeypatch.setattr(job, "BLOCK", 1)  # every item is a block of its own
    for frame in layouts(spark, ITEMS, VECTORS):
        assert table(vector_i2i(frame, params(similarity="inner")), *COLUMNS) == expected
    same = spark.createDataFrame([("item", key, [1.0]) for key in ("9", "10", "é", "Z")], VECTORS)
    best = table(vector_i2i(same, params(top_n=2)), "trigger_item_id", "rank", "item_id")
    assert best[2:4] == [("9", 1, "10"), ("9", 2, "Z")] and best[0:2] == [("10", 1, "9"), ("10", 2, "Z")]


def test_blocks_change_no_bit_and_every_pair_is_compared(spark, monkeypatch):
    matrix = np.random.default_rng(3).standard_normal((50, 7))
    frame = spark.createDataFrame([("item", f"{n:02d}", row.tolist()) for n, row in enumerate(matrix)], VECTORS)
    expected = table(vector_i2i(frame, params(top_n=9)), *COLUMNS)
    monkeypatch.setattr(job, "BLOCK", 170)
    assert table(vector_i2i(frame.repartition(3), params(top_n=9)), *COLUMNS) == expected
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    cosine = unit @ unit.T - 2 * np.eye(50)
    by_hand = [(f"{n:02d}", k, f"{i:02d}") for n in range(50) for k, i in enumerate(np.argsort(-cosine[n])[:9], 1)]
    assert [row[:3] for row in expected] == by_hand


@pytest.mark.parametrize("rows", [[], ITEMS[:1], ITEMS[-1:]], ids=["nothing", "one item", "users only"])
def test_without_two_items_nothing_is_similar(spark, rows):
    assert table(vector_i2i(spark.createDataFrame(rows, VECTORS), params()), *COLUMNS) == []


@pytest.mark.parametrize("wrong", [{"similarity": "angle"}, {"top_n": 0}, {"source": None}])
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        Params(**{"name": "vector_i2i", "job": "vector_i2i", "source": "vectors"} | wrong)


@settings(max_examples=3, deadline=None, derandomize=True)
@given(
    items=st.lists(st.lists(st.integers(-2, 3).map(float), min_size=2, max_size=2), max_size=12),
    top_n=st.integers(1, 4),
)
def test_the_job_equals_the_reference(spark, items, top_n):
    """By inner product: whole numbers tie often, and are exact."""
    expected = []
    for one, x in enumerate(items):
        products = [(-(x[0] * y[0] + x[1] * y[1]), other) for other, y in enumerate(items) if other != one]
        best = sorted(pair for pair in products if pair[0] < 0)[:top_n]
        expected += [(f"i{one:02d}", rank, f"i{other:02d}", -score) for rank, (score, other) in enumerate(best, 1)]
    rows = [("item", f"i{n:02d}", vector) for n, vector in enumerate(items)]
    found = vector_i2i(spark.createDataFrame(rows, VECTORS).repartition(3), params(similarity="inner", top_n=top_n))
    assert table(found, *COLUMNS) == expected
