"""The recall nodes on stored tables: what they read, which days they write, and that a re-run changes nothing."""

from __future__ import annotations

import importlib

import pytest

from jobs.lib import partitions
from jobs.lib.errors import MissingPartition
from jobs.lib.tables import read_days, write_days
from jobs.ranking.candidates import short_lists
from tests.features.builders import ACTIONS, demo_solution
from tests.recall.builders import table

DAYS = ["20261120", "20261121"]
LONG_AGO = 1_700_000_000
RECALLS = [
    {"name": "hot", "job": "hot", "window_days": 2},
    {"name": "hot_fallback", "job": "hot_fallback", "source": "hot"},
    {"name": "etrec_i2i", "job": "etrec_i2i", "window_days": 3, "similarity": "cosine"},
    {"name": "etrec_u2i", "job": "u2i", "source": "etrec_i2i", "trigger_window_days": 2},
    {"name": "trending", "job": "trending", "window_days": 2, "formula": "target_uv + 10 * before_target_uv"},
    {"name": "grouped_hot", "job": "grouped_hot", "window_days": 2, "min_users": 1, "groups": [["gender"]]},
    {"name": "session_i2i", "job": "session_i2i", "window_days": 3},
    {"name": "again", "job": "repurchase", "window_days": 4, "event": "click", "min_repeat_customers": 1},
]
ACTED = [
    ("20261118", "u1", "1", "click", 1, 0, 1),  # outside every window of the 21st
    ("20261118", "u1", "2", "click", 1, 0, 1),
    ("20261119", "u2", "1", "click", 1, 0, 1),  # the first day of etrec's window of the 21st
    ("20261119", "u2", "3", "praise", 1, 0, 1),
    ("20261120", "u3", "1", "click", 1, 0, 1),  # the first day of hot's and the triggers' window
    ("20261121", "u3", "1", "click", 1, 0, 1),  # again, the day after
    ("20261121", "u4", "3", "expr", 1, 0, 1),
    ("20261121", "u5", "9", "click", 1, 0, 1),  # not on offer
]
ITEM = "item_id bigint, duration double, title string, category string, author bigint, click_count bigint, "
ITEM += "praise_count bigint, pub_time bigint, ds string"
USER = "user_id bigint, gender string, age bigint, city string, item_cnt bigint, follow_cnt bigint, "
USER += "follower_cnt bigint, register_time bigint, tags string, ds string"


