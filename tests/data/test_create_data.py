"""The demo tables: the same rows however they are made, and consistent with each other."""

from collections import Counter, defaultdict
from datetime import datetime
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from jobs.data import create_data
from jobs.data.create_data import BEHAVIOR_TABLE, ITEM_TABLE, USER_TABLE, behavior, items, users
from jobs.lib.contracts import conform, load_contract
from jobs.lib.days import add_days, day_range, window
from jobs.lib.demo_params import DemoParams
from jobs.lib.errors import RecflowError

DS = "20261121"
SMALL = DemoParams(users=300, items=120, requests_per_day=150)
ZONE = "Asia/Shanghai"
MAKERS = {USER_TABLE: users, ITEM_TABLE: items, BEHAVIOR_TABLE: behavior}


@pytest.fixture(scope="module")
def made(spark):
    """Three days of each table in one pass, as rows."""
    days = window(DS, 3)
    return {table: make(spark, SMALL, days, ZONE).collect() for table, make in MAKERS.items()}


def of_day(rows, ds):
    return sorted(tuple(row) for row in rows if row["ds"] == ds)


@pytest.mark.parametrize("table", MAKERS)
def test_a_day_alone_is_the_same_as_within_a_range(spark, made, table):
    alone = MAKERS[table](spark, SMALL, [DS], ZONE).collect()
    assert sorted(map(str, alone)) == sorted(str(row) for row in made[table] if row["ds"] == DS)


def test_rows_do_not_depend_on_how_the_work_is_cut(spark, monkeypatch):
    params, rows = SMALL.overridden({"requests_per_day": 4500}), []
    for cores, partitions in ((1, 4), (7, 6)):
        monkeypatch.setattr(type(spark.sparkContext), "defaultParallelism", cores)
        cut = behavior(spark, params, window(DS, 2), ZONE)
        assert cut.rdd.getNumPartitions() == partitions  # of two days with three chunks each
        rows.append(of_day(cut.collect(), DS))
    assert rows[0] == rows[1] and len(rows[0]) > 40_000


@pytest.mark.parametrize("table", MAKERS)
def test_columns_are_those_of_the_contract(spark, table):
    conform(MAKERS[table](spark, SMALL, [DS], ZONE), load_contract(table), table)


def test_snapshots_hold_everyone_once_a_day(made):
    for table, key, n in ((USER_TABLE, "user_id", SMALL.users), (ITEM_TABLE, "item_id", SMALL.items)):
        per_day = Counter((row["ds"], row[key]) for row in made[table])
        assert set(per_day.values()) == {1} and len(per_day) == 3 * n


def test_a_click_follows_its_expr_and_a_praise_its_click(made):
    times = defaultdict(dict)
    for row in made[BEHAVIOR_TABLE]:
        shown = times[row["request_id"], row["user_id"], row["item_id"]]
        assert row["event"] not in shown
        shown[row["event"]] = row["event_time"]
    kinds = Counter(tuple(sorted(shown)) for shown in times.values())
    assert set(kinds) == {("expr",), ("click", "expr"), ("click", "expr", "praise")}
    for shown in times.values():
        assert shown["expr"] < shown.get("click", shown["expr"] + 1) < shown.get("praise", 2**40)


def test_playtime_is_on_clicks_and_heavy_tailed(made):
    played = sorted(row["playtime"] for row in made[BEHAVIOR_TABLE] if row["event"] == "click")
    assert all(row["playtime"] == 0 for row in made[BEHAVIOR_TABLE] if row["event"] != "click")
    assert played[0] > 0 and sum(played) / len(played) > 1.3 * played[len(played) // 2]


def test_nobody_acts_before_registration_nor_on_an_item_before_publication(made):
    registered = {str(row["user_id"]): row["register_time"] for row in made[USER_TABLE]}
    published = {str(row["item_id"]): row["pub_time"] for row in made[ITEM_TABLE]}
    for row in made[BEHAVIOR_TABLE]:
        assert row["event_time"] >= registered[row["user_id"]]
        assert row["event_time"] >= published[row["item_id"]]


def test_running_counts_grow_by_exactly_the_days_clicks_and_praises(made):
    happened = Counter((row["ds"], row["item_id"], row["event"]) for row in made[BEHAVIOR_TABLE])
    counts = {(row["ds"], row["item_id"]): (row["click_count"], row["praise_count"]) for row in made[ITEM_TABLE]}
    born_today = 0
    for (ds, item), (clicks, praises) in counts.items():
        before = counts.get((add_days(ds, -1), item))
        published = next(r["pub_time"] for r in made[ITEM_TABLE] if r["item_id"] == item)
        if datetime.fromtimestamp(published, ZoneInfo(ZONE)).strftime("%Y%m%d") == ds:
            before, born_today = (0, 0), born_today + 1
        assert 0 <= praises <= clicks
        if before is not None:
            assert clicks - before[0] == happened[ds, str(item), "click"]
            assert praises - before[1] == happened[ds, str(item), "praise"]
    assert born_today > 0


def test_what_users_made_and_gathered_never_decreases(made):
    counts = defaultdict(list)
    for row in sorted(made[USER_TABLE], key=lambda row: row["ds"]):
        counts[row["user_id"]].append((row["item_cnt"], row["follow_cnt"], row["follower_cnt"]))
    for history in counts.values():
        for before, after in zip(history, history[1:], strict=False):
            assert all(a >= b for a, b in zip(after, before, strict=True))
    assert max(row["item_cnt"] for row in made[USER_TABLE]) > 1


@pytest.mark.parametrize("ds, zone", [("20260308", "America/New_York"), ("20261101", "America/New_York"), (DS, "UTC")])
def test_events_lie_within_their_local_day(spark, ds, zone):
    rows = behavior(spark, SMALL, [ds], zone).select("event_time").collect()
    local = {datetime.fromtimestamp(row["event_time"], ZoneInfo(zone)).strftime("%Y%m%d") for row in rows}
    assert local == {ds}


def test_main_writes_the_three_tables_for_each_day(warehouse, spark):
    from jobs.lib.partitions import record

    no_tables = SimpleNamespace(user=None, item=None, behavior=None)
    solution = SimpleNamespace(timezone=ZONE, demo=SMALL, tables=no_tables)
    days = day_range("20261120", DS)
    create_data.main(days, solution, SimpleNamespace(params={"requests_per_day": 40}))
    assert record(USER_TABLE, DS)["rows"] == SMALL.users and record(ITEM_TABLE, DS)["rows"] == SMALL.items
    # About 38 requests of ten on that Saturday (the flag, not the solution's 150), and some clicks.
    assert 300 < record(BEHAVIOR_TABLE, DS)["rows"] < 600


def test_a_day_before_the_epoch_writes_nothing(warehouse):
    with pytest.raises(RecflowError, match="there is no ds=20240101"):
        create_data.main(["20240101"], SimpleNamespace(timezone=ZONE, demo=SMALL), None)
