"""Features from literal partials and snapshots: whole rows, attributes as of each day, a range against single days."""

from __future__ import annotations

import pytest

from jobs.features import actions_daily, item_features, user_features
from jobs.features.preferences import attribute_spans, constant_spans, kv_value
from jobs.features.windows import daily_totals, feature_names
from jobs.lib import roles
from jobs.lib.days import day_number
from jobs.lib.errors import MissingPartition
from jobs.lib.tables import present_days, read_days, write_days
from tests.features.builders import ACTIONS, EVENTS, ITEMS, demo_solution, rows_of

SMALL = {"windows": [1, 3], "preference": {"event": "click", "window": 3, "top": 2}}
ACTED = [
    ("20261101", "u1", "i1", "expr", 4, 0, 10),
    ("20261101", "u1", "i1", "click", 1, 2_500_000, 11),
    ("20261103", "u1", "i2", "expr", 1, 0, 12),
    ("20261103", "u2", "i2", "expr", 3, 0, 12),
    ("20261103", "u2", "i2", "click", 3, 3_000_000, 13),
]
LISTED = [
    ("20261101", "i1", "t", "a1", 0, None, "toys", 1.0, 0.0, 0.0),
    ("20261102", "i1", "t", "a1", 0, None, "toys", 1.0, 0.0, 0.0),
    ("20261103", "i1", "t", "a1", 0, None, "games", 1.0, 0.0, 0.0),
    ("20261103", "i2", "t", None, 0, None, "a,b:c", 1.0, 0.0, 0.0),
]


def test_actions_are_counted_per_user_item_and_event(spark):
    rows = [
        ("20261101", "r1", "u1", "i1", "click", 7, 0.1, "home", None),
        ("20261101", "r2", "u1", "i1", "click", 9, 0.2, "home", None),
        ("20261101", "r1", "u1", "i1", "expr", 6, None, "home", None),
    ]
    counted = actions_daily.actions_daily(spark.createDataFrame(rows, EVENTS))
    assert [tuple(row.values()) for row in rows_of(counted, "event")] == [
        ("u1", "i1", "click", "20261101", 2, 300_000, 9),
        ("u1", "i1", "expr", "20261101", 1, 0, 6),
    ]
    assert actions_daily.actions_daily(spark.createDataFrame([], EVENTS)).count() == 0


def test_features_of_literal_days(spark):
    solution = demo_solution(features=SMALL)
    actions = spark.createDataFrame(ACTED, ACTIONS)
    spans = attribute_spans(spark.createDataFrame(LISTED, ITEMS), roles.item_attributes(solution))
    days, present = ["20261102", "20261103"], ["20261101", "20261102", "20261103"]
    users = user_features.user_features(actions, spans, solution, days, present, daily_totals(actions))
    assert users.columns == ["user_id", *feature_names(solution, "user"), "ds"]
    first, second, third = rows_of(users, "ds", "user_id")
    assert (first["ds"], first["user_id"], first["user__history_days"]) == ("20261102", "u1", 2.0)
    assert (first["user__click_cnt_1d"], first["user__click_cnt_3d"]) == (0.0, 1.0)
    assert first["user__click_days_since"] == 1.0
    assert first["user__click_value_sum_3d"] == 2.5
    assert first["user__ctr_3d"] == (10 + 1) / (10 * 4 / 1 + 4)
    # the day's snapshot says toys on the 2nd and games on the 3rd, for the same click
    assert (first["user__category_click_kv_3d"], second["user__category_click_kv_3d"]) == ("toys:1", "games:1")
    assert second["user__expr_uniq_3d"] == 2.0 and second["user__expr_days_3d"] == 2.0
    assert second["user__author_click_kv_3d"] == "a1:1" and second["user__author_click_top_share_3d"] == 1.0
    assert (third["user_id"], third["user__category_click_kv_3d"]) == ("u2", "a%2Cb%3Ac:3")
    assert third["user__author_click_kv_3d"] is None and third["user__history_days"] == 3.0

    items = item_features.item_features(actions, solution, days, present, daily_totals(actions))
    last = rows_of(items, "ds", "item_id")[-1]
    assert (last["item_id"], last["item__expr_uniq_1d"], last["item__expr_cnt_1d"]) == ("i2", 2.0, 4.0)
    assert last["item__ctr_1d"] == (10 + 3) / (10 * 4 / 3 + 4)


