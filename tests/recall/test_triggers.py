"""Triggers: weights worked by hand."""

from __future__ import annotations

import pytest

from jobs.recall.triggers import triggers
from tests.features.builders import ACTIONS
from tests.recall.builders import layouts, table

DS = "20261121"
WEIGHTS = {"click": 1.0, "praise": 2.0}
ACTED = [
    (DS, "u1", "a", "click", 1, 0, 500),
    (DS, "u1", "b", "click", 1, 0, 900),  # ties with a; acted on later
    (DS, "u1", "c", "click", 1, 0, 500),  # ties with a in time as well; the lower id goes first
    ("20261120", "u1", "d", "click", 2, 0, 100),  # 2 * 0.95
    ("20261119", "u1", "e", "praise", 1, 0, 50),  # 2 * 0.95^2 + 0.95
    ("20261120", "u1", "e", "click", 1, 0, 90),
    (DS, "u1", "f", "expr", 9, 0, 999),
    ("20261022", "u2", "a", "click", 1, 0, 10),  # 0.95^30
]
COLUMNS = ("user_id", "rank", "item_id", "weight")


def test_the_best_items_by_decayed_weight_then_the_latest_then_the_lower_id(spark):
    expected = [
        ("u1", 1, "e", pytest.approx(2.755, abs=1e-9)),
        ("u1", 2, "d", pytest.approx(1.9, abs=1e-9)),
        ("u1", 3, "b", 1.0),
        ("u1", 4, "a", 1.0),
        ("u1", 5, "c", 1.0),
        ("u2", 1, "a", pytest.approx(0.95**30, abs=1e-9)),
    ]
    first, second = (table(triggers(rows, DS, WEIGHTS, 0.05, 10), *COLUMNS) for rows in layouts(spark, ACTED, ACTIONS))
    assert first == expected
    assert first == second


def test_only_the_first_n_of_each_user_and_no_decay_without_attenuation(spark):
    rows = spark.createDataFrame(ACTED, ACTIONS)
    assert table(triggers(rows, DS, WEIGHTS, 0.0, 2), *COLUMNS) == [
        ("u1", 1, "e", 3.0), ("u1", 2, "d", 2.0), ("u2", 1, "a", 1.0),
    ]  # fmt: skip


def test_a_rank_discount_lets_later_triggers_count_less(spark):
    rows = spark.createDataFrame(ACTED, ACTIONS)
    assert table(triggers(rows, DS, WEIGHTS, 0.0, 3, 1.0), *COLUMNS)[:3] == [
        ("u1", 1, "e", 3.0), ("u1", 2, "d", 1.0), ("u1", 3, "b", pytest.approx(1 / 3)),
    ]  # fmt: skip


def test_no_actions_no_triggers(spark):
    assert table(triggers(spark.createDataFrame([], ACTIONS), DS, WEIGHTS, 0.05, 10), *COLUMNS) == []
