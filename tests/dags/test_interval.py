"""Which day a run is about, in zones that change their clocks too."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pendulum
import pytest
from airflow.timetables.base import TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable

from flowlib.interval import daily, ds_of, first_day
from jobs.lib.days import day_range
from jobs.lib.errors import RecflowError
from jobs.lib.solution import load_solution


def run_from(start):
    return SimpleNamespace(run_id="r", data_interval_start=start)


def days_of_year(zone):
    """The ds of every run that the timetable makes from 2026-01-01 on, for a year."""
    timetable = CronDataIntervalTimetable("0 0 * * *", timezone=pendulum.timezone(zone))
    bounds = TimeRestriction(pendulum.datetime(2026, 1, 1, tz=zone), pendulum.datetime(2026, 12, 31, tz=zone), True)
    interval, found = None, []
    while run := timetable.next_dagrun_info(last_automated_data_interval=interval, restriction=bounds):
        interval = run.data_interval
        found.append(ds_of(run_from(interval.start), zone))
    return found


def test_ds_is_the_local_day_that_the_interval_starts():
    start = pendulum.datetime(2026, 11, 20, 16, tz="UTC")
    assert ds_of(run_from(start), "Asia/Shanghai") == "20261121"
    assert ds_of(run_from(start), "UTC") == "20261120"


@pytest.mark.parametrize(
    "zone", ["Asia/Shanghai", "America/New_York", "Africa/Cairo", "Asia/Beirut", "America/Santiago", "America/Havana"]
)
def test_a_year_of_runs_has_every_day_once(zone):
    """Where clocks change at midnight some days start at 01:00."""
    assert days_of_year(zone) == day_range("20260101", "20261231")


def test_a_run_without_interval_is_refused():
    with pytest.raises(RecflowError, match="run r has no data interval"):
        ds_of(run_from(None), "Asia/Shanghai")


def test_the_timetable_is_daily_in_the_zone_of_the_solution(solution_file):
    timetable = daily(load_solution())
    assert (timetable.expression, str(timetable.timezone)) == ("0 0 * * *", "Asia/Shanghai")


def test_the_first_day_is_the_day_of_installation_and_stays(solution_file, warehouse):
    solution = load_solution()
    today = pendulum.now("Asia/Shanghai")
    assert first_day(solution).date() in (today.date(), today.date() + timedelta(days=1))
    (warehouse / "first_ds_home_page").write_text("20260102")
    start = first_day(solution)
    assert start.astimezone(ZoneInfo("Asia/Shanghai")).isoformat() == "2026-01-02T00:00:00+08:00"


def test_the_first_day_of_an_installation_of_one_scenario_stays_that_of_the_default_one(solution_file, warehouse):
    (warehouse / "first_ds").write_text("20260102")
    today = pendulum.now("Asia/Shanghai").strftime("%Y%m%d")
    assert first_day(load_solution("detail_page")).strftime("%Y%m%d") >= today
    assert first_day(load_solution()).strftime("%Y%m%d") == "20260102"
    assert (warehouse / "first_ds_home_page").read_text() == "20260102" and not (warehouse / "first_ds").exists()
