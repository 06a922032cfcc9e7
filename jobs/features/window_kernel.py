"""The window arithmetic, in numpy: all days of a range for a chunk of whole keys.

A row of day d counts on the days [d, d+w). So each row adds +x at d and -x at d+w to an array of differences over the
days asked for, and one cumulative sum gives every day: the work is rows + output, whatever the window. The other
statistics are the same with another span: a counterpart counts once while its latest row is inside the window, so a row
stands for it until the counterpart's next row or d+w, whichever is first; a day with the event counts once per key.

Counts and values are integers (values in millionths) until the end, so the order of rows does not show in the result.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.features.preferences import top_values
from jobs.features.windows import Totals, Windows


class Rows(NamedTuple):
    """Rows of one event, sorted by (key, counterpart, day). `day` counts from the first day asked for."""

    key: np.ndarray
    counterpart: np.ndarray
    day: np.ndarray
    cnt: np.ndarray
    micros: np.ndarray


class Grid:
    """A (keys x days) array of integers, filled by spans."""

    def __init__(self, keys: int, days: int) -> None:
        self.keys, self.days = keys, days
        self.differences = np.zeros((keys, days + 1), dtype=np.int64)

    def add(self, key: np.ndarray, start: np.ndarray, end: np.ndarray, amount: np.ndarray | int) -> Grid:
        """Add an amount to the days [start, end) of a key; what lies outside the range is cut off."""
        start, end = np.clip(start, 0, self.days), np.clip(end, 0, self.days)
        amount = np.broadcast_to(np.asarray(amount, dtype=np.int64), key.shape)
        flat, width = self.differences.reshape(-1), self.days + 1
        np.add.at(flat, key * width + start, amount)
        np.subtract.at(flat, key * width + end, amount)
        return self

    def values(self) -> np.ndarray:
        return self.differences[:, :-1].cumsum(axis=1)


def key_runs(table: pa.Table) -> tuple[pa.Array, np.ndarray]:
    """The keys of a table sorted by key, and the row at which each one ends."""
    column = table.column("key")
    column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    runs = pc.run_end_encode(column, run_end_type=pa.int64())
    ends = runs.run_ends.to_numpy(zero_copy_only=False) - runs.offset
    return runs.values, ends


def compute_chunk(table: pa.Table, windows: Windows, first: int, history: list[int], totals: Totals) -> pa.Table:
    """All features of the table's keys, one row per key and day of the range with an event in the longest window.

    table: rows as `windows.action_rows` gives them, sorted by key. first: day number of the first day asked for;
    history: per day asked for, how many days of its longest window had an input partition.
    """
    keys, ends = key_runs(table)
    key = np.repeat(np.arange(len(keys)), np.diff(ends, prepend=0))
    n_days = len(history)
    attribute = table.column("attribute")
    is_preference = pc.is_valid(attribute).to_numpy(zero_copy_only=False)
    by_event = _by_event(table, windows, key, first, ~is_preference)
    preferences = table.filter(pa.array(is_preference))
    preference_key = key[is_preference]

    active = Grid(len(keys), n_days)
    for rows in by_event.values():
        active.add(rows.key, rows.day, rows.day + windows.longest, 1)
    if windows.attributes and preferences.num_rows:
        start = preferences.column("day").to_numpy() - first
        active.add(preference_key, start, preferences.column("until").to_numpy() - first, 1)
    cells = np.flatnonzero(active.values().reshape(-1))

    columns = _numbers(by_event, windows, len(keys), n_days, cells)
    columns |= _rates(columns, windows, totals, first, cells % n_days, n_days)
    columns[f"{windows.side}__history_days"] = np.asarray(history, dtype=np.float64)[cells % n_days]
    arrays = {name: pa.array(column, from_pandas=True) for name, column in columns.items()}
    arrays |= top_values(preferences, preference_key, windows, first, n_days, cells)
    head = {
        f"{windows.side}_id": keys.take(pa.array(cells // n_days)),
        "day": pa.array((cells % n_days + first).astype(np.int32)),
    }
    return pa.table(head | {name: arrays[name] for name in windows.names})


def _by_event(table: pa.Table, windows: Windows, key: np.ndarray, first: int, wanted: np.ndarray) -> dict[str, Rows]:
    code = {event: number for number, event in enumerate(windows.events)}
    encoded = table.column("event").combine_chunks().dictionary_encode()
    of_dictionary = np.array([code.get(e, -1) for e in encoded.dictionary.to_pylist()], dtype=np.int64)
    event = np.full(table.num_rows, -1) if not len(of_dictionary) else of_dictionary[encoded.indices.to_numpy()]
    event = np.where(wanted, event, -1)
    counterpart = table.column("counterpart").combine_chunks().dictionary_encode().indices.to_numpy()
    day = table.column("day").to_numpy().astype(np.int64) - first
    order = np.lexsort((day, counterpart, key, event))
    bounds = np.searchsorted(event[order], np.arange(len(windows.events) + 1))
    cnt, micros = table.column("cnt").to_numpy(), table.column("value_micros").to_numpy()
    result = {}
    for name, number in code.items():
        at = order[bounds[number] : bounds[number + 1]]
        result[name] = Rows(key[at], counterpart[at], day[at], cnt[at], micros[at])
    return result


def _numbers(
    by_event: dict[str, Rows], windows: Windows, n_keys: int, n_days: int, cells: np.ndarray
) -> dict[str, np.ndarray]:
    """Counts, distinct counterparts, active days, values and days since, of the wanted cells."""

    def sums(key: np.ndarray, day: np.ndarray, length: np.ndarray | int, amount: np.ndarray | int) -> np.ndarray:
        grid = Grid(n_keys, n_days).add(key, day, day + length, amount)
        return grid.values().reshape(-1)[cells].astype(np.float64)

    columns: dict[str, np.ndarray] = {}
    for event, rows in by_event.items():
        prefix = f"{windows.side}__{event}"
        until_next = _days_until_next(rows)
        active_key, active_day = _distinct(rows.key, rows.day)
        for w in windows.windows:
            counts = columns[f"{prefix}_cnt_{w}d"] = sums(rows.key, rows.day, w, rows.cnt)
            columns[f"{prefix}_uniq_{w}d"] = sums(rows.key, rows.day, np.minimum(until_next, w), 1)
            columns[f"{prefix}_days_{w}d"] = sums(active_key, active_day, w, 1)
            if event in windows.value_events:
                total = columns[f"{prefix}_value_sum_{w}d"] = sums(rows.key, rows.day, w, rows.micros) / 1e6
                columns[f"{prefix}_value_mean_{w}d"] = _divide(total, counts)
        since = _days_since(active_key, active_day, n_keys, n_days).reshape(-1)[cells]
        columns[f"{prefix}_days_since"] = np.where(since < windows.longest, since, np.nan)
    return columns


def _days_until_next(rows: Rows) -> np.ndarray:
    """Days until the key's next row with the same counterpart; very many where there is none."""
    gap = np.full(rows.day.shape, 1 << 30, dtype=np.int64)
    same = (rows.key[1:] == rows.key[:-1]) & (rows.counterpart[1:] == rows.counterpart[:-1])
    gap[:-1] = np.where(same, rows.day[1:] - rows.day[:-1], gap[:-1])
    return gap


