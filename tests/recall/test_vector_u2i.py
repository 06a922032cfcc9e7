"""Personal recall by vectors: products worked by hand, what is left out, and what may not change a result."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.recall import dense
from jobs.recall.vector_u2i import Params, vector_u2i
from tests.recall.builders import PAIRS, layouts, table

VECTORS = "side string, id string, vector array<double>"
COLUMNS = ("user_id", "rank", "item_id", "score")
ROWS = [
    ("user", "u1", [1.0, 2.0]),
    ("user", "u2", [1.0, -1.0]),
    ("item", "a", [1.0, 1.0]),
    ("item", "b", [3.0, 0.0]),
    ("item", "c", [0.0, 1.0]),
    ("item", "d", [2.0, 0.5]),
]
SEEN = [("u1", "d"), ("u1", "d"), ("u1", "elsewhere"), ("u2", "b"), ("u9", "a")]


def params(**more):
    return Params(name="vector_u2i", job="vector_u2i", source="vectors", **more)


@pytest.fixture(scope="module")
def vectors(spark):
    return spark.createDataFrame(ROWS, VECTORS).persist()


def test_scores_are_inner_products_without_what_was_seen(spark, vectors):
    found = table(vector_u2i(vectors, spark.createDataFrame(SEEN, PAIRS), None, params()), *COLUMNS)
    assert found == [("u1", 1, "a", 3.0), ("u1", 2, "b", 3.0), ("u1", 3, "c", 2.0), ("u2", 1, "d", 1.5)]


def test_seen_items_stay_when_nothing_is_to_be_left_out(vectors):
    found = table(vector_u2i(vectors, None, None, params(recall_count=2)), *COLUMNS)
    assert found == [("u1", 1, "a", 3.0), ("u1", 2, "b", 3.0), ("u2", 1, "b", 3.0), ("u2", 2, "d", 1.5)]


def test_only_items_on_offer_are_recalled(spark, vectors):
    offered = spark.createDataFrame([("c",), ("d",), ("new",)], "item_id string")
    found = table(vector_u2i(vectors, spark.createDataFrame(SEEN, PAIRS), offered, params()), *COLUMNS)
    assert found == [("u1", 1, "c", 2.0), ("u2", 1, "d", 1.5)]


@pytest.mark.parametrize("side", ["user", "item"])
def test_without_users_or_items_nobody_is_served(vectors, side):
    assert table(vector_u2i(vectors.where(f"side = '{side}'"), None, None, params()), *COLUMNS) == []


def test_order_partitions_and_blocks_change_no_bit_and_every_item_is_compared(spark, monkeypatch):
    rng = np.random.default_rng(3)
    users, items = rng.standard_normal((40, 7)), rng.standard_normal((60, 7))
    rows = [("user", f"u{n:02d}", row.tolist()) for n, row in enumerate(users)]
    rows += [("item", f"i{n:02d}", row.tolist()) for n, row in enumerate(items)]
    seen = spark.createDataFrame([(f"u{n:02d}", f"i{n + k:02d}") for n in range(40) for k in range(5)], PAIRS)
    found = []
    for frame in layouts(spark, rows, VECTORS):
        found.append(table(vector_u2i(frame, seen, None, params(recall_count=9)), *COLUMNS))
        monkeypatch.setattr(dense, "CELLS", 180)
    assert found[0] == found[1]
    scores = users @ items.T
    for n in range(40):
        scores[n, n : n + 5] = -np.inf
    best = [(f"u{n:02d}", k, f"i{i:02d}") for n in range(40) for k, i in enumerate(np.argsort(-scores[n])[:9], 1)]
    assert [row[:3] for row in found[0]] == best


@pytest.mark.parametrize("wrong", [{"recall_count": 0}, {"source": None}])
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        Params(**{"name": "vector_u2i", "job": "vector_u2i", "source": "vectors"} | wrong)


WHOLE = st.integers(-2, 3).map(float)  # whole numbers tie often
VECTOR = st.lists(WHOLE, min_size=2, max_size=2)


@settings(max_examples=3, deadline=None, derandomize=True)
@given(
    users=st.lists(VECTOR, max_size=12), items=st.lists(VECTOR, max_size=9),
    seen=st.sets(st.tuples(st.integers(0, 11), st.integers(0, 8)), max_size=20), count=st.integers(1, 5),
)  # fmt: skip
def test_the_job_equals_the_reference(spark, users, items, seen, count):
    rows = [("user", f"u{n:02d}", vector) for n, vector in enumerate(users)]
    rows += [("item", f"i{n}", vector) for n, vector in enumerate(items)]
    pairs = [(f"u{user:02d}", f"i{item}") for user, item in seen]
    expected = []
    for user, x in enumerate(users):
        products = [(-(x[0] * y[0] + x[1] * y[1]), item) for item, y in enumerate(items) if (user, item) not in seen]
        best = sorted(pair for pair in products if pair[0] < 0)[:count]
        expected += [(f"u{user:02d}", rank, f"i{item}", -score) for rank, (score, item) in enumerate(best, 1)]
    frame = spark.createDataFrame(rows, VECTORS).repartition(3)
    found = vector_u2i(frame, spark.createDataFrame(pairs, PAIRS), None, params(recall_count=count))
    assert table(found, *COLUMNS) == expected