@pytest.fixture(scope="module")
def run(spark, tmp_path_factory):
    """The flow of both days in one pass; runs a node again by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECFLOW_HOME", str(tmp_path_factory.mktemp("recalls")))
        for name in ("RECFLOW_WAREHOUSE", "RECFLOW_ENV", "RECFLOW_SOLUTION"):
            patch.delenv(name, raising=False)
        publish = {"active_days": 2, "seen_days": 3, "candidates": 3}
        solution = demo_solution(recalls=RECALLS, publish=publish, fusion={"method": "fixed"})
        acted = spark.createDataFrame(ACTED, ACTIONS)
        write_days(acted, "home_page_actions_daily", ["20261118", "20261119", *DAYS], "actions_daily")
        items = [(n, 1.0, "t", "c", 1, 0, 0, LONG_AGO, ds) for n in (1, 2, 3) for ds in DAYS]
        item_table = solution.tables.item.table
        write_days(spark.createDataFrame(items, ITEM), item_table, DAYS, item_table)
        users = [(1, "f", 30, "X", 0, 0, 0, LONG_AGO, None, ds) for ds in DAYS]
        user_table = solution.tables.user.table
        write_days(spark.createDataFrame(users, USER), user_table, DAYS, user_table)

        def again(name, days):
            node = solution.node(name)
            importlib.import_module(node.module).main(days, solution, node)

        for node in solution.nodes():
            if node.stage == "recall" or node.name == "candidates":
                again(node.name, DAYS)
        again.solution = solution
        yield again


def stored(name, ds, *columns):
    return table(read_days(f"home_page_{name}", [ds]), *columns)


def test_hot_counts_the_days_of_its_window_and_no_other(run):
    assert [row[0] for row in stored("hot", "20261121", "item_id")] == ["1"]  # u3's; u2's praise is no click
    assert [row[0] for row in stored("hot", "20261120", "item_id")] == ["1"]


def test_the_fallback_is_the_hot_list_of_its_day(run):
    for ds in DAYS:
        ((item, score),) = stored("hot", ds, "item_id", "score")
        assert stored("hot_fallback", ds, "key", "item_ids", "count") == [("-1", f"{item}:hot_fallback:{score!r}", 1)]


def test_similar_items_come_from_the_training_window_and_from_weighted_events(run):
    pairs = ("trigger_item_id", "item_id", "score")
    assert stored("etrec_i2i", "20261121", *pairs) == [("1", "3", 1.0), ("3", "1", 1.0)]
    before = {(trigger, item) for trigger, item, _ in stored("etrec_i2i", "20261120", *pairs)}
    assert before == {("1", "2"), ("1", "3"), ("2", "1"), ("3", "1")}


def test_personal_recall_starts_from_the_triggers_of_its_window(run):
    assert [row[:2] for row in stored("etrec_u2i", "20261121", "user_id", "item_id")] == [("u3", "3")]


def test_trending_reads_two_windows_and_grouped_hot_the_users(run):
    assert stored("trending", "20261121", "item_id", "score") == [("1", 1 + 10 * 2.0)]  # u3; before that u1 and u2
    assert stored("trending", "20261120", "item_id", "score") == [("1", 2 + 10 * 1.0)]
    for ds in DAYS:
        everyones = stored("grouped_hot", ds, "group_key", "rank", "item_id")
        assert everyones == [("-1", 1, "1"), ("NULL", 1, "1"), ("f", 1, "1")]


def test_sessions_and_repurchases_are_those_of_their_windows(run):
    pairs = ("trigger_item_id", "item_id", "score")
    assert stored("session_i2i", "20261121", *pairs) == [("1", "3", 1.0), ("3", "1", 1.0)]
    assert len(stored("session_i2i", "20261120", *pairs)) == 4  # and u1's 1 and 2 of the 18th
    # One of three customers came back, a day later: 1/3 times (k + 1) / (t + 1), for u3 (taken today) t = 1 + 2 * 1.
    rates = [("u1", 2 / (3 + 1)), ("u2", 2 / (2 + 1)), ("u3", 3 / (1 + 2 + 1))]
    assert stored("again", "20261121", "user_id", "item_id", "score") == [
        (user, "1", pytest.approx(rate / 3)) for user, rate in rates
    ]
    assert stored("again", "20261120", "user_id") == []


def test_candidates_are_those_of_users_active_in_the_window_without_what_they_acted_on(run):
    listed = stored("candidates", "20261121", "user_id", "rank", "item_id")
    assert listed == [  # u4 was only shown 3, u3 acted on 1; 2 and what nobody recalls are of the catalog
        ("u3", 1, "3"), ("u3", 2, "2"),
        ("u4", 1, "1"), ("u4", 2, "2"), ("u4", 3, "3"),
        ("u5", 1, "1"), ("u5", 2, "2"), ("u5", 3, "3"),
    ]  # fmt: skip
    brought = (
        read_days("home_page_candidates", ["20261121"]).selectExpr("user_id", "item_id", "sources.recall").collect()
    )
    sources = {(user, item): recalls for user, item, recalls in brought}
    assert sources["u4", "1"] == ["grouped_hot", "hot", "trending"] and sources["u4", "2"] == ["catalog"]


def test_users_with_fewer_candidates_than_wanted_are_counted(run):
    assert short_lists(run.solution, "20261121") == [(2, 1)]  # u3 has acted on one of the three on offer


def test_a_day_again_gives_the_same_content_and_touches_no_other_day(run):
    for name in ("hot", "hot_fallback", "etrec_i2i", "etrec_u2i", "candidates"):
        before = [partitions.record(f"home_page_{name}", ds) for ds in DAYS]
        run(name, DAYS[1:])
        assert [partitions.record(f"home_page_{name}", ds) for ds in DAYS] == before, name


@pytest.mark.parametrize(
    "name", ["hot", "hot_fallback", "etrec_i2i", "etrec_u2i", "trending", "session_i2i", "again", "candidates"]
)
def test_a_day_without_its_input_is_refused_naming_table_and_day(run, name):
    with pytest.raises(MissingPartition, match="home_page_[a-z_0-9]+ has no partition ds=20261122"):
        run(name, ["20261122"])
