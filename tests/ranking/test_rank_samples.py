"""Samples from literal events: labels and context of the day, everything else of the day before."""

from __future__ import annotations

import math

import pytest

from jobs.ranking.feature_list import category_columns, number_columns
from jobs.ranking.models import Model
from jobs.ranking.negatives import offered_by_actions, offered_by_snapshot
from jobs.ranking.rank_samples import labelled, rank_samples
from jobs.ranking.serving_context import serving_context
from tests.features.builders import ACTIONS, EVENTS, ITEMS, demo_solution, rows_of
from tests.ranking.builders import ACTED, DAY, DAY_BEFORE, ITEM_ROWS, SHOWN, USER_ROWS, at, shown, sources

LABELS = ["is_click", "is_praise", "ln_playtime"]


@pytest.fixture(scope="module")
def samples(spark):
    solution = demo_solution()
    return rows_of(rank_samples(shown(spark), None, sources(spark, solution), solution), "request_id", "item_id")


def test_labels_and_context_are_those_of_the_request(samples):
    # r3 was neither shown nor clicked in its request: a praise alone is no exposure
    assert [(r["request_id"], r["user_id"], r["item_id"]) for r in samples] == [
        ("r1", "u1", "i1"), ("r1", "u1", "i2"), ("u2@20261102", "u2", "i9"),
    ]  # fmt: skip
    clicked, passed, unknown = samples
    assert [clicked[label] for label in LABELS] == [1, 1, math.log1p(2.5)]
    assert [passed[label] for label in LABELS] == [0, 0, 0.0]
    assert (clicked["hour"], clicked["weekday"], clicked["scene"], clicked["net_type"]) == (9, 0, "home", "wifi")
    assert (unknown["hour"], unknown["weekday"], unknown["net_type"]) == (23, 0, None)
    assert {r["is_sampled_negative"] for r in samples} == {False} and {r["ds"] for r in samples} == {DAY}


def test_features_and_snapshots_are_those_of_the_day_before(samples):
    clicked, passed, unknown = samples
    assert (clicked["user__click_cnt_3d"], clicked["item__expr_cnt_7d"]) == (1.0, 2.0)
    assert (clicked["user__city"], clicked["user__age"], clicked["item__category"]) == ("Oslo", 30.0, "toys")
    assert clicked["item__click_count"] == 5.0
    assert (clicked["user__registered_days"], clicked["item__listed_days"]) == (9.0, 0.0)
    assert passed["item__listed_days"] == 0.0
    assert (unknown["item__category"], unknown["item__expr_cnt_7d"], unknown["user__age"]) == (None, None, None)
    assert unknown["user__expr_cnt_7d"] == 3.0


def test_cross_lookups_are_the_users_counts_at_the_items_values(samples):
    clicked, passed, unknown = samples
    category, author = "cross__category_{}", "cross__author_{}"
    assert (clicked[category.format("cnt")], clicked[category.format("share")]) == (1.0, 1.0)
    assert passed[category.format("cnt")] == 1.0
    assert (passed[author.format("cnt")], passed[author.format("share")]) == (0.0, 0.0)
    assert unknown[category.format("cnt")] is None  # u2 never clicked, and nobody knows i9


def test_every_model_column_is_there_once(samples):
    solution = demo_solution()
    expected = [*number_columns(solution), *category_columns(solution)]
    assert len(expected) == len(set(expected)) and set(expected) <= set(samples[0])


def test_nothing_after_the_day_before_reaches_a_feature(spark, samples):
    """The day itself is turned upside down: other actions, other snapshots, other labels."""
    solution = demo_solution()
    later = [(DAY, "u1", "i1", "click", 50, 9, 1), (DAY, "u1", "i2", "expr", 50, 9, 1)]
    later += [(DAY, "u2", "i9", "click", 7, 0, 1)]
    changed = sources(
        spark, solution, [*ACTED, *later],
        [r if r[0] == DAY_BEFORE else (*r[:4], "x", "Rome", 99.0, 9.0, 9.0, 9.0) for r in USER_ROWS],
        [*ITEM_ROWS, (DAY, "i9", "Nine", "a1", at(2, 0), None, "toys", 1.0, 1.0, 1.0)],
        days=(DAY_BEFORE, DAY),
    )  # fmt: skip
    flipped = [r for r in SHOWN if r[4] == "expr"] + [(DAY, "r1", "u1", "i2", "click", at(2, 9), 1.0, "home", "wifi")]
    after = rows_of(rank_samples(shown(spark, flipped), None, changed, solution), "request_id", "item_id")
    described = [c for c in after[0] if "__" in c]
    assert len(described) > 90
    for now, before in zip(after, samples, strict=True):
        assert {c: now[c] for c in described} == {c: before[c] for c in described}
    assert [r["is_click"] for r in after] == [0, 1, 0]


