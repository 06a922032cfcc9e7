"""The window arithmetic, in numpy: all days of a range for whole keys.

The days on which a key is active, one after the other and key after key, are one long sequence of cells. What happened
is counted per cell, and a running total of the sequence gives the sum of any window as one difference: the work is rows
and cells, whatever the windows. A window never reaches into another run of days: between runs nothing happened for
longer than the longest window.

Distinct counterparts in a window are its rows, less those whose counterpart comes again within the window: each such
pair counts from the later row until the earlier one leaves.

Counts and values are integers (values in millionths) until the end, so the order of rows does not show in the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from jobs.features.preferences import Preferences, top_values
from jobs.features.windows import Range, Windows

CELLS_AT_ONCE = 500_000  # (keys x days) held at once: 200 MB of 50 columns of DOUBLE
PREFERENCE_CELLS = 4_000_000  # (preferred values x days) held at once, of 8 bytes


class Facts(NamedTuple):
    """Counted events, sorted by (key, event, counterpart, day), all but the amounts as numbers from 0. `day` counts
    from the first day that any window reaches."""

    key: np.ndarray
    event: np.ndarray
    counterpart: np.ndarray
    day: np.ndarray
    cnt: np.ndarray
    micros: np.ndarray


class Timeline:
    """The cells (key, day) covered by the given spans [start, end) of days, numbered by key and day."""

    def __init__(self, n_keys: int, n_days: int, key: np.ndarray, start: np.ndarray, end: np.ndarray) -> None:
        self._width = n_days + 1  # the last day is never covered: it parts the keys
        change = np.zeros(n_keys * self._width + 1, dtype=np.int32)
        np.add.at(change, key * self._width + start, np.int32(1))
        np.subtract.at(change, key * self._width + np.minimum(end, n_days), np.int32(1))
        is_covered = np.cumsum(change[:-1]) > 0
        self._cells_before = np.concatenate([[0], np.cumsum(is_covered)])
        covered = np.flatnonzero(is_covered)
        self.key, self.day = np.divmod(covered, self._width)
        begins = np.flatnonzero(np.diff(covered, prepend=-2) != 1)
        self.run_start = np.repeat(begins, np.diff(begins, append=len(covered)))

    def __len__(self) -> int:
        return len(self.key)

    def cell(self, key: np.ndarray, day: np.ndarray) -> np.ndarray:
        """The cell of a key's day; of a day that is not covered, the next one that is."""
        return self._cells_before[key * self._width + np.minimum(day, self._width - 1)]


def order_of(*columns: tuple[np.ndarray, int]) -> np.ndarray:
    """Where rows go when sorted by these columns, the foremost first. Each: numbers from 0, and their bound."""
    bits = [max(int(bound), 1).bit_length() for _, bound in columns]
    if sum(bits) > 63:
        return np.lexsort([values for values, _ in reversed(columns)])
    packed = np.zeros(len(columns[0][0]), dtype=np.int64)
    for (values, _), n in zip(columns, bits, strict=True):
        packed = (packed << n) | values
    return np.argsort(packed)  # equal rows are interchangeable: nothing else tells them apart


def features_of(facts: pa.Table, preferences: pa.Table | None, asked: Range) -> Iterator[pa.Table]:
    """All features of the keys of the tables, in several tables that are sorted by day: one row per key and day of the
    range with an event in the longest window.

    facts: key, event (its number in the windows), counterpart, day, cnt, value_micros; preferences: the columns of
    `preferences.preference_rows`; both of the same keys, and all of their rows.
    """
    windows, first, n_days = asked.windows, asked.first, len(asked.history)
    names, key = _encoded(facts.column("key"), preferences.column("key") if preferences is not None else None)
    before = windows.longest - 1  # days before the first one asked for that a window reaches
    rows = _sorted_facts(facts, key[: facts.num_rows], len(names), first - before, before + n_days)
    preferred = Preferences.of(preferences, key[facts.num_rows :], windows, first, n_days)
    cuts = _cuts(np.bincount(preferred.key, minlength=len(names)), before, n_days)
    for (low, high), of_facts, of_preferences in zip(
        pairwise(cuts), pairwise(np.searchsorted(rows.key, cuts)), pairwise(np.searchsorted(preferred.key, cuts)),
        strict=True,
    ):  # fmt: skip
        part = Facts(*(column[slice(*of_facts)] for column in rows))
        part = part._replace(key=part.key - low)
        keys = names.slice(low, high - low)
        yield _features(part, preferred.part(*of_preferences, low), keys, asked)


