"""u2i over a literal i2i table, and against a slow reference."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.recall import u2i as job
from jobs.recall.u2i import Params, u2i
from tests.recall.builders import PAIRS, layouts, table

TRIGGERS = "user_id string, item_id string, weight double, rank int"
SIMILAR = "trigger_item_id string, item_id string, score double, rank int"
COLUMNS = ("user_id", "rank", "item_id", "score")

WANTED = [("u1", "a", 2.0, 1), ("u1", "b", 1.0, 2), ("u2", "b", 0.5, 1), ("u3", "unknown", 1.0, 1)]
ALIKE = [
    ("a", "b", 0.5, 1), ("a", "c", 0.25, 2), ("a", "d", 0.125, 3),
    ("b", "a", 0.5, 1), ("b", "c", 0.5, 2), ("b", "d", 0.25, 3),
]  # fmt: skip
SEEN = [("u1", "a"), ("u1", "b"), ("u1", "b"), ("u2", "d"), ("u4", "c"), ("u1", "elsewhere")]


def params(**more):
    return Params(name="etrec_u2i", job="u2i", source="etrec_i2i", **{"balance": False} | more)


def reference(wanted, alike, seen, offered, count) -> list[tuple]:
    """The definition, user by user; sums run over triggers by item id."""
    weights = defaultdict(list)
    for user, item, weight, _ in wanted:
        weights[user].append((item, weight))
    rows = []
    for user, mine in weights.items():
        score = defaultdict(float)
        for trigger, weight in sorted(mine):
            for from_item, item, similarity, _ in alike:
                if from_item == trigger and (user, item) not in seen and (offered is None or item in offered):
                    score[item] += weight * similarity
        best = sorted((-value, item) for item, value in score.items())[:count]
        rows += [(user, rank, item, -value) for rank, (value, item) in enumerate(best, 1)]
    return sorted(rows)


@pytest.fixture(scope="module")
def frames(spark):
    return {
        "triggers": spark.createDataFrame(WANTED, TRIGGERS).persist(),
        "similar": spark.createDataFrame(ALIKE, SIMILAR).persist(),
        "seen": spark.createDataFrame(SEEN, PAIRS).persist(),
    }


def test_scores_are_weights_times_similarities_without_what_was_seen(frames):
    assert table(u2i(**frames, offered=None, params=params()), *COLUMNS) == [
        ("u1", 1, "c", 2 * 0.25 + 0.5), ("u1", 2, "d", 2 * 0.125 + 0.25),
        ("u2", 1, "a", 0.25), ("u2", 2, "c", 0.25),
    ]  # fmt: skip


def test_balanced_triggers_count_alike_however_much_they_are_similar_to(frames):
    found = table(u2i(**frames, offered=None, params=params(balance=True)), *COLUMNS)
    assert found[:2] == [
        ("u1", 1, "c", pytest.approx(2 * 0.25 / 0.875 + 0.5 / 1.25)),
        ("u1", 2, "d", pytest.approx(2 * 0.125 / 0.875 + 0.25 / 1.25)),
    ]


def test_seen_items_stay_when_nothing_is_to_be_left_out(frames):
    assert table(u2i(**frames | {"seen": None}, offered=None, params=params(recall_count=2)), *COLUMNS) == [
        ("u1", 1, "b", 1.0), ("u1", 2, "c", 1.0),
        ("u2", 1, "a", 0.25), ("u2", 2, "c", 0.25),
    ]  # fmt: skip


def test_only_items_on_offer_are_recalled_but_any_item_can_be_a_trigger(spark, frames):
    offered = spark.createDataFrame([("d",), ("e",)], "item_id string")
    found = table(u2i(**frames, offered=offered, params=params()), *COLUMNS)
    assert found == [("u1", 1, "d", 0.5)]  # u2 has seen d


@pytest.mark.parametrize("empty", ["triggers", "similar"])
def test_without_triggers_or_similar_items_nobody_is_served(frames, empty):
    nothing = frames | {empty: frames[empty].limit(0)}
    assert table(u2i(**nothing, offered=None, params=params(balance=True)), *COLUMNS) == []


def test_order_partitions_and_blocks_change_nothing(spark, frames, monkeypatch):
    expected = table(u2i(**frames, offered=None, params=params()), *COLUMNS)
    monkeypatch.setattr(job, "BLOCK", 1)
    for wanted in layouts(spark, WANTED, TRIGGERS):
        again = frames | {"triggers": wanted, "similar": spark.createDataFrame(ALIKE[::-1], SIMILAR).repartition(4)}
        assert table(u2i(**again, offered=None, params=params()), *COLUMNS) == expected


ITEM = st.integers(0, 7)
SCORE = st.sampled_from([0.1, 0.2, 0.3, 1 / 3, 0.7])
WEIGHTS = st.dictionaries(st.tuples(st.integers(0, 3), ITEM), SCORE, max_size=12)
ALIKENESS = st.dictionaries(st.tuples(ITEM, ITEM).filter(lambda pair: pair[0] != pair[1]), SCORE, max_size=25)
CASE = st.tuples(WEIGHTS, ALIKENESS, st.sets(st.tuples(st.integers(0, 3), ITEM), max_size=8), st.sets(ITEM))


@settings(max_examples=3, deadline=None, derandomize=True)
@given(cases=st.lists(CASE, min_size=20, max_size=40), count=st.integers(1, 5))
def test_the_job_equals_the_reference(spark, cases, count):
    """Cases share no user and no item, so one Spark job answers all of them."""
    wanted, alike, seen, offered = [], [], [], []
    for n, (weights, alikeness, seen_pairs, offered_items) in enumerate(cases):
        wanted += [(f"{n}u{user}", f"{n}i{item}", weight, 1) for (user, item), weight in weights.items()]
        alike += [(f"{n}i{one}", f"{n}i{other}", score, 1) for (one, other), score in alikeness.items()]
        seen += [(f"{n}u{user}", f"{n}i{item}") for user, item in seen_pairs]
        offered += [f"{n}i{item}" for item in offered_items]
    found = u2i(
        spark.createDataFrame(wanted, TRIGGERS).repartition(3),
        spark.createDataFrame(alike, SIMILAR),
        spark.createDataFrame(seen, PAIRS),
        spark.createDataFrame([(item,) for item in offered], "item_id string"),
        params(recall_count=count),
    )
    assert table(found, *COLUMNS) == reference(wanted, alike, set(seen), set(offered), count)


def test_a_source_is_needed():
    with pytest.raises(ValidationError, match="source"):
        Params(name="etrec_u2i", job="u2i")
