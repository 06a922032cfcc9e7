"""The rows of a Delta table's days: read from the files that its log lists, written as files before they are listed.

Spark's own Delta reader and writer run Spark jobs over the log, several for each look and each commit: for a day of a
table they took longer than its rows. Here Spark moves the rows alone; the log is read and written without it
(jobs/lib/delta_files.py).
"""

from __future__ import annotations

import itertools
import json
import math
import re
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from jobs.lib import partitions
from jobs.lib.delta_files import DataFile
from jobs.lib.errors import DataError
from jobs.lib.object_store import open_store
from jobs.lib.spark import F

if TYPE_CHECKING:
    import deltalake
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

ROWS_PER_FILE = 2_000_000
ROW_GROUP_ROWS = 131_072
_WRITTEN = "path string, ds string, bytes bigint, rows bigint"


def read_files(session: SparkSession, address: str, days: list[str]) -> DataFrame:
    """The rows of these days as they are committed now: a later commit changes nothing for who has them.

    Raises DataError naming a file that has no bytes.
    """
    table = partitions.delta_at(address)
    columns = _spark_columns(table)
    files = table.file_uris(file_pruning_predicate=[("ds", "in", days)]) if days else []
    if not files:
        return session.createDataFrame([], columns)
    _refuse_cut_off(files)
    paths = ["s3a://" + file.removeprefix("s3://") if file.startswith("s3://") else file for file in files]
    return session.read.option("basePath", address).schema(columns).parquet(*paths)


def _refuse_cut_off(files: list[str]) -> None:
    """Spark passes over files without bytes in silence. A folder may hold one after a crash; an object comes whole."""
    for file in files:
        if "://" not in file and Path(file).stat().st_size == 0:
            raise DataError(f"{file} is empty, though the table's log says that it holds rows")


def column_types(address: str) -> dict[str, str]:
    """The columns of a table, as Spark writes their types."""
    return {field.name: field.dataType.simpleString() for field in _spark_columns(partitions.delta_at(address))}


def _spark_columns(table: deltalake.DeltaTable) -> StructType:
    """Delta keeps a schema in Spark's own form."""
    from pyspark.sql.types import StructType

    return StructType.fromJson(json.loads(table.schema().to_json()))


def declared(rows: DataFrame) -> deltalake.Schema:
    """The columns of the rows as a table declares them: all may be NULL, whatever a plan happens to know of them."""
    import deltalake

    text = re.sub(r'"(nullable|containsNull|valueContainsNull)":false', r'"\1":true', rows.schema.json())
    return deltalake.Schema.from_json(text)


def write_files(rows: DataFrame, address: str, counts: dict[str, int]) -> list[DataFile]:
    """Write the rows into the folders of their ds, where no reader sees them before a commit.

    counts: rows per ds. Few files: readers open each of them, and small files cost more than they hold.
    """
    from pyspark.sql.pandas.types import to_arrow_schema

    files_a_day = math.ceil(max(max(counts.values()), 1) / ROWS_PER_FILE)
    placed = rows.coalesce(files_a_day)
    if len(counts) > 1:
        piece = F.pmod(F.xxhash64(*rows.columns), F.lit(files_a_day))  # of a large day, so that no task holds all of it
        placed = rows.repartition(len(counts) * files_a_day, "ds", piece).sortWithinPartitions("ds")
    stem, schema = f"part-{uuid4().hex}", to_arrow_schema(rows.drop("ds").schema)
    written = placed.mapInArrow(partial(_task, address, stem, schema), _WRITTEN).collect()
    return [DataFile(row.path, row.ds, row.bytes, row.rows, 0) for row in written]


def _task(address: str, stem: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The files of a task's rows, one for each ds; rows of a ds lie together. A task that is run again writes them
    again under the same names."""
    import pyarrow as pa
    from pyspark import TaskContext

    name, store = f"{stem}-{TaskContext.get().partitionId():05d}.parquet", open_store(address)
    for ds, pieces in itertools.groupby(_pieces(batches), key=lambda piece: piece[0]):
        path = f"ds={ds}/{name}"
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rows"
            rows = _write(file, schema, (piece for _, piece in pieces))
            store.put_file(path, file)
            written = {"path": path, "ds": ds, "bytes": file.stat().st_size, "rows": rows}
        yield pa.RecordBatch.from_pylist([written])


def _pieces(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Each batch cut where its ds changes."""
    import pyarrow.compute as pc

    for batch in batches:
        start, ends = 0, pc.run_end_encode(batch.column("ds"))
        for end, ds in zip(ends.run_ends.to_pylist(), ends.values.to_pylist(), strict=True):
            yield ds, batch.slice(start, end - start)
            start = end


def _write(file: Path, schema: pa.Schema, pieces: Iterator[pa.RecordBatch]) -> int:
    """Full row groups: a reader pays for each of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    held: list[pa.RecordBatch] = []
    rows = waiting = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:

        def flush() -> None:
            writer.write_table(pa.Table.from_batches(held).select(schema.names).cast(schema))
            held.clear()

        for piece in pieces:
            held.append(piece)
            rows, waiting = rows + piece.num_rows, waiting + piece.num_rows
            if waiting >= ROW_GROUP_ROWS:
                flush()
                waiting = 0
        if held:
            flush()
    return rows