def _cuts(preference_rows: np.ndarray, before: int, n_days: int) -> list[int]:
    """Between which keys to cut, so that neither their days nor the days of what they prefer are too many cells."""
    cost = (before + n_days) / CELLS_AT_ONCE + preference_rows * (n_days + 1) / PREFERENCE_CELLS
    block = np.floor(np.cumsum(cost))
    return [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(cost)]


def _encoded(one: pa.ChunkedArray, other: pa.ChunkedArray | None) -> tuple[pa.Array, np.ndarray]:
    """The distinct values of both columns, and for each row of the one, then the other, the number of its value."""
    chunks = one.chunks + (other.chunks if other is not None else [])
    encoded = pa.chunked_array(chunks, one.type).combine_chunks().dictionary_encode()
    return encoded.dictionary, encoded.indices.to_numpy().astype(np.int64)


def _sorted_facts(facts: pa.Table, key: np.ndarray, n_keys: int, reach_first: int, n_days: int) -> Facts:
    event = facts.column("event").to_numpy().astype(np.int64)
    day = facts.column("day").to_numpy().astype(np.int64) - reach_first
    others, counterpart = _encoded(facts.column("counterpart"), None)
    n_events = int(event.max(initial=0)) + 1
    inside = np.flatnonzero((day >= 0) & (day < n_days))
    columns = ((key, n_keys), (event, n_events), (counterpart, len(others)), (day, n_days))
    order = inside[order_of(*((column[inside], bound) for column, bound in columns))]
    amounts = (facts.column(name).to_numpy() for name in ("cnt", "value_micros"))
    return Facts(*(column[order] for column in (key, event, counterpart, day, *amounts)))


def _features(rows: Facts, preferences: Preferences, keys: pa.Array, asked: Range) -> pa.Table:
    windows, before, n_days = asked.windows, asked.windows.longest - 1, len(asked.history)
    line = Timeline(
        len(keys),
        before + n_days,
        np.concatenate([rows.key, preferences.key]),
        np.concatenate([rows.day, preferences.start + before]),
        np.concatenate([rows.day + windows.longest, preferences.until + before]),
    )
    wanted = np.flatnonzero(line.day >= before)
    wanted = wanted[np.argsort(line.day[wanted].astype(np.uint16), kind="stable")]
    key, day = line.key[wanted], line.day[wanted] - before
    columns = _numbers(rows, windows, line, wanted)
    columns |= _rates(columns, asked, day)
    columns[f"{windows.side}__history_days"] = np.asarray(asked.history, dtype=np.float64)[day]
    arrays = {name: _nullable(column) for name, column in columns.items()}
    arrays |= top_values(preferences, windows, len(keys), n_days, day * len(keys) + key)
    ids, days = keys.take(pa.array(key)), pa.array((day + asked.first).astype(np.int32))
    return pa.table({f"{windows.side}_id": ids, **{name: arrays[name] for name in windows.names}, "day": days})


