"""Windowed features of users and items: their names, and all days of a range in one pass.

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

    user__{attribute}_{event}_kv_{w}d         STRING "value:count,..." most frequent first
    user__{attribute}_{event}_top_share_{w}d  the first value's share of all counted

A rate is (w0 + c) / (w0 * sum(impressions) / sum(hits) + impressions), the sums over everyone in that window. With
impressions but no hits at all its limit 0 is taken; without impressions there is no rate and it is NULL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from jobs.lib.days import day_number, window
from jobs.lib.roles import item_attributes
from jobs.lib.solution import Solution
from jobs.lib.spark import F

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

ROWS_PER_CHUNK = 200_000
CELLS_PER_CHUNK = 16_000_000  # (keys x days x features) held at once: 128 MB of DOUBLE


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

    @property
    def numeric_names(self) -> list[str]:
        names: list[str] = []
        for event in self.events:
            for w in self.windows:
                stats = ["cnt", "uniq", "days", *(["value_sum", "value_mean"] if event in self.value_events else [])]
                names += [f"{self.side}__{event}_{stat}_{w}d" for stat in stats]
            names.append(f"{self.side}__{event}_days_since")
        names += [f"{self.side}__{rate}_{w}d" for rate, _, _ in self.rates for w in self.windows]
        return [*names, f"{self.side}__history_days"]

    def preference_name(self, attribute: str, stat: str) -> str:
        event, window, _ = self.preference
        return f"{self.side}__{attribute}_{event}_{stat}_{window}d"

    @property
    def names(self) -> list[str]:
        kinds = ("kv", "top_share")
        return self.numeric_names + [self.preference_name(a, kind) for a in self.attributes for kind in kinds]


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
        attributes=tuple(item_attributes(solution)) if side == "user" else (),
        preference=(solution.preference_event, preference.window, preference.top),
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


def windowed(rows: DataFrame, windows: Windows, days: list[str], present: list[str], totals: Totals) -> DataFrame:
    """Features for each of `days` (consecutive) and each key active in the longest window, idle that day or not.

    Grain: one row per (ds, {side}_id). rows: from `action_rows`, with `preference_rows` unioned. Cost is linear in
    rows and output whatever the windows, and each row is read once however many days are asked for.
    """
    from pyspark.sql import types

    first, n = day_number(days[0]), len(days)
    history = [len(set(window(ds, windows.longest)) & set(present)) for ds in days]
    strings = {windows.preference_name(a, "kv") for a in windows.attributes}
    key = f"{windows.side}_id"
    fields = [types.StructField(key, types.StringType()), types.StructField("day", types.IntegerType())]
    fields += [
        types.StructField(name, types.StringType() if name in strings else types.DoubleType()) for name in windows.names
    ]

    def compute(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from jobs.features.window_kernel import compute_chunk

        for chunk in chunks_of_whole_keys(batches, n * len(windows.names)):
            yield from compute_chunk(chunk, windows, first, history, totals).to_batches(max_chunksize=50_000)

    by_key = rows.repartition("key").sortWithinPartitions("key")
    computed = by_key.mapInArrow(compute, types.StructType(fields))
    ds = F.date_format(F.date_from_unix_date("day"), "yyyyMMdd")
    return computed.select(key, *windows.names, ds.alias("ds"))


def action_rows(actions: DataFrame, windows: Windows) -> DataFrame:
    """actions_daily as the kernel reads it: key, event, counterpart, day, until, cnt, value_micros, attribute."""
    user, item = F.col("user_id"), F.col("item_id")
    key, counterpart = (user, item) if windows.side == "user" else (item, user)
    return actions.where(F.col("event").isin(list(windows.events))).select(
        key.alias("key"),
        "event",
        counterpart.alias("counterpart"),
        day_of(F.col("ds")).alias("day"),
        F.lit(None).cast("int").alias("until"),
        "cnt",
        "value_micros",
        F.lit(None).cast("string").alias("attribute"),
    )


def day_of(ds: Column) -> Column:
    """Days since 1970-01-01 of a ds column."""
    return F.unix_date(F.to_date(ds, "yyyyMMdd"))


Totals = dict[str, dict[int, int]]


def daily_totals(actions: DataFrame) -> Totals:
    """event -> day number -> count over everyone: what rates are smoothed towards. A few rows per day."""
    counted = actions.groupBy("event", day_of(F.col("ds")).alias("day")).agg(F.sum("cnt").alias("cnt"))
    totals: Totals = {}
    for row in counted.collect():
        totals.setdefault(row["event"], {})[row["day"]] = row["cnt"]
    return totals


def chunks_of_whole_keys(batches: Iterator[pa.RecordBatch], cells_per_key: int) -> Iterator[pa.Table]:
    """Batches sorted by key, cut into tables that hold all rows of each of their keys and fit in memory."""
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    rows, enough = 0, ROWS_PER_CHUNK
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows >= enough:
            *complete, open_key = _split(pa.Table.from_batches(held), cells_per_key)
            yield from complete
            held, rows = open_key.to_batches(), open_key.num_rows
            enough = max(ROWS_PER_CHUNK, 2 * rows)  # a key larger than a chunk must not be copied with every batch
    if rows:
        yield from _split(pa.Table.from_batches(held), cells_per_key)


def _split(table: pa.Table, cells_per_key: int) -> list[pa.Table]:
    """Tables of a bounded number of keys; the last one holds the last key alone, whose rows may go on."""
    from jobs.features.window_kernel import key_runs

    _, ends = key_runs(table)
    keys_at_once = max(1, CELLS_PER_CHUNK // cells_per_key)
    cuts = [0, *ends[keys_at_once - 1 : -1 : keys_at_once].tolist()]
    if len(ends) > 1:
        cuts.append(int(ends[-2]))
    cuts = sorted({*cuts, table.num_rows})
    return [table.slice(a, b - a) for a, b in pairwise(cuts)]
