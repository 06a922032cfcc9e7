"""Rows written by Spark's workers as Parquet files in a table's folder, where no reader sees them before the commit."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.lib.delta_files import DataFile
from jobs.lib.files import filesystem_of, make_folder

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

FILES = "path string, ds string, bytes bigint, rows bigint, content string"
BYTES_HELD = 256 << 20


class StagedDays:
    """One file per day. Rows are held until there are enough of them for row groups of some size."""

    def __init__(self, address: str) -> None:
        self._address, self._name = address, f"part-{uuid.uuid4().hex}.parquet"
        self._held: dict[str, list[pa.RecordBatch]] = {}
        self._bytes = 0
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._rows: dict[str, int] = {}
        self._content: dict[str, int] = {}

    def __enter__(self) -> StagedDays:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def add(self, ds: str, rows: pa.RecordBatch) -> None:
        self._held.setdefault(ds, []).append(rows)
        self._bytes += rows.nbytes
        if self._bytes >= BYTES_HELD:
            self._flush()

    def written(self) -> pa.RecordBatch:
        """Ends the files and tells of them, one row per file, as FILES."""
        self._flush()
        for writer in self._writers.values():
            writer.close()
        paths = {ds: f"ds={ds}/{self._name}" for ds in self._writers}
        return pa.RecordBatch.from_pydict(
            {
                "path": pa.array(list(paths.values()), pa.string()),
                "ds": pa.array(list(paths), pa.string()),
                "bytes": pa.array([self._size(path) for path in paths.values()], pa.int64()),
                "rows": pa.array([self._rows[ds] for ds in paths], pa.int64()),
                "content": pa.array([str(self._content[ds]) for ds in paths], pa.string()),
            }
        )

    def _flush(self) -> None:
        for ds, batches in self._held.items():
            rows = pa.Table.from_batches(batches)
            if ds not in self._writers:
                filesystem, path = filesystem_of(f"{self._address}/ds={ds}/{self._name}")
                make_folder(filesystem, path.rpartition("/")[0])
                self._writers[ds] = pq.ParquetWriter(path, rows.schema, filesystem=filesystem, compression="zstd")
            self._writers[ds].write_table(rows)
            self._rows[ds] = self._rows.get(ds, 0) + rows.num_rows
            self._content[ds] = self._content.get(ds, 0) + content_of(rows)
        self._held, self._bytes = {}, 0

    def _size(self, path: str) -> int:
        filesystem, path = filesystem_of(f"{self._address}/{path}")
        return filesystem.get_file_info(path).size


def content_of(rows: pa.Table) -> int:
    """A hash of the rows: the same in any order of rows and columns, and adding up over tables."""
    import polars as pl

    hashes = pl.DataFrame(pl.from_arrow(rows.select(sorted(rows.column_names)))).hash_rows(seed=0)
    return (int((hashes // 2**32).sum()) << 32) + int((hashes % 2**32).sum())


def files_of(told: DataFrame) -> list[DataFile]:
    """told: rows of FILES, one per task and day."""
    return [DataFile(r.path, r.ds, r.bytes, r.rows, int(r.content)) for r in told.collect()]


def remove(address: str, files: list[DataFile]) -> None:
    for file in files:
        filesystem, path = filesystem_of(f"{address}/{file.path}")
        filesystem.delete_file(path)
