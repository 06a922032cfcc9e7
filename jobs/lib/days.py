"""Days as `ds` strings (yyyymmdd): the partition key of every table."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from jobs.lib.errors import RecflowError

_EPOCH = date(1970, 1, 1)


def to_date(ds: str) -> date:
    """The calendar day of a ds. Raises RecflowError when it is not one."""
    try:
        if not re.fullmatch(r"[0-9]{8}", ds):
            raise ValueError
        return date(int(ds[:4]), int(ds[4:6]), int(ds[6:]))
    except (TypeError, ValueError):
        raise RecflowError(f"{ds!r} is not a ds: a day is written yyyymmdd, for example 20261121") from None


def check_ds(ds: str) -> str:
    to_date(ds)
    return ds


def add_days(ds: str, n: int) -> str:
    """The ds n days later (earlier when n is negative)."""
    return (to_date(ds) + timedelta(days=n)).strftime("%Y%m%d")


def day_number(ds: str) -> int:
    """Days since 1970-01-01."""
    return (to_date(ds) - _EPOCH).days


def from_day_number(number: int) -> str:
    return (_EPOCH + timedelta(days=number)).strftime("%Y%m%d")


def day_range(from_ds: str, to_ds: str) -> list[str]:
    """Every ds from `from_ds` to `to_ds`, both included."""
    first, last = day_number(from_ds), day_number(to_ds)
    if last < first:
        raise RecflowError(f"the range {from_ds} to {to_ds} ends before it starts")
    return [from_day_number(n) for n in range(first, last + 1)]


def window(ds: str, n: int) -> list[str]:
    """The n days that end at ds, oldest first."""
    return day_range(add_days(ds, 1 - n), ds)


def first_moment(ds: str, timezone: str) -> int:
    """Unix seconds at which the day begins in a zone."""
    day = to_date(ds)
    return int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone)).timestamp())
