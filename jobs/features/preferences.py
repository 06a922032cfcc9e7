"""What a user prefers, per item attribute: values counted over a window, as KV strings; and the user's last items.

The attribute's value is that of the item snapshot as of the feature's day, also for events of days before. So that a
range of days costs one pass, each item's attributes are first cut into spans of days with the same values. Each of an
item's tags, and of the words of its title, counts once per event.

A KV string is "value:count,value:count", most frequent first, equal counts by value. In a value `%`, `,` and `:` are
percent-encoded, as in `kv_value`, so a reader can split at `,` and `:`. The last items are counted in the same way: an
item counts the day number of the last event, from that day to the next one with such an event.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jobs.features.windows import RECENT, Windows, day_of
from jobs.lib.days import day_number
from jobs.lib.roles import SEVERAL, TAGS, TITLE_WORDS
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


def values_of(attribute: str) -> Column:
    """ARRAY of the item's distinct values of an attribute, as they stand in KV strings; NULL where it has none.

    Tags are parted by commas, words by what is neither letter nor digit; words are in lower case.
    """
    if attribute == TAGS:
        parts = F.transform(F.split(F.col("tags"), ","), lambda tag: F.trim(tag))
    elif attribute == TITLE_WORDS:
        parts = F.split(F.lower(F.col("title")), r"[^\p{L}\p{N}]+")
    else:
        return F.when(F.col(attribute).isNotNull(), F.array(kv_value(F.col(attribute))))
    values = F.array_distinct(F.transform(F.filter(parts, lambda part: part != ""), kv_value))
    return F.when(F.size(values) > 0, values)


def column_of(attribute: str) -> str:
    """The column of an item seen through its roles that an attribute is read from."""
    return "title" if attribute == TITLE_WORDS else attribute


def attribute_spans(items: DataFrame, attributes: list[str]) -> DataFrame:
    """Days over which an item's attributes stay the same: item_id, their columns, start, until (day numbers).

    `until` is excluded. items: daily snapshots. A day on which the item is not listed ends its span.
    """
    columns = list(dict.fromkeys(column_of(attribute) for attribute in attributes))
    same = Window.partitionBy("item_id", *columns).orderBy("day")
    listed = items.select("item_id", *columns, day_of(F.col("ds")).alias("day"))
    return (
        listed.withColumn("run", F.col("day") - F.row_number().over(same))
        .groupBy("item_id", *columns, "run")
        .agg(F.min("day").alias("start"), (F.max("day") + 1).alias("until"))
        .drop("run")
    )


def constant_spans(items: DataFrame, attributes: list[str], days: list[str]) -> DataFrame:
    """The same for one snapshot that serves every day."""
    start, until = F.lit(day_number(days[0])), F.lit(day_number(days[-1]) + 1)
    columns = list(dict.fromkeys(column_of(attribute) for attribute in attributes))
    return items.select("item_id", *columns, start.alias("start"), until.alias("until"))


def preference_rows(actions: DataFrame, spans: DataFrame | None, windows: Windows) -> DataFrame:
    """One row per action, span and value: the days [day, until) on which `cnt` counts for the values of the item.

    Columns: key, day, until, cnt, and value_0, value_1, ... in the order of `windows.kvs`. spans: None where there are
    no attributes to prefer.
    """
    parts = [] if spans is None else _counted_values(actions, spans, windows)
    if windows.recent:
        parts.append(_recent_items(actions, windows))
    return reduce(lambda some, more: some.unionByName(more), parts)


def _counted_values(actions: DataFrame, spans: DataFrame, windows: Windows) -> list[DataFrame]:
    _, window, _ = windows.preference
    events = sorted({kv.event for kv in windows.kvs})
    reached = (
        actions.where(F.col("event").isin(events))
        .select("user_id", "item_id", "event", "cnt", day_of(F.col("ds")).alias("acted"))
        .join(spans.select("item_id", "start", "until", *_arrays(windows)), "item_id", how="inner")
        .withColumn("day", F.greatest("acted", F.col("start")))
        .withColumn("until", F.least(F.col("acted") + window, F.col("until")))
        .where(F.col("day") < F.col("until"))
    )
    single = [attribute for attribute in windows.attributes if attribute not in SEVERAL]
    parts = [_as_rows(reached, {a: F.col(f"values_{a}")[0] for a in single}, windows)] if single else []
    for attribute in windows.attributes:
        if attribute in SEVERAL:
            exploded = reached.withColumn("value", F.explode(f"values_{attribute}"))
            parts.append(_as_rows(exploded, {attribute: F.col("value")}, windows))
    return parts


def _arrays(windows: Windows) -> list[Column]:
    return [values_of(attribute).alias(f"values_{attribute}") for attribute in windows.attributes]


def _as_rows(reached: DataFrame, values: dict[str, Column], windows: Windows) -> DataFrame:
    """A value counts for the event of its action; every other column is NULL."""
    none = F.lit(None).cast("string")
    columns = [
        F.when(F.col("event") == kv.event, values[kv.attribute]) if kv.attribute in values else none
        for kv in windows.kvs
    ]
    named = [column.alias(f"value_{n}") for n, column in enumerate(columns)]
    return reached.select(F.col("user_id").alias("key"), "day", "until", "cnt", *named)


def _recent_items(actions: DataFrame, windows: Windows) -> DataFrame:
    event, window, _ = windows.preference
    acted = actions.where(F.col("event") == event).select("user_id", "item_id", day_of(F.col("ds")).alias("day"))
    again = F.lead("day").over(Window.partitionBy("user_id", "item_id").orderBy("day"))
    rows = acted.distinct().select(
        *("user_id", "day"),
        F.least(F.col("day") + window, again).alias("until"),
        F.col("day").cast("bigint").alias("cnt"),
        F.lit(event).alias("event"),
        kv_value(F.col("item_id")).alias("item"),
    )
    return _as_rows(rows, {RECENT: F.col("item")}, windows)


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
            return Preferences(none, none, none, none, [pa.array([], pa.string()) for _ in windows.kvs])
        start, until = (
            np.clip(rows.column(name).to_numpy().astype(np.int64) - first, 0, n_days) for name in ("day", "until")
        )
        values = [rows.column(f"value_{n}").combine_chunks() for n in range(len(windows.kvs))]
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
    for kv, values in zip(windows.kvs, rows.values, strict=True):
        found, strings, shares = _top_of_attribute(rows, values, n_keys, n_days, kv.top)
        at = np.searchsorted(found, wanted)
        there = at < len(found)
        there[there] = found[at[there]] == wanted[there]
        take = pa.array(np.where(there, at, 0), mask=~there)
        columns[windows.preference_name(kv.attribute, "kv", kv.event)] = strings.take(take)
        if kv.has_share:
            columns[windows.preference_name(kv.attribute, "top_share")] = shares.take(take)
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
