"""The rows of window features on their way through Spark: packed by bucket of their key, many rows in one.

Spark moves bytes well and rows slowly: between the JVM and a Python worker a row costs more than all the arithmetic on
it. So a worker reads the daily partials from their files, the rows of each bucket travel as one value through Spark's
shuffle, and a worker gets whole buckets back.

Columns: bucket INT, kind STRING (facts, preferences), rows BINARY (an Arrow stream).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from jobs.features.windows import Windows, day_of
from jobs.lib.days import day_number
from jobs.lib.delta_files import DayFile
from jobs.lib.files import filesystem_of
from jobs.lib.spark import F

if TYPE_CHECKING:
    import polars as pl
    from pyspark.sql import DataFrame

FACTS, PREFERENCES = "facts", "preferences"
SCHEMA = "bucket int, kind string, rows binary"
_NO_FACTS = pa.schema({
    "key": pa.string(), "event": pa.int8(), "counterpart": pa.string(), "day": pa.int32(), "cnt": pa.int64(),
    "value_micros": pa.int64(),
}).empty_table()  # fmt: skip
ROWS_PER_BUCKET = 400_000
ROWS_PER_TASK = 10_000_000
ROWS_HELD = 2_000_000
_AMOUNTS = ("cnt", "value_micros")


@dataclass(frozen=True)
class Layout:
    """Into how many buckets keys are cut, and how many tasks share these."""

    buckets: int = 1
    tasks: int = 1

    @staticmethod
    def of(files: list[DayFile]) -> Layout:
        """Few tasks, since each leaves a file per day; yet all cores busy, and a task's rows within memory."""
        from jobs.lib.session import spark

        rows, cores = sum(file.rows for file in files), spark().sparkContext.defaultParallelism
        tasks = max(1, min(cores, rows // ROWS_PER_BUCKET), -(-rows // ROWS_PER_TASK))
        return Layout(tasks * max(1, -(-rows // (tasks * ROWS_PER_BUCKET))), tasks)


def packed_files(files: list[DayFile], windows: Windows, layout: Layout) -> DataFrame:
    """The facts in these files of actions_daily, or of a log of events, each of which counts 1."""
    from jobs.lib.session import spark

    session = spark()
    tasks = min(len(files), 2 * session.sparkContext.defaultParallelism) or 1
    named = session.createDataFrame([(f.ds, f.address) for f in files], "ds string, address string").repartition(tasks)
    return named.mapInArrow(partial(_pack_files, windows=windows, buckets=layout.buckets), SCHEMA)


def packed_actions(actions: DataFrame, windows: Windows, layout: Layout) -> DataFrame:
    """The facts of an actions_daily that is not in files."""
    rows = actions.select("user_id", "item_id", "event", day_of(F.col("ds")).alias("day"), *_AMOUNTS)
    return rows.mapInArrow(partial(_pack_batches, kind=FACTS, windows=windows, buckets=layout.buckets), SCHEMA)


def packed_preferences(rows: DataFrame, layout: Layout) -> DataFrame:
    """rows: from `preferences.preference_rows`."""
    return rows.mapInArrow(partial(_pack_batches, kind=PREFERENCES, windows=None, buckets=layout.buckets), SCHEMA)


def unpacked(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[pa.Table, pa.Table | None]]:
    """Facts and preferences, bucket by bucket."""
    found: dict[int, dict[str, list[pa.Table]]] = {}
    for batch in batches:
        for bucket, kind, rows in zip(*batch.columns, strict=True):
            parts = found.setdefault(bucket.as_py(), {}).setdefault(kind.as_py(), [])
            parts.append(pa.ipc.open_stream(rows.as_buffer()).read_all())
    for bucket in sorted(found):
        kinds = found.pop(bucket)
        preferences = pa.concat_tables(kinds[PREFERENCES]) if PREFERENCES in kinds else None
        yield pa.concat_tables(kinds.get(FACTS, [_NO_FACTS])), preferences


def _pack_files(files: Iterable[pa.RecordBatch], windows: Windows, buckets: int) -> Iterator[pa.RecordBatch]:
    import polars as pl

    named = (file for batch in files for file in batch.to_pylist())
    facts = (_facts(_read(f["address"]), windows, pl.lit(day_number(f["ds"]), pl.Int32)) for f in named)
    return _packed(facts, FACTS, buckets)


def _read(address: str) -> pl.DataFrame:
    import polars as pl
    import pyarrow.parquet as pq

    filesystem, path = filesystem_of(address)
    with filesystem.open_input_file(path) as source, pq.ParquetFile(source) as parquet:
        wanted = [c for c in ("user_id", "item_id", "event", *_AMOUNTS) if c in parquet.schema_arrow.names]
        rows = pl.DataFrame(pl.from_arrow(parquet.read(wanted)))
    defaults = {"cnt": 1, "value_micros": 0}
    return rows.with_columns(**{c: pl.lit(n, pl.Int64) for c, n in defaults.items() if c not in wanted})


def _pack_batches(
    batches: Iterable[pa.RecordBatch], kind: str, windows: Windows | None, buckets: int
) -> Iterator[pa.RecordBatch]:
    import polars as pl

    frames = (pl.DataFrame(pl.from_arrow(batch)) for batch in batches)
    return _packed((_facts(f, windows, pl.col("day")) if windows else f for f in frames), kind, buckets)


def _facts(actions: pl.DataFrame, windows: Windows, day: pl.Expr) -> pl.DataFrame:
    """key, event (its number), counterpart, day and amounts of the events that count. Without distinct counterparts
    the rows of a key, event and day become one."""
    import polars as pl

    key, counterpart = ("user_id", "item_id") if windows.side == "user" else ("item_id", "user_id")
    number = pl.col("event").replace_strict(windows.events, range(len(windows.events)), default=None)
    facts = actions.select(
        key=key, event=number.cast(pl.Int8), counterpart=counterpart, day=day, cnt="cnt", value_micros="value_micros"
    ).filter(pl.col("event").is_not_null())
    if "uniq" in windows.statistics:
        return facts
    sums = facts.group_by("key", "event", "day").agg(pl.col(*_AMOUNTS).sum())
    return sums.select("key", "event", pl.lit("").alias("counterpart"), "day", *_AMOUNTS)


def _packed(frames: Iterable[pl.DataFrame], kind: str, buckets: int) -> Iterator[pa.RecordBatch]:
    held: list[pl.DataFrame] = []
    for frame in frames:
        held.append(frame)
        if sum(frame.height for frame in held) >= ROWS_HELD:
            yield _by_bucket(held, kind, buckets)
            held = []
    if held:
        yield _by_bucket(held, kind, buckets)


def _by_bucket(frames: list[pl.DataFrame], kind: str, buckets: int) -> pa.RecordBatch:
    import polars as pl

    rows = pl.concat(frames)
    bucket = (rows["key"].hash(seed=0) % buckets).cast(pl.Int32).to_numpy()
    order = np.argsort(bucket, kind="stable")
    table = rows[order].to_arrow(compat_level=pl.CompatLevel.oldest())
    table = table.cast(
        pa.schema([(f.name, pa.string() if f.type == pa.large_string() else f.type) for f in table.schema])
    )
    cuts = np.searchsorted(bucket[order], np.arange(buckets + 1)).tolist()
    filled = [number for number in range(buckets) if cuts[number] < cuts[number + 1]]
    return pa.RecordBatch.from_arrays(
        [
            pa.array(filled, pa.int32()),
            pa.array([kind] * len(filled), pa.string()),
            pa.array([_stream(table.slice(cuts[n], cuts[n + 1] - cuts[n])) for n in filled], pa.binary()),
        ],
        names=["bucket", "kind", "rows"],
    )


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()
