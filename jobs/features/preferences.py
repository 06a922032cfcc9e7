"""What a user prefers, per item attribute: values counted over a window, as KV strings.

The attribute's value is that of the item snapshot as of the feature's day, also for events of days before. So that a
range of days costs one pass, each item's attributes are first cut into spans of days with the same values.

A KV string is "value:count,value:count", most frequent first, equal counts by value. In a value `%`, `,` and `:` are
percent-encoded, as in `kv_value`, so a reader can split at `,` and `:`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jobs.features.windows import Windows, day_of
from jobs.lib.days import day_number
from jobs.lib.spark import F, Window

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame


def kv_value(column: Column) -> Column:
    """An attribute's value as it stands in a KV string."""
    escaped = column
    for character, code in (("%", "%25"), (",", "%2C"), (":", "%3A")):
        escaped = F.replace(escaped, F.lit(character), F.lit(code))
    return escaped


def attribute_spans(items: DataFrame, attributes: list[str]) -> DataFrame:
    """Days over which an item's attributes stay the same: item_id, attributes, start, until (day numbers).

    `until` is excluded. items: daily snapshots. A day on which the item is not listed ends its span.
    """
    same = Window.partitionBy("item_id", *attributes).orderBy("day")
    listed = items.select("item_id", *attributes, day_of(F.col("ds")).alias("day"))
    return (
        listed.withColumn("run", F.col("day") - F.row_number().over(same))
        .groupBy("item_id", *attributes, "run")
        .agg(F.min("day").alias("start"), (F.max("day") + 1).alias("until"))
        .drop("run")
    )


def constant_spans(items: DataFrame, attributes: list[str], days: list[str]) -> DataFrame:
    """The same for one snapshot that serves every day."""
    start, until = F.lit(day_number(days[0])), F.lit(day_number(days[-1]) + 1)
    return items.select("item_id", *attributes, start.alias("start"), until.alias("until"))


def preference_rows(actions: DataFrame, spans: DataFrame, windows: Windows) -> DataFrame:
    """One row per action and span: the days [day, until) on which `cnt` counts for the values of the item.

    Columns: key, day, until, cnt, and value_0, value_1, ... in the order of `windows.attributes`.
    """
    event, window, _ = windows.preference
    values = [kv_value(F.col(a)).alias(f"value_{n}") for n, a in enumerate(windows.attributes)]
    day = day_of(F.col("ds"))
    return (
        actions.where(F.col("event") == event)
        .select("user_id", "item_id", "cnt", day.alias("acted"))
        .join(spans.select("item_id", "start", "until", *values), "item_id", how="inner")
        .select(
            F.col("user_id").alias("key"),
            F.greatest("acted", F.col("start")).alias("day"),
            F.least(F.col("acted") + window, F.col("until")).alias("until"),
            "cnt",
            *[f"value_{n}" for n in range(len(values))],
        )
        .where(F.col("day") < F.col("until"))
    )


class Preferences(NamedTuple):
    """Rows of `preference_rows` in the order of their keys, these as numbers from 0; days count from the first day
    asked for and are cut to the days asked for. values: per attribute."""

    key: np.ndarray
    start: np.ndarray
    until: np.ndarray
    cnt: np.ndarray
    values: list[pa.Array]

    @staticmethod
    def of(rows: pa.Table | None, key: np.ndarray, windows: Windows, first: int, n_days: int) -> Preferences:
        """Only rows that say something: on a day asked for, of an item with any attribute."""
        import pyarrow as pa

        if rows is None:
            none = np.zeros(0, dtype=np.int64)
            return Preferences(none, none, none, none, [pa.array([], pa.string()) for _ in windows.attributes])
        start, until = (
            np.clip(rows.column(name).to_numpy().astype(np.int64) - first, 0, n_days) for name in ("day", "until")
        )
        values = [rows.column(f"value_{n}").combine_chunks() for n in range(len(windows.attributes))]
        has_value = np.any([value.is_valid().to_numpy(zero_copy_only=False) for value in values], axis=0)
        at = np.flatnonzero((start < until) & has_value)
        at = at[np.argsort(key[at], kind="stable")]
        cnt = rows.column("cnt").to_numpy()
        return Preferences(key[at], start[at], until[at], cnt[at], [value.take(pa.array(at)) for value in values])

    def part(self, begin: int, end: int, first_key: int) -> Preferences:
        rows = slice(begin, end)
        values = [value.slice(begin, end - begin) for value in self.values]
        return Preferences(self.key[rows] - first_key, self.start[rows], self.until[rows], self.cnt[rows], values)


