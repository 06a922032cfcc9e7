"""Windowed features of users and items: what is computed, and under which names.

For each side, event and window w, covering [ds-w+1, ds] (algorithms.md, "Derived features"):

    {side}__{event}_cnt_{w}d         how often
    {side}__{event}_uniq_{w}d        distinct counterparts (items of a user, users of an item)
    {side}__{event}_days_{w}d        days with the event
    {side}__{event}_value_sum_{w}d   sum of the value, in the unit of the value column
    {side}__{event}_value_mean_{w}d  per event; NULL without events
    {side}__ctr_{w}d                 smoothed rate impression -> target
    {side}__{event}_rate_{w}d        smoothed rate of every other pair of adjacent events, named after the later one
    {side}__{event}_days_since       days since the last one, 0 = that day; NULL when none in the longest window
    {side}__history_days             days of the longest window that had an input partition: a short history shows

and for users, per item attribute as of ds, over the preference window (see preferences.py)

    user__{attribute}_{event}_kv_{w}d         STRING "value:count,..." most frequent first; with `rates` also of the
                                              impression
    user__{attribute}_{event}_top_share_{w}d  the first value's share of all counted
    user__recent_{event}_kv_{w}d              STRING "item:day,..." the last items, newest first; day: of the last such
                                              event, in days since 1970-01-01

A rate is (w0 + c) / (w0 * sum(impressions) / sum(hits) + impressions), the sums over everyone in that window. With
impressions but no hits at all its limit 0 is taken; without impressions there is no rate and it is NULL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from jobs.lib.days import day_number, window
from jobs.lib.roles import preferred_attributes
from jobs.lib.solution import Solution
from jobs.lib.spark import F

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

OPTIONAL_STATISTICS = ("uniq", "days", "days_since")
RECENT = "recent"

Totals = dict[str, dict[int, int]]  # event -> day number -> count over everyone


class Kv(NamedTuple):
    """A KV string of users: an item attribute, or RECENT, counted by an event."""

    attribute: str
    event: str
    top: int
    has_share: bool


@dataclass(frozen=True)
class Windows:
    """What is computed for one side; plain values only, because it travels to Spark's workers."""

    side: str
    events: tuple[str, ...]
    value_events: tuple[str, ...]
    windows: tuple[int, ...]
    longest: int
    smoothing: float
    rates: tuple[tuple[str, str, str], ...]  # (name, impressions, hits)
    attributes: tuple[str, ...]
    preference: tuple[str, int, int]  # event, window, top
    seen_event: str | None = None  # is counted beside the preference event
    recent: int = 0  # last items that are kept
    statistics: tuple[str, ...] = OPTIONAL_STATISTICS

    @property
    def numeric_names(self) -> list[str]:
        names: list[str] = []
        for event in self.events:
            for w in self.windows:
                stats = ["cnt", *[stat for stat in ("uniq", "days") if stat in self.statistics]]
                stats += ["value_sum", "value_mean"] if event in self.value_events else []
                names += [f"{self.side}__{event}_{stat}_{w}d" for stat in stats]
            if "days_since" in self.statistics:
                names.append(f"{self.side}__{event}_days_since")
        names += [f"{self.side}__{rate}_{w}d" for rate, _, _ in self.rates for w in self.windows]
        return [*names, f"{self.side}__history_days"]

    @property
    def kvs(self) -> list[Kv]:
        event, _, top = self.preference
        counted = [event, *([self.seen_event] if self.seen_event else [])]
        kvs = [Kv(a, e, top, e == event) for a in self.attributes for e in counted]
        return [*kvs, *([Kv(RECENT, event, self.recent, False)] if self.recent else [])]

    def preference_name(self, attribute: str, stat: str, event: str | None = None) -> str:
        return f"{self.side}__{attribute}_{event or self.preference[0]}_{stat}_{self.preference[1]}d"

    @property
    def kv_names(self) -> list[str]:
        return [self.preference_name(kv.attribute, "kv", kv.event) for kv in self.kvs]

    @property
    def share_names(self) -> list[str]:
        return [self.preference_name(kv.attribute, "top_share") for kv in self.kvs if kv.has_share]

    @property
    def names(self) -> list[str]:
        return [*self.numeric_names, *self.kv_names, *self.share_names]


@dataclass(frozen=True)
class Range:
    """The days asked for, and what is known of them. first: the number of the first day; history: per day, how many
    days of its longest window had an input partition; totals: of all days that a window reaches."""

    windows: Windows
    first: int
    history: list[int]
    totals: Totals


def range_of(windows: Windows, days: list[str], present: list[str], totals: Totals) -> Range:
    """days: consecutive; present: the days that had an input partition."""
    history = [len(set(window(ds, windows.longest)) & set(present)) for ds in days]
    return Range(windows, day_number(days[0]), history, totals)


def windows_of(solution: Solution, side: str) -> Windows:
    """The windows of one side, 'user' or 'item', with the solution's defaults filled in."""
    configured = solution.features
    events = tuple(e for e in solution.events if not configured.events or e in configured.events)
    has_value = solution.tables.behavior.roles.value is not None
    value_events = configured.value_events or [solution.target]
    preference = configured.preference
    return Windows(
        side=side,
        events=events,
        value_events=tuple(e for e in events if has_value and e in value_events),
        windows=tuple(sorted(set(configured.windows))),
        longest=longest_window(solution),
        smoothing=configured.smoothing,
        rates=tuple(_rates(events, solution)),
        attributes=tuple(preferred_attributes(solution)) if side == "user" else (),
        preference=(solution.preference_event, preference.window, preference.top),
        seen_event=solution.impression if side == "user" and preference.rates else None,
        recent=preference.recent if side == "user" else 0,
    )


def longest_window(solution: Solution) -> int:
    return max(*solution.features.windows, solution.features.preference.window)


def feature_names(solution: Solution, side: str) -> list[str]:
    """Every feature column of `user_features` or `item_features`, in table order."""
    return windows_of(solution, side).names


def _rates(events: tuple[str, ...], solution: Solution) -> Iterator[tuple[str, str, str]]:
    ctr = (solution.impression, solution.target)
    if ctr[0] in events and ctr[1] in events:
        yield ("ctr", *ctr)
    for earlier, later in pairwise(events):
        if (earlier, later) != ctr:
            yield (f"{later}_rate", earlier, later)


def day_of(ds: Column) -> Column:
    """Days since 1970-01-01 of a ds column."""
    return F.unix_date(F.to_date(ds, "yyyyMMdd"))


def daily_totals(actions: DataFrame) -> Totals:
    """event -> day number -> count over everyone: what rates are smoothed towards. A few rows per day."""
    counted = actions.groupBy("event", "ds").agg(F.sum("cnt").alias("cnt"))
    totals: Totals = {}
    for row in counted.collect():
        totals.setdefault(row["event"], {})[day_number(row["ds"])] = row["cnt"]
    return totals
