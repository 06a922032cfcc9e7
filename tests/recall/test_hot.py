"""Hot: literal actions in, the whole list out, scores worked by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.lib.errors import SolutionError
from jobs.recall.hot import Params, hot
from tests.features.builders import ACTIONS, demo_solution
from tests.recall.builders import layouts, table

DS = "20261121"
THIRTY_DAYS_AGO = 1_792_600_200  # 2026-10-22 00:30 in Shanghai, still the day before in UTC
TOMORROW = 1_795_305_600  # 2026-11-22 08:00 in Shanghai

ACTED = [
    ("20261120", "u1", "i1", "expr", 4, 0, 1),
    ("20261120", "u1", "i1", "click", 2, 0, 1),
    (DS, "u1", "i1", "click", 1, 0, 1),
    (DS, "u2", "i1", "click", 1, 0, 1),
    (DS, "u2", "i1", "expr", 2, 0, 1),
    (DS, "u2", "i1", "praise", 1, 0, 1),
    (DS, "u1", "i2", "click", 5, 0, 1),
    (DS, "u3", "i5", "click", 1, 0, 1),
    (DS, "u1", "i3", "expr", 100, 0, 1),
    (DS, "u1", "gone", "click", 1, 0, 1),
]
ITEMS = "item_id string, listing_time bigint"
ON_OFFER = [("i1", THIRTY_DAYS_AGO), ("i2", TOMORROW), ("i3", None), ("i5", None), ("i6", None)]
FADED = 2 * 2 / (6 + 10) * math.exp(-1)  # two users, shown six times, thirty days old


def params(**more):
    return Params(name="hot", job="hot", **more)


def listed(frame):
    return [(row["item_id"], row["score"], row["rank"]) for row in frame.orderBy("rank").collect()]


@pytest.fixture(scope="module")
def acted(spark):
    return spark.createDataFrame(ACTED, ACTIONS).persist()


@pytest.fixture(scope="module")
def on_offer(spark):
    return spark.createDataFrame(ON_OFFER, ITEMS).persist()


def test_the_score_is_that_of_the_tutorial_and_ties_go_to_the_lower_id(acted, on_offer):
    result = hot(acted, on_offer, DS, demo_solution(), params())
    assert result.columns == ["group_key", "item_id", "score", "rank"]
    assert {row["group_key"] for row in result.collect()} == {"-1"}
    # i2 is listed tomorrow and i5 at no known time: neither fades. i3 was only shown, `gone` is not on offer.
    assert listed(result) == [("i2", 0.1, 1), ("i5", 0.1, 2), ("i1", pytest.approx(FADED, rel=1e-12), 3)]


def test_any_seen_item_counts_where_the_snapshot_is_not_complete_or_missing(acted, on_offer):
    incomplete = demo_solution(tables={"item": {"complete": False}})
    assert [item for item, _, _ in listed(hot(acted, on_offer, DS, incomplete, params()))] == ["gone", "i2", "i5", "i1"]
    unfaded = listed(hot(acted, None, DS, demo_solution(), params()))
    assert unfaded == [("i1", 0.25, 1), ("gone", 0.1, 2), ("i2", 0.1, 3), ("i5", 0.1, 4)]


def test_top_n_keeps_the_best(acted, on_offer):
    assert [item for item, _, _ in listed(hot(acted, on_offer, DS, demo_solution(), params(top_n=1)))] == ["i2"]


def test_event_and_formula_are_configuration(acted, on_offer):
    formula = "target_uv + 10 * click_cnt + 100 * click_uv + 1000 * expr + item_publish_days / 100 + adj_factor"
    praised = hot(acted, on_offer, DS, demo_solution(), params(event="praise", formula=formula, adj_factor=0.5))
    assert listed(praised) == [("i1", 1 + 40 + 200 + 6000 + 0.3 + 0.5, 1)]


def test_an_item_without_a_finite_score_is_left_out(acted, on_offer):
    for formula in ("1 / (click_uv - 1)", "ln(click_uv - 1)", "exp(1000 * (2 - click_uv)) * 0 + 1"):
        kept = hot(acted, on_offer, DS, demo_solution(), params(formula=formula))
        assert [item for item, _, _ in listed(kept)] == ["i1"], formula


def test_without_impressions_expr_is_zero(acted, on_offer):
    positives_only = demo_solution(tables={"behavior": {"impressions": False}})
    scores = listed(hot(acted, on_offer, DS, positives_only, params()))
    assert ("i1", pytest.approx(2 * 2 / 10 * math.exp(-1), rel=1e-12), 1) in scores


def test_order_and_partitions_of_the_input_change_nothing(spark, on_offer):
    first, second = (
        table(hot(actions, on_offer, DS, demo_solution(), params()), "group_key", "rank", "item_id", "score")
        for actions in layouts(spark, ACTED, ACTIONS)
    )
    assert first == second


def test_no_actions_make_an_empty_list(acted, on_offer):
    assert listed(hot(acted.limit(0), on_offer, DS, demo_solution(), params())) == []


def test_an_event_that_the_solution_lacks_is_named(acted, on_offer):
    for wrong in ({"formula": "purchase_uv"}, {"event": "purchase"}):
        with pytest.raises(SolutionError, match="'purchase' is not an event; allowed: expr, click, praise"):
            hot(acted, on_offer, DS, demo_solution(), params(**wrong))


USER, ITEM, EVENT = st.integers(0, 4), st.integers(0, 6), st.sampled_from(["expr", "click", "praise"])


@settings(max_examples=3, deadline=None, derandomize=True)
@given(
    counts=st.dictionaries(st.tuples(st.sampled_from(["20261120", DS]), USER, ITEM, EVENT), st.integers(1, 3)),
    offered=st.sets(ITEM), top_n=st.integers(1, 5),
)  # fmt: skip
def test_the_job_equals_the_reference(spark, counts, offered, top_n):
    """The tutorial's formula item by item; nothing fades, so scores tie."""
    rows = [(ds, f"u{user}", f"i{item}", event, cnt, 0, 1) for (ds, user, item, event), cnt in counts.items()]
    scores = []
    for item in offered:
        clickers = {user for (_, user, of, event) in counts if of == item and event == "click"}
        shown = sum(cnt for (_, _, of, event), cnt in counts.items() if of == item and event == "expr")
        if clickers:
            scores.append((-(len(clickers) * len(clickers) / (shown + 10.0)), f"i{item}"))
    expected = [(item, -score, rank) for rank, (score, item) in enumerate(sorted(scores)[:top_n], 1)]
    on_offer = spark.createDataFrame([(f"i{item}", None) for item in offered], ITEMS)
    actions = spark.createDataFrame(rows, ACTIONS).repartition(3)
    assert listed(hot(actions, on_offer, DS, demo_solution(), params(top_n=top_n))) == expected