def top_values(
    rows: Preferences, windows: Windows, n_keys: int, n_days: int, wanted: np.ndarray
) -> dict[str, pa.Array]:
    """KV string and top share per attribute for the wanted cells (day * n_keys + key), sorted; NULL without events."""
    import pyarrow as pa

    columns: dict[str, pa.Array] = {}
    for name, values in zip(windows.attributes, rows.values, strict=True):
        found, strings, shares = _top_of_attribute(rows, values, n_keys, n_days, windows.preference[2])
        at = np.searchsorted(found, wanted)
        there = at < len(found)
        there[there] = found[at[there]] == wanted[there]
        take = pa.array(np.where(there, at, 0), mask=~there)
        columns[windows.preference_name(name, "kv")] = strings.take(take)
        columns[windows.preference_name(name, "top_share")] = shares.take(take)
    return columns


def _top_of_attribute(
    rows: Preferences, values: pa.Array, n_keys: int, n_days: int, top: int
) -> tuple[np.ndarray, pa.Array, pa.Array]:
    """Cells with any count, in order; their KV strings and top shares."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from jobs.features.window_kernel import order_of

    row = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
    if not len(row):
        return np.zeros(0, dtype=np.int64), pa.array([], pa.string()), pa.array([], pa.float64())
    encoded = values.take(pa.array(row)).dictionary_encode()
    by_value = pc.sort_indices(encoded.dictionary).to_numpy().astype(np.int64)
    rank = np.empty(len(by_value), dtype=np.int64)
    rank[by_value] = np.arange(len(by_value))
    codes = rows.key[row] * len(by_value) + rank[encoded.indices.to_numpy()]
    pairs, pair = np.unique(codes, return_inverse=True)  # of key and value
    pair_key, pair_rank = np.divmod(pairs, len(by_value))

    change = np.zeros(len(pairs) * (n_days + 1) + 1, dtype=np.int64)
    np.add.at(change, pair * (n_days + 1) + rows.start[row], rows.cnt[row])
    np.subtract.at(change, pair * (n_days + 1) + rows.until[row], rows.cnt[row])
    counts = np.cumsum(change)
    counted = np.flatnonzero(counts)  # by pair and day
    count = counts[counted]
    of_pair, day = np.divmod(counted, n_days + 1)
    # A text stands for days on end: it is made once for each pair and count in turn.
    is_new = (np.diff(of_pair, prepend=-1) != 0) | (np.diff(count, prepend=0) != 0)
    first, text = np.flatnonzero(is_new), np.cumsum(is_new) - 1
    named = encoded.dictionary.take(pa.array(by_value[pair_rank[of_pair[first]]]))
    texts = pc.binary_join_element_wise(named, pa.array(count[first]).cast(pa.string()), ":")

    cell, highest = day * n_keys + pair_key[of_pair], int(count.max())
    order = order_of((cell, n_keys * n_days), (highest - count, highest), (pair_rank[of_pair], len(by_value)))
    cell, count, text = cell[order], count[order], text[order]
    begin = np.flatnonzero(np.diff(cell, prepend=-1))
    sizes = np.diff(begin, append=len(cell))
    kept = np.arange(len(cell)) - np.repeat(begin, sizes) < top
    offsets = np.concatenate([[0], np.cumsum(np.minimum(sizes, top))]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), texts.take(pa.array(text[kept])))
    return cell[begin], pc.binary_join(lists, ","), pa.array(count[begin] / np.add.reduceat(count, begin))
