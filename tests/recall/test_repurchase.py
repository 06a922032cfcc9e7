"""Repurchase: histories in days, scores worked by hand, and a slow reference."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.lib.errors import SolutionError
from jobs.lib.solution import load_solution
from jobs.recall.repurchase import Params, repurchase, taken
from tests.features.builders import HOME_PAGE, demo_solution
from tests.recall.builders import layouts, table

DS = "20261121"
ACTS = "ds string, user_id string, item_id string"
COLUMNS = ("user_id", "rank", "item_id", "score")


def params(**more):
    return Params(name="repurchase", job="repurchase", **{"min_repeat_customers": 1, **more})


def took(user, item, *days_ago):
    return [(f"{date(2026, 11, 21) - timedelta(days=n):%Y%m%d}", user, item) for n in days_ago]


# milk: u1 on days 0 7 14 (14 days, 2 intervals), u2 on days 0 3 (3 days, 1 interval), u3 once: 17 / 3 days an interval.
TAKEN = [
    *took("u1", "milk", 21, 14, 7), *took("u2", "milk", 3, 0), *took("u3", "milk", 30),
    *took("u1", "lamp", 5), *took("u2", "lamp", 50), *took("u2", "lamp", 50),
    *took("u1", "soap", 40, 10), *took("u1", "soap", 10),
]  # fmt: skip
MILK = 17 / 3


def milk(k, span, since):
    """With a prior of one purchase."""
    expected = (span + MILK) / k
    t = span + (2 * abs(expected - since) if since < 2 * expected else since)
    return 2 / 3 * ((k + 1) / (t + MILK))


def test_scores_are_repeat_customers_times_the_rate_and_what_nobody_takes_again_is_left_out(spark):
    expected = [
        ("u1", 1, "milk", pytest.approx(milk(3, 14, 7), rel=1e-12)),
        # soap: 1 of 1 customer, interval 30, expected of u1 (30 + 30) / (1 + 1) = 30, taken 10 days ago
        ("u1", 2, "soap", pytest.approx((2 + 1) / (30 + 2 * 20 + 30), rel=1e-12)),
        ("u2", 1, "milk", pytest.approx(milk(2, 3, 0), rel=1e-12)),
        ("u3", 1, "milk", pytest.approx(2 / 3 * 2 / (30 + MILK), rel=1e-12)),  # long over: the time since the first
    ]
    found = [table(repurchase(rows, None, DS, params()), *COLUMNS) for rows in layouts(spark, TAKEN, ACTS)]
    assert found[0] == expected
    assert found[0] == found[1]


def test_what_was_just_taken_is_not_due_and_the_score_rises_to_the_rhythm_and_falls_after_it(spark):
    habit = [row for n in range(40) for row in took(f"u{n:02}", "milk", n + 20, n + 10, n)]  # every 10 days
    found = {
        row[0]: row[3] for row in table(repurchase(spark.createDataFrame(habit, ACTS), None, DS, params()), *COLUMNS)
    }
    scores = [found[f"u{n:02}"] for n in range(40)]
    assert max(scores) == scores[10]
    assert scores[:11] == sorted(scores[:11]) and scores[10:] == sorted(scores[10:], reverse=True)
    assert len(set(scores[:11])) == 11 and scores[20] == pytest.approx(scores[0])  # no jump at twice the interval


def test_items_need_repeat_customers_and_an_offer_and_lists_an_end(spark):
    rows = spark.createDataFrame(TAKEN, ACTS)
    many = table(repurchase(rows, None, DS, params(min_repeat_customers=2)), *COLUMNS)
    assert [row[:3] for row in many] == [("u1", 1, "milk"), ("u2", 1, "milk"), ("u3", 1, "milk")]
    assert table(repurchase(rows, None, DS, params(min_repeat_customers=3)), *COLUMNS) == []
    offered = spark.createDataFrame([("soap",), ("lamp",)], "item_id string")
    assert [row[:3] for row in table(repurchase(rows, offered, DS, params()), *COLUMNS)] == [("u1", 1, "soap")]
    first = table(repurchase(rows, None, DS, params(recall_count=1)), *COLUMNS)
    assert [row[:3] for row in first] == [("u1", 1, "milk"), ("u2", 1, "milk"), ("u3", 1, "milk")]
    assert table(repurchase(rows.limit(0), None, DS, params()), *COLUMNS) == []


def reference(rows, line: Params) -> list[tuple]:
    days = defaultdict(set)
    for ds, user, item in rows:
        days[user, item].add(date(int(ds[:4]), int(ds[4:6]), int(ds[6:])))
    of_item, found = defaultdict(list), defaultdict(list)
    for (_, item), mine in days.items():
        of_item[item].append((len(mine), (max(mine) - min(mine)).days))
    for (user, item), mine in days.items():
        again = [(k, span) for k, span in of_item[item] if k > 1]
        if len(again) < line.min_repeat_customers:
            continue
        a = line.prior_strength
        b = a * (sum(span for _, span in again) / sum(k - 1 for k, _ in again))
        k, span, since = len(mine), (max(mine) - min(mine)).days, (date(2026, 11, 21) - max(mine)).days
        expected = (span + b) / (k - 1 + a)
        t = span + (2 * abs(expected - since) if since < 2 * expected else since)
        found[user].append((-(len(again) / len(of_item[item]) * ((k + a) / (t + b))), item))
    return sorted(
        (user, rank, item, -score)
        for user, mine in found.items()
        for rank, (score, item) in enumerate(sorted(mine)[: line.recall_count], 1)
    )


CASE = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 12)), max_size=40)


@settings(max_examples=2, deadline=None, derandomize=True)
@given(
    cases=st.lists(CASE, min_size=20, max_size=40),
    strength=st.sampled_from([0.5, 1.0, 3.0]),
    least=st.integers(1, 2),
    count=st.integers(1, 4),
)
def test_the_job_equals_the_reference(spark, cases, strength, least, count):
    """Cases share no user and no item, so one Spark job answers all of them."""
    line = params(prior_strength=strength, min_repeat_customers=least, recall_count=count)
    rows = [
        row
        for n, case in enumerate(cases)
        for user, item, ago in case
        for row in took(f"{n}u{user}", f"{n}i{item}", ago)
    ]
    found = table(repurchase(spark.createDataFrame(rows, ACTS).repartition(3), None, DS, line), *COLUMNS)
    assert found == reference(rows, line)


def test_taking_is_the_event_of_the_highest_weight_or_the_one_named():
    assert taken(demo_solution(), params()) == "praise"
    assert taken(demo_solution(event_weights={"click": 2, "praise": 2}), params()) == "praise"
    assert taken(demo_solution(event_weights={"click": 3, "praise": 2}), params()) == "click"
    assert taken(demo_solution(event_weights={"click": 0, "praise": 0}), params()) == "click"
    assert taken(demo_solution(), params(event="click")) == "click"


@pytest.mark.parametrize(
    ("publish", "is_allowed"),
    [
        ({"exclude_seen": True, "seen_days": 29}, True),
        ({"exclude_seen": True, "seen_days": 30}, False),
        ({"exclude_seen": False, "seen_days": 30}, True),
    ],
)
def test_a_line_that_could_never_reach_a_list_is_refused_when_the_solution_is_loaded(tmp_path, publish, is_allowed):
    import yaml

    file = tmp_path / "solution.yaml"
    recalls = [{"name": "again", "job": "repurchase", "window_days": 30}]
    file.write_text(yaml.safe_dump(HOME_PAGE | {"recalls": recalls, "publish": {"fallback": None, **publish}}))
    if is_allowed:
        assert load_solution(file).recalls[0].window_days == 30
        return
    with pytest.raises(
        SolutionError, match=r"recalls\[again\]\.window_days: 30 days, all of which publish.exclude_seen"
    ):
        load_solution(file)


@pytest.mark.parametrize("wrong", [{"window_days": 1}, {"prior_strength": 0}, {"min_repeat_customers": 0}])
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        params(**wrong)
