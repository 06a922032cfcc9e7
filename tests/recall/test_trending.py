"""Trending: literal actions of two windows in, the whole list out, scores worked by hand."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.recall.trending import Params, trending
from tests.features.builders import ACTIONS, demo_solution
from tests.recall.builders import layouts, table

DS = "20261121"
NOW, BEFORE = ["20261120", DS], ["20261118", "20261119"]  # windows of two days
ITEMS = "item_id string, listing_time bigint"
COLUMNS = ("group_key", "rank", "item_id", "score")


def clicks(ds, item, users, event="click"):
    return [(ds, f"u{n}", item, event, 1, 0, 1) for n in range(users)]


ACTED = [
    *clicks(BEFORE[0], "grew", 2), *clicks(BEFORE[1], "grew", 1), *clicks(NOW[0], "grew", 8),
    *clicks(BEFORE[1], "fell", 5), *clicks(NOW[0], "fell", 1),
    *clicks(NOW[1], "new", 2), *clicks(NOW[0], "new", 1),
    *clicks(BEFORE[0], "gone", 2), *clicks(NOW[0], "gone", 6),
    *clicks(BEFORE[0], "same", 4), *clicks(NOW[0], "same", 4),
    *clicks(BEFORE[1], "over", 3),
]  # fmt: skip
# Users by item, now and before: grew 8 2, fell 1 5, new 2 0, gone 6 2, same 4 4, over 0 3: together 21 and 16.
GROWTH = (21 + 10) / (16 + 10)
ON_OFFER = [(item, None) for item in ("grew", "fell", "new", "same", "over", "quiet")]


def params(**more):
    return Params(name="trending", job="trending", window_days=2, **more)


def score(now, before, growth=GROWTH, smoothing=10):
    return (now - growth * before) / math.sqrt(now + growth * before + smoothing)


@pytest.fixture(scope="module")
def acted(spark):
    return spark.createDataFrame(ACTED, ACTIONS).persist()


@pytest.fixture(scope="module")
def on_offer(spark):
    return spark.createDataFrame(ON_OFFER, ITEMS).persist()


def test_items_are_ranked_by_their_users_against_those_to_expect_from_the_window_before(acted, on_offer):
    result = trending(acted, on_offer, DS, demo_solution(), params())
    assert result.columns == ["group_key", "item_id", "score", "rank"]
    assert table(result, *COLUMNS) == [
        ("-1", 1, "grew", pytest.approx(score(8, 2), rel=1e-12)),
        ("-1", 2, "new", pytest.approx(score(2, 0), rel=1e-12)),
    ]  # same and fell grew less than everything together, over is over, `gone` is not on offer


def test_one_user_of_a_new_item_is_no_trend_and_smoothing_says_how_many_are():
    assert score(1, 0, growth=1) == pytest.approx(0.30, abs=0.005)
    assert score(1, 0, growth=1) < score(10, 0, growth=1) < score(150, 100, growth=1)
    assert score(1, 0, growth=1) < score(110, 100, growth=1)
    assert score(1, 0, growth=1, smoothing=0.1) > score(110, 100, growth=1, smoothing=0.1)


def test_without_a_window_before_the_list_is_that_of_the_users(acted, on_offer):
    first = acted.where(f"ds >= '{NOW[0]}'")
    listed = table(trending(first, on_offer, DS, demo_solution(), params()), *COLUMNS)
    assert [(item, value) for _, _, item, value in listed] == [
        (item, pytest.approx(users / math.sqrt(users + 10), rel=1e-12))
        for item, users in (("grew", 8), ("same", 4), ("new", 2), ("fell", 1))
    ]


def test_the_formula_names_figures_of_both_windows(spark, on_offer):
    rows = [*ACTED, *clicks(NOW[0], "grew", 3, "expr"), *clicks(BEFORE[0], "grew", 4, "praise")]
    formula = "target_cnt + 10 * before_target_cnt + 100 * click_uv + 1000 * expr + 10000 * before_praise_uv"
    every = spark.createDataFrame(rows, ACTIONS)
    listed = table(trending(every, on_offer, DS, demo_solution(), params(formula=formula)), *COLUMNS)
    assert listed[0] == ("-1", 1, "grew", 8 + 30 + 800 + 3000 + 40000.0)
    assert [row[2:] for row in listed[1:]] == [("same", 4 + 40 + 400.0), ("new", 3 + 200.0), ("fell", 1 + 50 + 100.0)]


def test_the_event_is_configuration_and_top_n_keeps_the_lower_id_of_a_tie(spark, on_offer):
    rows = [*clicks(DS, "new", 1, "praise"), *clicks(DS, "grew", 1, "praise"), *clicks(DS, "same", 3)]
    praised = trending(
        spark.createDataFrame(rows, ACTIONS), on_offer, DS, demo_solution(), params(event="praise", top_n=1)
    )
    assert table(praised, *COLUMNS) == [("-1", 1, "grew", pytest.approx(score(1, 0)))]


def test_order_and_partitions_change_nothing_and_no_actions_make_an_empty_list(spark, acted, on_offer):
    first, second = (
        table(trending(rows, on_offer, DS, demo_solution(), params()), *COLUMNS)
        for rows in layouts(spark, ACTED, ACTIONS)
    )
    assert first == second
    assert table(trending(acted.limit(0), on_offer, DS, demo_solution(), params()), *COLUMNS) == []


ACT = st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 6))


@settings(max_examples=3, deadline=None, derandomize=True)
@given(acts=st.lists(ACT, max_size=80), top_n=st.integers(1, 6))
def test_the_job_equals_the_reference(spark, acts, top_n):
    rows = [([*BEFORE, *NOW][day], f"u{user}", f"i{item}", "click", 1, 0, 1) for day, user, item in acts]
    users = {True: defaultdict(set), False: defaultdict(set)}
    for day, user, item in acts:
        users[day >= 2][f"i{item}"].add(user)
    growth = (sum(map(len, users[True].values())) + 10.0) / (sum(map(len, users[False].values())) + 10.0)
    scores = {item: score(len(now), len(users[False][item]), growth) for item, now in users[True].items()}
    best = sorted((-value, item) for item, value in scores.items() if value > 0)[:top_n]
    found = trending(spark.createDataFrame(rows, ACTIONS), None, DS, demo_solution(), params(top_n=top_n))
    assert table(found, *COLUMNS) == [("-1", rank, item, -value) for rank, (value, item) in enumerate(best, 1)]


@pytest.mark.parametrize("wrong", [{"smoothing": 0}, {"smoothing": float("inf")}, {"formula": "adj_factor"}])
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        params(**wrong)