def _numbers(rows: Facts, windows: Windows, line: Timeline, wanted: np.ndarray) -> dict[str, np.ndarray]:
    """Counts, distinct counterparts, active days, values and days since, of the wanted cells."""
    end, run_start = wanted + 1, line.run_start[wanted]
    begin = {w: np.maximum(end - w, run_start) for w in windows.windows}

    def sums(per_cell: np.ndarray) -> dict[int, np.ndarray]:
        """By window, the sum over the window that ends with each wanted cell."""
        running = np.concatenate([[0], np.cumsum(per_cell)])
        upto = running[end]
        return {w: upto - running[begin[w]] for w in windows.windows}

    columns: dict[str, np.ndarray] = {}
    for number, event in enumerate(windows.events):
        prefix = f"{windows.side}__{event}"
        mine = Facts(*(column[rows.event == number] for column in rows))
        cell = line.cell(mine.key, mine.day)
        acted = np.bincount(cell, minlength=len(line))
        cnt = sums(np.bincount(cell, weights=mine.cnt, minlength=len(line)))  # whole numbers, exact up to 2^53
        columns |= {f"{prefix}_cnt_{w}d": cnt[w] for w in windows.windows}
        if "uniq" in windows.statistics:
            for w, total in sums(acted).items():
                columns[f"{prefix}_uniq_{w}d"] = (total - _again(mine, line, w)[wanted]).astype(np.float64)
        if "days" in windows.statistics:
            columns |= {f"{prefix}_days_{w}d": n.astype(np.float64) for w, n in sums(acted > 0).items()}
        if event in windows.value_events:
            value = np.zeros(len(line), dtype=np.int64)
            np.add.at(value, cell, mine.micros)
            for w, micros in sums(value).items():
                columns[f"{prefix}_value_sum_{w}d"] = micros / 1e6
                columns[f"{prefix}_value_mean_{w}d"] = _divide(micros / 1e6, cnt[w])
        if "days_since" in windows.statistics:
            latest = np.maximum.accumulate(np.where(acted > 0, np.arange(len(line)), -1))[wanted]
            is_there = (latest >= run_start) & (wanted - latest < windows.longest)
            columns[f"{prefix}_days_since"] = np.where(is_there, wanted - latest, np.nan)
    return columns


def _again(rows: Facts, line: Timeline, w: int) -> np.ndarray:
    """Per cell, how many rows of the window [day-w+1, day] have the counterpart of a later row of it."""
    same = (rows.key[1:] == rows.key[:-1]) & (rows.counterpart[1:] == rows.counterpart[:-1])
    earlier = np.flatnonzero(same & (rows.day[1:] - rows.day[:-1] < w))
    key = rows.key[earlier]
    change = np.bincount(line.cell(key, rows.day[earlier + 1]), minlength=len(line) + 1)
    change -= np.bincount(line.cell(key, rows.day[earlier] + w), minlength=len(line) + 1)
    return np.cumsum(change[:-1])


def _rates(columns: dict[str, np.ndarray], asked: Range, day: np.ndarray) -> dict[str, np.ndarray]:
    """Smoothed rates. day: per cell, the position of its day in the range."""
    windows, result = asked.windows, {}
    for name, impressions, hits in windows.rates:
        for w in windows.windows:
            seen, hit = (_window_totals(asked, event, w) for event in (impressions, hits))
            prior = _divide(windows.smoothing * seen, hit)[day]  # pseudo-impressions; NaN where nobody hit at all
            own_seen, own_hit = (columns[f"{windows.side}__{event}_cnt_{w}d"] for event in (impressions, hits))
            rate = _divide(windows.smoothing + own_hit, prior + own_seen)
            rate = np.where(hit[day] == 0, 0.0, rate)
            result[f"{windows.side}__{name}_{w}d"] = np.where(seen[day] == 0, np.nan, rate)
    return result


def _window_totals(asked: Range, event: str, w: int) -> np.ndarray:
    by_day, days = asked.totals.get(event, {}), range(asked.first, asked.first + len(asked.history))
    return np.array([sum(by_day.get(d, 0) for d in range(t - w + 1, t + 1)) for t in days], dtype=np.float64)


def _nullable(column: np.ndarray) -> pa.Array:
    """NULL where there is NaN. A column without, which is most of them, is not copied."""
    return pa.array(column, from_pandas=bool(np.isnan(column.sum())))


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """NaN where the denominator is 0."""
    nothing = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(numerator, denominator, out=nothing, where=denominator != 0)
