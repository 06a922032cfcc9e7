"""What a user prefers, per item attribute: values counted over a window, as KV strings.

The attribute's value is that of the item snapshot as of the feature's day, also for events of days before. So that a
range of days costs one pass, each item's attributes are first cut into spans of days with the same values.

A KV string is "value:count,value:count", most frequent first, equal counts by value. In a value `%`, `,` and `:` are
percent-encoded, as in `kv_value`, so a reader can split at `,` and `:`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    """One row per action and attribute: the days [day, until) on which it counts for the value in `counterpart`."""
    event, window, _ = windows.preference
    day = day_of(F.col("ds"))
    valued = F.explode(
        F.array(*[F.struct(F.lit(a).alias("attribute"), kv_value(F.col(a)).alias("value")) for a in windows.attributes])
    )
    return (
        actions.where(F.col("event") == event)
        .join(spans, "item_id", how="inner")
        .select(
            F.col("user_id").alias("key"),
            "event",
            valued.alias("valued"),
            F.greatest(day, F.col("start")).alias("day"),
            F.least(day + window, F.col("until")).alias("until"),
            "cnt",
            F.lit(0).cast("bigint").alias("value_micros"),
        )
        .where(F.col("valued.value").isNotNull() & (F.col("day") < F.col("until")))
        .select(
            "key", "event", F.col("valued.value").alias("counterpart"), "day", "until", "cnt", "value_micros",
            F.col("valued.attribute").alias("attribute"),
        )
    )  # fmt: skip


def top_values(
    rows: pa.Table, key: np.ndarray, windows: Windows, first: int, n_days: int, cells: np.ndarray
) -> dict[str, pa.Array]:
    """KV string and top share per attribute for the wanted cells (key * n_days + day), sorted; NULL without events."""
    import pyarrow as pa

    attribute = rows.column("attribute").to_numpy(zero_copy_only=False) if rows.num_rows else np.array([], dtype=object)
    columns: dict[str, pa.Array] = {}
    for name in windows.attributes:
        mine = attribute == name
        of_attribute = rows.filter(pa.array(mine, pa.bool_()))
        found, strings, shares = _top_of_attribute(of_attribute, key[mine], windows, first, n_days)
        at = np.searchsorted(found, cells)
        there = at < len(found)
        there[there] = found[at[there]] == cells[there]
        take = pa.array(np.where(there, at, 0), mask=~there)
        columns[windows.preference_name(name, "kv")] = strings.take(take)
        columns[windows.preference_name(name, "top_share")] = shares.take(take)
    return columns


def _top_of_attribute(
    rows: pa.Table, key: np.ndarray, windows: Windows, first: int, n_days: int
) -> tuple[np.ndarray, pa.Array, pa.Array]:
    """Cells with any count, in order; their KV strings and top shares."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from jobs.features.window_kernel import Grid

    if not rows.num_rows:
        return np.array([], dtype=np.int64), pa.array([], pa.string()), pa.array([], pa.float64())
    encoded = rows.column("counterpart").combine_chunks().dictionary_encode()
    values = encoded.dictionary
    by_value = pc.sort_indices(values).to_numpy()
    rank = np.empty(len(values), dtype=np.int64)
    rank[by_value] = np.arange(len(values))
    pairs, pair = np.unique(key * len(values) + rank[encoded.indices.to_numpy()], return_inverse=True)

    grid = Grid(len(pairs), n_days)
    start, until = (rows.column(c).to_numpy().astype(np.int64) - first for c in ("day", "until"))
    counts = grid.add(pair, start, until, rows.column("cnt").to_numpy()).values()
    at_pair, day = np.nonzero(counts)
    if not len(at_pair):
        return np.array([], dtype=np.int64), pa.array([], pa.string()), pa.array([], pa.float64())
    count, value = counts[at_pair, day], pairs[at_pair] % len(values)
    cell = pairs[at_pair] // len(values) * n_days + day
    order = np.lexsort((value, -count, cell))
    cell, count, value = cell[order], count[order], value[order]

    found, begin = np.unique(cell, return_index=True)
    sizes = np.diff(begin, append=len(cell))
    position = np.arange(len(cell)) - np.repeat(begin, sizes)
    kept = position < windows.preference[2]
    texts = values.take(pa.array(by_value[value[kept]]))
    tokens = pc.binary_join_element_wise(texts, pa.array(count[kept]).cast(pa.string()), ":")
    offsets = np.concatenate([[0], np.cumsum(np.minimum(sizes, windows.preference[2]))]).astype(np.int32)
    strings = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), tokens), ",")
    return found, strings, pa.array(count[begin] / np.add.reduceat(count, begin))