def test_position_is_recorded_and_fixed_when_candidates_are_scored(spark):
    solution = demo_solution(tables={"behavior": {"roles": {"position": "place"}}})
    rows = [
        (DAY, "r", "u", "i", e, at(2, h), None, "home", p, None) for e, h, p in (("click", 8, 9.0), ("expr", 7, 3.0))
    ]
    events = spark.createDataFrame(rows, EVENTS.replace("scene string,", "scene string, position double,"))
    assert labelled(events, solution).first()["position"] == 3.0  # of the first event, as the rest of the context
    assert "position" in number_columns(solution) and "position" not in number_columns(demo_solution())
    model = Model({}, {"serving_context": {"hour": 9, "scene": "home", "net_type": None}})
    assert serving_context(model, DAY, solution) == {
        "hour": 9, "weekday": 1, "position": 1.0, "scene": "home", "net_type": None,
    }  # fmt: skip


def test_no_events_give_no_samples(spark):
    solution = demo_solution()
    empty = sources(spark, solution, [], [], [])
    assert rank_samples(shown(spark, []), None, empty, solution).count() == 0


POSITIVES_ONLY = {
    "events": ["click", "buy"], "target": "click", "tables": {"behavior": {"impressions": False}},
    "features": {"events": [], "value_events": [], "preference": {"event": "click"}},
    "ranking": {"negatives_per_positive": 3},
}  # fmt: skip


def test_without_impressions_negatives_come_from_what_was_on_offer(spark):
    solution = demo_solution(**POSITIVES_ONLY)
    events = [
        (DAY, "r1", "u1", "i1", "click", at(2, 9), 1.0, "home", "wifi"),
        (DAY, "r2", "u1", "i2", "buy", at(2, 9), None, "home", "wifi"),
        (DAY, "r3", "u2", "i1", "click", at(2, 20), None, "home", None),
    ]
    offered = spark.createDataFrame([(DAY, f"i{n}") for n in range(1, 30)], "ds string, item_id string")
    described = sources(spark, solution, [(r[0], r[1], r[2], "click", *r[4:]) for r in ACTED])
    made = [rows_of(rank_samples(shown(spark, e), offered.repartition(n), described, solution), "request_id", "item_id")
            for n, e in ((1, events), (3, events[::-1]))]  # fmt: skip
    assert made[0] == made[1]
    drawn = [r for r in made[0] if r["is_sampled_negative"]]
    kept = [r for r in made[0] if not r["is_sampled_negative"]]
    assert [(r["request_id"], r["is_click"], r["is_buy"]) for r in kept] == [("r1", 1, 0), ("r3", 1, 0)]
    assert 4 <= len(drawn) <= 6 and {r["is_click"] for r in drawn} == {0}
    assert not {(r["user_id"], r["item_id"]) for r in drawn} & {("u1", "i1"), ("u1", "i2"), ("u2", "i1")}
    assert {r["hour"] for r in drawn if r["request_id"] == "r3"} == {20}


def test_what_is_on_offer(spark):
    solution = demo_solution()
    listed = spark.createDataFrame(
        [(ds, item, None, None, at(day, 0), None, None, 0.0, 0.0, 0.0)
         for ds, item, day in ((DAY, "old", 1), (DAY, "today", 2), (DAY, "tomorrow", 3))], ITEMS)  # fmt: skip
    assert [r["item_id"] for r in rows_of(offered_by_snapshot(listed, [DAY], solution), "item_id")] == ["old", "today"]
    once = offered_by_snapshot(listed.drop("ds"), [DAY_BEFORE, DAY], solution)
    assert [(r["ds"], r["item_id"]) for r in rows_of(once, "ds", "item_id")] == [
        (DAY_BEFORE, "old"), (DAY, "old"), (DAY, "today"),
    ]  # fmt: skip
    actions = spark.createDataFrame([(f"202611{d:02}", "u", f"i{d}", "click", 1, 0, 0) for d in (1, 2, 3, 5)], ACTIONS)
    seen = offered_by_actions(actions, ["20261103", "20261104"], 2)
    assert [(r["ds"], r["item_id"]) for r in rows_of(seen, "ds", "item_id")] == [
        ("20261103", "i2"), ("20261103", "i3"), ("20261104", "i3"),
    ]  # fmt: skip


def test_context_is_that_of_the_impression_whatever_the_order(spark):
    rows = [(DAY, "r", "u", "i", e, at(2, h), None, s, None) for e, h, s in (("click", 8, "b"), ("expr", 7, "a"))]
    # in the same second: a scene that only clicks have would give the label away
    rows += [(DAY, "r", "v", "i", e, at(2, 7), None, s, None) for e, s in (("click", "a"), ("expr", "b"))]
    for order in (rows, rows[::-1]):
        found = rows_of(labelled(spark.createDataFrame(order, EVENTS), demo_solution()), "user_id")
        assert [(row["hour"], row["scene"], row["is_click"]) for row in found] == [(7, "a", 1), (7, "b", 1)]