def test_no_actions_give_no_features(spark):
    solution = demo_solution(features=SMALL)
    actions = spark.createDataFrame([], ACTIONS)
    assert item_features.item_features(actions, solution, ["20261103"], ["20261103"], {}).count() == 0
    spans = attribute_spans(spark.createDataFrame([], ITEMS), roles.item_attributes(solution))
    assert user_features.user_features(actions, spans, solution, ["20261103"], ["20261103"], {}).count() == 0


def test_spans_end_with_a_change_and_with_a_gap(spark):
    listed = ((1, "a"), (2, "a"), (4, "a"), (5, "b"))
    rows = [(f"202611{d:02}", "i1", None, None, 0, None, c, 0.0, 0.0, 0.0) for d, c in listed]
    one = day_number("20261101")
    spans = rows_of(attribute_spans(spark.createDataFrame(rows, ITEMS), ["category"]), "start")
    found = [(s["category"], s["start"] - one, s["until"] - one) for s in spans]
    assert found == [("a", 0, 2), ("a", 3, 4), ("b", 4, 5)]
    once = constant_spans(spark.createDataFrame(rows[:1], ITEMS), ["category"], ["20261101", "20261102"])
    assert [(s["start"] - one, s["until"] - one) for s in rows_of(once, "start")] == [(0, 2)]


def test_kv_values_can_be_split_at_their_separators(spark):
    frame = spark.createDataFrame([("50%, or: more",)], "value string")
    assert frame.select(kv_value(frame.value)).first()[0] == "50%25%2C or%3A more"


@pytest.fixture
def three_days(spark, warehouse):
    solution = demo_solution(features=SMALL)
    table = solution.table("actions_daily")
    write_days(spark.createDataFrame(ACTED, ACTIONS), table, ["20261101", "20261102", "20261103"], "actions_daily")
    items = spark.createDataFrame(
        [(row[0], int(row[1][1:]), row[2], row[6], 7, row[7], 1, 1, 0) for row in LISTED],
        "ds string, item_id bigint, title string, category string, author bigint, duration double, click_count bigint, "
        "praise_count bigint, pub_time bigint",
    )
    path = f"{warehouse}/warehouse/dev/{solution.tables.item.table}"
    items.write.format("delta").partitionBy("ds").save(path)
    return solution


def test_a_range_leaves_the_same_table_as_its_days_one_by_one(three_days):
    solution = three_days
    days = ["20261101", "20261102", "20261103"]
    table, node = solution.table("user_features"), solution.node("user_features")
    user_features.main(days, solution, node)
    together = rows_of(read_days(table, days), "ds", "user_id")
    assert {row["ds"] for row in together} == set(days)
    for ds in days[1:]:
        user_features.main([ds], solution, node)
    assert together == rows_of(read_days(table, days), "ds", "user_id")


def test_a_day_without_partials_is_refused_by_name(three_days):
    with pytest.raises(MissingPartition, match="home_page_actions_daily has no partition ds=20261104"):
        item_features.main(["20261103", "20261104"], three_days, three_days.node("item_features"))
    assert present_days(three_days.table("item_features"), ["20261103"]) == []


def test_a_day_without_behavior_cannot_be_counted(spark, warehouse):
    solution = demo_solution()
    events = spark.createDataFrame(
        [("20261110", "r", "u1", "e", "home", "wifi", 1, "1", "expr", 0.0)],
        "ds string, request_id string, user_id string, exp_id string, page string, net_type string, event_time bigint, "
        "item_id string, event string, playtime double",
    )
    path = f"{warehouse}/warehouse/dev/{solution.tables.behavior.table}"
    events.write.format("delta").partitionBy("ds").save(path)
    with pytest.raises(MissingPartition, match=f"{solution.tables.behavior.table} has no partition ds=20261112"):
        actions_daily.main(["20261112"], solution, solution.node("actions_daily"))