def _distinct(key: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct (key, day), sorted."""
    if not key.size:
        return key, day
    low = int(day.min())
    width = int(day.max()) - low + 1
    packed = np.unique(key * width + (day - low))
    return packed // width, packed % width + low


def _days_since(key: np.ndarray, day: np.ndarray, n_keys: int, n_days: int) -> np.ndarray:
    """Per key and day, days since the latest active day; very many where there is none. Input sorted by (key, day)."""
    last = np.full((n_keys, n_days), -(1 << 30), dtype=np.int64)
    last[key, np.maximum(day, 0)] = day  # of several days before the range the latest is assigned last
    return np.arange(n_days) - np.maximum.accumulate(last, axis=1)


def _rates(
    columns: dict[str, np.ndarray], windows: Windows, totals: Totals, first: int, day: np.ndarray, n_days: int
) -> dict[str, np.ndarray]:
    """Smoothed rates. day: per cell, the position of its day in the range."""
    result = {}
    for name, impressions, hits in windows.rates:
        for w in windows.windows:
            seen, hit = (_window_totals(totals.get(event, {}), first, n_days, w) for event in (impressions, hits))
            prior = _divide(windows.smoothing * seen, hit)[day]  # pseudo-impressions; NaN where nobody hit at all
            own_seen, own_hit = (columns[f"{windows.side}__{event}_cnt_{w}d"] for event in (impressions, hits))
            rate = _divide(windows.smoothing + own_hit, prior + own_seen)
            rate = np.where(hit[day] == 0, 0.0, rate)
            result[f"{windows.side}__{name}_{w}d"] = np.where(seen[day] == 0, np.nan, rate)
    return result


def _window_totals(by_day: dict[int, int], first: int, n_days: int, w: int) -> np.ndarray:
    days = range(first, first + n_days)
    return np.array([sum(by_day.get(d, 0) for d in range(t - w + 1, t + 1)) for t in days], dtype=np.float64)


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """NaN where the denominator is 0."""
    nothing = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(numerator, denominator, out=nothing, where=denominator != 0)
