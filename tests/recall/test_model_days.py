"""The model-based recalls on stored tables: what they read and write, and that a re-run changes nothing."""

from __future__ import annotations

import importlib

import pytest

from jobs.lib import partitions
from jobs.lib.errors import MissingPartition
from jobs.lib.tables import read_days, write_days
from tests.features.builders import ACTIONS, demo_solution
from tests.recall.builders import table

DAY, LONG_AGO = "20261121", 1_700_000_000
RECALLS = [
    {"name": "ease_i2i", "job": "ease_i2i", "window_days": 2},
    {"name": "vectors", "job": "vectors", "window_days": 2},
    {"name": "vector_i2i", "job": "vector_i2i", "source": "vectors"},
    {"name": "vector_u2i", "job": "vector_u2i", "source": "vectors"},
    {"name": "cold_start", "job": "cold_start", "source": "vectors"},
]
# u1 and u2 took 1 and 2, u5 took 1 alone; 9 is not on offer, nobody took 3; u3 was shown one, u4 does nothing.
ACTED = [(day, user, item, "click", 1, 0, 1) for day, user in (("20261120", "1"), (DAY, "2")) for item in "12"]
ACTED += [(DAY, "2", "9", "praise", 1, 0, 1), (DAY, "1", "9", "click", 1, 0, 1), (DAY, "5", "1", "click", 1, 0, 1)]
ACTED += [(DAY, "3", "1", "expr", 1, 0, 1), ("20261119", "4", "3", "click", 1, 0, 1)]
ITEM = "item_id bigint, duration double, title string, category string, author bigint, click_count bigint, "
ITEM += "praise_count bigint, pub_time bigint, ds string"
USER = "user_id bigint, gender string, age bigint, city string, item_cnt bigint, follow_cnt bigint, "
USER += "follower_cnt bigint, register_time bigint, tags string, ds string"


@pytest.fixture(scope="module")
def run(spark, tmp_path_factory):
    """The recalls of the day; runs a node again by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECFLOW_HOME", str(tmp_path_factory.mktemp("models")))
        for name in ("RECFLOW_WAREHOUSE", "RECFLOW_ENV", "RECFLOW_SOLUTION"):
            patch.delenv(name, raising=False)
        solution = demo_solution(recalls=RECALLS, publish={"active_days": 2, "seen_days": 3})
        days = ["20261119", "20261120", DAY]
        write_days(spark.createDataFrame(ACTED, ACTIONS), "home_page_actions_daily", days, "actions_daily")
        items = [(n, 1.0, "t", "c", 1, 0, 0, LONG_AGO, DAY) for n in (1, 2, 3)]
        users = [(n, "female", 30, "c", 0, 0, 0, LONG_AGO, "a,b", DAY) for n in (1, 2, 3, 4)]
        for config, rows, columns in ((solution.tables.item, items, ITEM), (solution.tables.user, users, USER)):
            write_days(spark.createDataFrame(rows, columns), config.table, [DAY], config.table)

        def again(name, day=DAY):
            node = solution.node(name)
            importlib.import_module(node.module).main([day], solution, node)

        for line in RECALLS:
            again(line["name"])
        yield again


def stored(name, *columns):
    return table(read_days(f"home_page_{name}", [DAY]), *columns)


def test_similar_items_come_from_the_window_and_from_weighted_events(run):
    pairs = [("1", "2"), ("1", "9"), ("2", "1"), ("2", "9"), ("9", "1"), ("9", "2")]
    assert stored("ease_i2i", "trigger_item_id", "item_id") == pairs
    assert stored("vector_i2i", "trigger_item_id", "item_id") == pairs


def test_vectors_are_of_who_acted_and_of_what_was_acted_on(run):
    keys = [("item", "1"), ("item", "2"), ("item", "9"), ("user", "1"), ("user", "2"), ("user", "5")]
    assert stored("vectors", "side", "id") == keys


def test_personal_recall_is_of_what_is_on_offer_and_not_seen(run):
    assert stored("vector_u2i", "user_id", "item_id") == [("5", "2")]


def test_cold_start_serves_new_users_and_places_new_items(run):
    """u4 took 3 within seen_days, though not in the window of the vectors."""
    listed = [("1", "3"), ("2", "3"), ("3", "1"), ("3", "2"), ("3", "3"), ("4", "1"), ("4", "2"), ("5", "3")]
    assert stored("cold_start", "user_id", "item_id") == listed


def test_a_day_again_gives_the_same_content(run):
    for name in ("ease_i2i", "vectors", "vector_u2i", "cold_start"):
        before = partitions.record(f"home_page_{name}", DAY)
        run(name)
        assert partitions.record(f"home_page_{name}", DAY) == before, name


@pytest.mark.parametrize("name", [line["name"] for line in RECALLS])
def test_a_day_without_its_input_is_refused_naming_table_and_day(run, name):
    with pytest.raises(MissingPartition, match="home_page_[a-z_0-9]+ has no partition ds=20261122"):
        run(name, "20261122")
