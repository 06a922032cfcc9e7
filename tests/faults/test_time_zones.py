"""Days at the edges: clocks that change at midnight, ends of months, Feb 29, and a day's rows in such zones."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import deltalake
import pyarrow as pa
import pytest

from jobs.features.actions_daily import actions_daily
from jobs.lib import days, partitions, roles
from jobs.lib.input_tables import TableConfig
from jobs.lib.spark import F
from jobs.lib.tables import read_days
from tests.features.builders import demo_solution

# zone, a day on which clocks change, its hours
CHANGES = [
    ("America/Havana", "20260308", 23),  # 00:00 does not exist
    ("America/Havana", "20261101", 25),  # 00:00 to 01:00 comes twice
    ("Africa/Cairo", "20260424", 23),  # 00:00 does not exist
    ("Africa/Cairo", "20261029", 25),  # 23:00 to 24:00 comes twice
    ("America/Santiago", "20260906", 23),
    ("America/Santiago", "20260404", 25),
    ("Australia/Lord_Howe", "20261004", 23.5),
    ("Asia/Shanghai", "20240229", 24),
    ("Asia/Kathmandu", "20261231", 24),
]
ROLES = {"user_id": "uid", "item_id": "sku", "event": "what", "event_time": "at"}


@pytest.mark.parametrize("zone, ds, hours", CHANGES)
def test_a_day_begins_where_the_one_before_ends_and_has_its_own_length(zone, ds, hours):
    first, last = days.first_moment(ds, zone), days.first_moment(days.add_days(ds, 1), zone)
    assert (last - first) / 3600 == hours
    local = [datetime.fromtimestamp(second, ZoneInfo(zone)).strftime("%Y%m%d") for second in (first - 1, first, last)]
    assert local == [days.add_days(ds, -1), ds, days.add_days(ds, 1)]


@pytest.mark.parametrize("zone", sorted({zone for zone, _, _ in CHANGES}))
def test_every_hour_of_five_years_is_in_exactly_the_day_that_its_clock_shows(zone):
    """Feb 29, ends of months and all changes of clocks in between."""
    bounds = {ds: days.first_moment(ds, zone) for ds in days.day_range("20240101", "20290102")}
    moment, end = bounds["20240101"], bounds["20290101"]
    while moment < end:
        ds = datetime.fromtimestamp(moment, ZoneInfo(zone)).strftime("%Y%m%d")
        assert bounds[ds] <= moment < bounds[days.add_days(ds, 1)]
        moment += 3600 + 59


def test_windows_cross_ends_of_months_and_leap_days():
    assert days.window("20240301", 3) == ["20240228", "20240229", "20240301"]
    assert days.window("20230301", 3) == ["20230227", "20230228", "20230301"]
    assert days.window("20270101", 2) == ["20261231", "20270101"]
    assert days.add_days("20240229", 366) == "20250301" and days.add_days("20240229", -365) == "20230301"
    assert days.window("21000301", 2) == ["21000228", "21000301"]


@pytest.mark.parametrize("zone, ds, hours", CHANGES)
def test_events_of_an_undated_log_fall_into_the_day_that_their_clock_shows(spark, warehouse, tmp_path, zone, ds, hours):
    before, after = days.add_days(ds, -1), days.add_days(ds, 1)
    first, last = days.first_moment(ds, zone), days.first_moment(after, zone)
    at = [first - 1, first, first + 3600, last - 1, last, last + 2 * 86400]
    rows = pa.table({"uid": [f"u{n}" for n in range(6)], "sku": ["a"] * 6, "what": ["click"] * 6, "at": at})
    deltalake.write_deltalake(tmp_path / "dw", rows)
    source = {"path": str(tmp_path / "dw"), "timezone": zone}
    table = TableConfig.model_validate({"table": "dw", "roles": ROLES, "source": source})
    assert partitions.present_days(table)[:3] == [before, ds, after]
    found = {row.uid: row.ds for row in read_days(table, [before, ds, after]).collect()}
    assert found == {"u0": before, "u1": ds, "u2": ds, "u3": ds, "u4": after}


@pytest.mark.parametrize("zone, ds", [(zone, ds) for zone, ds, _ in CHANGES])
def test_hours_and_days_of_events_are_local_and_each_event_counts_once(spark, zone, ds):
    solution = demo_solution(timezone=zone, demo=None)
    first = days.first_moment(ds, zone)
    until = days.first_moment(days.add_days(ds, 1), zone)
    seconds = list(range(first, until, 1800))
    rows = [(f"r{n}", "u", "i", "click", second, 0.0, "home", "wifi", ds) for n, second in enumerate(seconds)]
    columns = "request_id string, user_id string, item_id string, event string, event_time bigint, playtime double, "
    behavior = spark.createDataFrame(rows, columns + "page string, net_type string, ds string")
    events = roles.events(behavior, solution)
    local = F.date_format(roles.local_time(F.col("event_time"), solution), "yyyyMMdd HH:mm")
    shown = {row[0]: row[1] for row in events.select("event_time", local).collect()}
    assert shown == {second: f"{datetime.fromtimestamp(second, ZoneInfo(zone)):%Y%m%d %H:%M}" for second in seconds}
    assert {text[:8] for text in shown.values()} == {ds}
    [counted] = actions_daily(events).collect()
    assert counted["cnt"] == len(seconds) and counted["last_time"] == seconds[-1]
    assert timedelta(seconds=until - first) == timedelta(hours=len(seconds) / 2)
