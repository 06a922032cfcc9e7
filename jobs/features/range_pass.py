"""All days of a range of window features in one Spark pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from jobs.features.packed import Layout, unpacked
from jobs.features.windows import Range, Windows
from jobs.lib.days import from_day_number
from jobs.lib.errors import RecflowError
from jobs.lib.partitions import table_path
from jobs.lib.spark import F
from jobs.lib.staged_files import FILES, StagedDays, files_of, remove
from jobs.lib.tables import adopt_files

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


_DAY, _DS = pa.field("day", pa.int32()), pa.field("ds", pa.string())


def windowed(packed: DataFrame, layout: Layout, asked: Range) -> DataFrame:
    """Features for each day asked for and each key active in the longest window, idle that day or not.

    Grain: one row per (ds, {side}_id). packed: facts and preferences, from packed.py. Cost is linear in rows and output
    whatever the windows, and each row is read once however many days are asked for.
    """
    from pyspark.sql.pandas.types import from_arrow_schema

    schema = from_arrow_schema(_schema(asked.windows, _DAY))
    computed = _in_buckets(packed, layout).mapInArrow(partial(_compute, asked=asked), schema)
    ds = F.date_format(F.date_from_unix_date("day"), "yyyyMMdd")
    return computed.select(f"{asked.windows.side}_id", *asked.windows.names, ds.alias("ds"))


def write_windowed(packed: DataFrame, layout: Layout, asked: Range, table: str, contract: str) -> dict[str, int]:
    """The rows of `windowed` become the table's partitions of the days asked for. Returns rows per ds; raises what
    `write_days` raises.

    The workers that compute the rows also write them: sent through the JVM they would cost several times what computing
    them does.
    """
    days = [from_day_number(asked.first + n) for n in range(len(asked.history))]
    write = partial(_write, asked=asked, address=table_path(table))
    files = files_of(_in_buckets(packed, layout).mapInArrow(write, FILES))
    try:
        return adopt_files(files, _schema(asked.windows, _DS), table, days, contract)
    except RecflowError:
        remove(table_path(table), files)  # refused, and so before the commit
        raise


def _in_buckets(packed: DataFrame, layout: Layout) -> DataFrame:
    return packed.repartitionById(layout.tasks, F.col("bucket") % layout.tasks)


def _compute(batches: Iterable[pa.RecordBatch], asked: Range) -> Iterator[pa.RecordBatch]:
    """Batches that are sorted by day."""
    from jobs.features.window_kernel import features_of

    schema = _schema(asked.windows, _DAY)
    for facts, preferences in unpacked(batches):
        for features in features_of(facts, preferences, asked):
            yield from features.cast(schema).combine_chunks().to_batches()


def _write(batches: Iterable[pa.RecordBatch], asked: Range, address: str) -> Iterator[pa.RecordBatch]:
    with StagedDays(address) as staged:
        for batch in _compute(batches, asked):
            day = batch.column("day").to_numpy()
            rows = batch.drop_columns(["day"])
            for number, begin, end in _runs(day):
                staged.add(from_day_number(number), rows.slice(begin, end - begin))
        yield staged.written()


def _runs(day: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(value, begin, end) of each run of equal values."""
    begins = np.flatnonzero(np.diff(day, prepend=-1)).tolist()
    for begin, end in zip(begins, [*begins[1:], len(day)], strict=True):
        yield int(day[begin]), begin, end


def _schema(windows: Windows, last: pa.Field) -> pa.Schema:
    strings = set(windows.kv_names)
    values = [pa.field(name, pa.string() if name in strings else pa.float64()) for name in windows.names]
    key = pa.field(f"{windows.side}_id", pa.string())
    return pa.schema([key, *values, last])
