"""Figures of the window: counted by Spark from literal partials, and arithmetic on groups by hand."""

from __future__ import annotations

import pytest

from jobs.diagnostics import window_figures as w
from jobs.diagnostics.figure import Figures
from tests.features.builders import ACTIONS, demo_solution

DS, DAYS = "20261103", ["20261101", "20261102", "20261103"]


@pytest.fixture(scope="module")
def actions(spark):
    rows = [
        ("20261101", "old", "i1", "click", 5, 0, 1),
        ("20261101", "both", "i1", "expr", 4, 0, 1),
        ("20261101", "both", "i1", "click", 2, 7, 1),
        ("20261103", "both", "i2", "expr", 3, 0, 1),
        ("20261103", "new", "i2", "click", 1, 0, 1),
    ]
    return spark.createDataFrame(rows, ACTIONS)


def test_ids_that_are_alike_are_one_group(spark, actions):
    users = spark.createDataFrame([("both",), ("old",), ("idle",), ("idle2",)], "user_id string")
    assert sorted(w.groups(actions, users, DS, "click", "user"), key=repr) == sorted(
        [
            w.Group(True, False, True, 2, 5, 1, 0),  # old
            w.Group(True, True, True, 2, 2, 1, 3),  # both
            w.Group(False, True, False, 0, 1, 1, 1),  # new, and not in the table
            w.Group(True, False, False, None, 0, 2, 0),  # idle ones
        ],
        key=repr,
    )


def test_without_a_snapshot_nothing_is_said_about_joins(actions):
    groups = w.groups(actions, None, DS, "click", "item")
    assert {g.is_listed for g in groups} == {None} and w.join_figures(groups, "item") == []


GROUPS = [
    w.Group(True, False, True, 2, 5, 1, 0),
    w.Group(True, True, True, 9, 2, 2, 30),
    w.Group(False, True, False, 0, 1, 1, 10),
    w.Group(True, False, False, None, 0, 4, 0),
]


def test_joins_new_ids_and_idle_ones():
    f = Figures(w.join_figures(GROUPS, "user") + w.new_figures(GROUPS, "user"))
    assert f.get("join", "user", "ids_found_share")[3:] == (2 / 3, 3)
    assert f.get("join", "user", "events_found_share")[3:] == (0.75, 40)
    assert f.get("cold", "user", "idle_share")[3:] == (4 / 7, 7)
    assert f.get("cold", "user", "new_share")[3:] == (1 / 3, 3)
    assert f.get("cold", "user", "new_events_share")[3:] == (0.25, 40)


def test_the_head_is_the_busiest_of_those_with_any_event():
    f = Figures(w.head_figures(GROUPS, "item"))  # 5, 2, 2, 1 of 10 clicks; the four idle ones do not count
    assert [f.value("head", "item", f"top_{p}_percent") for p in w.HEADS] == [0.5, 0.5, 0.5, 0.5, 0.7]
    assert f.get("head", "item", "top_1_percent").n == 4


def test_windows_reach_users_with_a_target_and_only_as_far_as_there_is_history():
    solution = demo_solution(features={"windows": [3, 10]})
    f = Figures(w.window_figures(GROUPS, solution, 12))
    assert f.get("window", "3d", "reached_share")[3:] == (0.5, 4)
    assert f.value("window", "10d", "reached_share") == 1.0
    assert f.get("window", "21d", "reached_share") is None
    assert f.value("window", "user", "target_cnt_mean") == 2.5


def test_age_is_counted_inside_the_window_only_at_its_edge():
    on_the_edge, beyond = w.Group(None, True, True, 2, 1, 1, 1), w.Group(None, True, True, 3, 1, 1, 1)
    f = Figures(w.window_figures([on_the_edge, beyond], demo_solution(features={"windows": [3]}), 30))
    assert f.value("window", "3d", "reached_share") == 0.5


def test_the_funnel_stands_beside_a_usual_day(actions):
    f = Figures(w.funnel_figures(w.daily_counts(actions), DS, DAYS, demo_solution()))
    assert f.value("funnel", "click", "rate") == 1 / 3
    assert f.value("funnel", "expr", "of_usual_day") == 3 / 2  # 4 on two days
    assert f.value("funnel", "praise", "events") == 0.0
    assert f.get("funnel", "praise", "with_value_share") is None
