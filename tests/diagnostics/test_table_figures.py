"""Figures of the raw tables, worked by hand."""

from __future__ import annotations

from jobs.diagnostics.figure import Figures
from jobs.diagnostics.table_figures import behavior_figures, column_figures, snapshot_figures
from tests.features.builders import demo_solution
from tests.ranking.builders import DAY, at

RAW = (
    "request_id string, user_id string, page string, net_type string, event_time bigint, item_id string, event string, "
    "playtime double, ds string"
)


def test_columns_are_missing_zero_dead_or_alive(spark):
    rows = [
        ("a", 0, float("nan"), None, DAY),
        (" ", 0, 2.0, None, DAY),
        (None, 5, None, None, DAY),
        ("a", 0, 0.0, None, DAY),
    ]
    f = Figures(column_figures(spark.createDataFrame(rows, "s string, i int, d double, e string, ds string"), "user"))
    assert {x.subject: x.value for x in f.of("column", "missing_share")} == {
        "user.s": 0.5, "user.i": 0.0, "user.d": 0.5, "user.e": 1.0,
    }  # fmt: skip
    assert {x.subject: x.value for x in f.of("column", "zero_share")} == {"user.i": 0.75, "user.d": 0.25}
    assert {x.subject: x.value for x in f.of("column", "distinct")} == {
        "user.s": 1.0, "user.i": 2.0, "user.d": 2.0, "user.e": 0.0,
    }  # fmt: skip
    assert {x.subject: x.value for x in f.of("column", "is_constant")} == {
        "user.s": 1.0, "user.i": 0.0, "user.d": 0.0, "user.e": 1.0,
    }  # fmt: skip
    assert {x.n for x in f.of("column", "missing_share")} == {4}


def test_a_table_without_rows_has_no_shares(spark):
    f = Figures(column_figures(spark.createDataFrame([], "s string, i int, ds string"), "item"))
    assert f.of("column", "missing_share") == [] and f.has("column")


def test_rows_that_do_not_count_are_counted(spark):
    good = ("r", "u", "home", "wifi", at(2, 9), "i", "click", 1.0, DAY)
    rows = [
        good, good, good,
        ("r", None, "home", "wifi", at(2, 9), "i", "click", 1.0, DAY),
        ("r", "u", "cart", "wifi", at(2, 9), "i", "click", 1.0, DAY),
        ("r", "u", None, "wifi", at(2, 9), "i", "buy", 1.0, DAY),
        ("r", "u", "home", "wifi", at(3, 0), "i", "click", 1.0, DAY),  # midnight in Shanghai is the next day
        ("r", "u", "home", "wifi", at(3, 0) - 1, "i", "click", 1.0, DAY),
    ]  # fmt: skip
    f = Figures(behavior_figures(spark.createDataFrame(rows, RAW), demo_solution()))
    shares = {name: f.value("table", "behavior", name) for name in (
        "duplicate_share", "without_id_share", "other_scene_share", "other_event_share", "other_day_share",
    )}  # fmt: skip
    assert shares == {
        "duplicate_share": 0.25, "without_id_share": 0.125, "other_scene_share": 0.25, "other_event_share": 0.125,
        "other_day_share": 0.125,
    }  # fmt: skip


def test_an_id_that_comes_twice_in_a_snapshot_is_a_duplicate(spark):
    users = spark.createDataFrame([("a",), ("a",), ("b",), ("c",)], "user_id string")
    assert Figures(snapshot_figures(users, "user")).get("table", "user", "duplicate_share")[3:] == (0.25, 4)
