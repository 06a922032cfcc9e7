"""One run per day: which day a run is about, and which day is the first."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
from airflow.sdk import CronDataIntervalTimetable

from jobs.lib.days import to_date
from jobs.lib.errors import NodeError
from jobs.lib.first_ds import first_ds
from jobs.lib.solution import Solution


def daily(solution: Solution) -> CronDataIntervalTimetable:
    """The run of a night is about the day that ended: its data interval is that day, in the solution's zone."""
    return CronDataIntervalTimetable("0 0 * * *", timezone=solution.timezone)


def weekly(solution: Solution) -> CronDataIntervalTimetable:
    """Mondays at 03:00, after the night's flow as a rule; the interval is the week before."""
    return CronDataIntervalTimetable("0 3 * * 1", timezone=solution.timezone)


def ds_of(dag_run: Any, timezone: str) -> str:
    """The day a run is about: the start of its data interval in the solution's zone.

    Raises NodeError for a run without interval (one that was triggered by hand without a date): no ds is guessed.
    """
    start = dag_run.data_interval_start
    if start is None:
        raise NodeError(f"run {dag_run.run_id} has no data interval, so it is about no day: backfill a day")
    return start.astimezone(ZoneInfo(timezone)).strftime("%Y%m%d")


def first_day(solution: Solution) -> datetime:
    """The start date of a scenario's DAGs: the day on which this installation first parsed them (jobs/lib/first_ds.py).

    So nothing runs by itself but the nights from now on, and nights that were slept through are caught up with. Days
    before it are made by backfills. Whoever wants another first day writes it into RECFLOW_HOME/first_ds_<scenario>.
    """
    day = to_date(first_ds(solution))
    return pendulum.datetime(day.year, day.month, day.day, tz=solution.timezone)
