"""Which column holds the time, and what the data tell of the time zone. Pure functions."""

from __future__ import annotations

import re
from zoneinfo import available_timezones

from jobs.register.columns import Table
from jobs.register.dialect import Guess
from jobs.register.names import rank


def time_column(table: Table, role: str = "event_time") -> str | None:
    """By name and values; of several the finest. Where no name tells, values of a log do that can be nothing else."""
    found = []
    for position, column in enumerate(table.columns.values()):
        if column.times is None:
            continue
        fit = rank(column.name, role)
        is_plain = not str(column.times.format).startswith("unix") or not table.sample.has_names
        if fit is not None or role == "event_time" and is_plain:
            found.append((column.times.is_day, fit is None, fit or 0, position, column.name))
    return min(found)[-1] if found else None


def zone_of(zone: str | None, time_format: str | None) -> Guess:
    """The zone that days are cut in, where the data tell one; else UTC, to be checked."""
    if zone and zone not in ("Z", "UTC", "+00:00", "+0000", "+00"):
        if zone in available_timezones():
            return Guess(zone, "the zone of the column's type", "are days to be cut in this zone?")
        whole = re.fullmatch(r"([+-])(\d\d):?(00)?", zone)
        if whole:
            sign = "-" if whole[1] == "+" else "+"
            told = f"the times are written with {zone}"
            return Guess(f"Etc/GMT{sign}{int(whole[2])}", told, "which city's zone is it? (It may have summer time.)")
        return Guess("UTC", f"the times are written with {zone}", "in which zone are days to be cut?")
    if zone:
        return Guess("UTC", "the times are written in UTC", "in which zone are days to be cut?")
    if time_format and time_format.startswith("unix"):
        return Guess("UTC", "times since 1970 tell no zone", "in which zone are days to be cut?")
    return Guess("UTC", "the times tell no zone", "in which zone are the clock times, and days to be cut?")
