"""What a check sees in the figures of a day, and in those of the days before it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.lib.checks import CHANGES, Check
from jobs.lib.days import add_days, window

if TYPE_CHECKING:
    from jobs.lib.figures import Figures

NO_HISTORY = math.nan


@dataclass(frozen=True)
class Observation:
    """`value` is held against the limits: NaN where there is no history, infinite where there is nothing to be fresh.

    `observed` is what a reader is shown: offending rows, rows, hours, days, change; `of` what offending is a part of.
    """

    value: float
    observed: float | None
    of: int | None = None
    note: str = ""


def observe(check: Check, ds: str, measured: Mapping[str, Figures], past: Mapping[str, Figures]) -> Observation:
    """measured: the days of this write; past: what was kept of days before it."""
    today = measured[ds]
    if check.kind == "row_count":
        return Observation(today.rows, today.rows)
    if check.kind == "freshness":
        return _staleness(check, today)
    if check.kind in CHANGES:
        before = [measured.get(day) or past.get(day) for day in window(add_days(ds, -1), check.days)]
        return _change(check, today, [day for day in before if day is not None])
    offending, of = today.offending[check.name], today.of.get(check.name, today.rows)
    return Observation(offending / max(of, 1) if check.by_share else offending, offending, of)


def _staleness(check: Check, today: Figures) -> Observation:
    if check.column is None:
        return Observation(today.age_days, today.age_days)
    seconds = today.stale_sec[check.name]
    if seconds is None:
        return Observation(math.inf, None, note="no row has a time before the end of the day")
    return Observation(seconds / 3600, seconds / 3600)


def _change(check: Check, today: Figures, before: list[Figures]) -> Observation:
    if check.kind == "distribution_change":
        before = [day for day in before if check.histogram_id in day.histograms]
    needed = math.ceil(check.days / 2)
    if len(before) < needed:
        return Observation(NO_HISTORY, None, note=f"no history: {len(before)} of the {needed} days that are needed")
    note = f"against {len(before)} of the last {check.days} days"
    if check.kind == "volume_change":
        change = volume_change(today.rows, [day.rows for day in before])
        return Observation(abs(change), change, note=note)
    histograms = [day.histograms[check.histogram_id] for day in before]
    index = stability_index(
        today.histograms[check.histogram_id], [sum(counts) for counts in zip(*histograms, strict=True)]
    )
    return Observation(index, index, note=note)


def volume_change(rows: int, before: list[int]) -> float:
    """Rows against the mean of the days before: 0.5 is half as many again, -1 is none at all."""
    mean = sum(before) / len(before)
    return 0.0 if rows == mean else (rows - mean) / max(mean, 1.0)


def stability_index(counts: list[int], before: list[int]) -> float:
    """Population stability index of two histograms. Half a row more in each bucket keeps empty ones finite."""
    total, total_before, n = sum(counts), sum(before), len(counts)
    index = 0.0
    for count, count_before in zip(counts, before, strict=True):
        share, share_before = (count + 0.5) / (total + 0.5 * n), (count_before + 0.5) / (total_before + 0.5 * n)
        index += (share - share_before) * math.log(share / share_before)
    return index
