"""The second half of an import, as tasks that Spark spreads over its workers.

`assemble` takes the staged blocks of one day, drops exact duplicates and writes the day's Parquet file into the table's
folder, where no reader sees it before the commit. A day beyond MAX_ROWS_AT_ONCE is assembled in several passes over its
blocks, so a task holds a bounded part of the data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.data.import_rows import events_of
from jobs.data.import_stage import QUARANTINE, UNDATED, Block, Import, Staged
from jobs.data.source_files import filesystem_of
from jobs.lib.files import make_folder

MAX_ROWS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Written:
    """One Parquet file of a table. path: relative to the table's folder. content: the sum of the hashes of its rows."""

    table: str
    path: str
    bytes: int
    rows: int
    content: int
    kept: int
    duplicates: int
    repeated_ids: int


def assemble(
    work: Import, kind: str, ds: str, table_address: str, stem: str, blocks: list[Block]
) -> Iterator[Written | Block]:
    """Write one day of a table from its blocks. Yields Written, and the Blocks of rows whose id another row has."""
    buckets = math.ceil(sum(block.rows for block in blocks) / MAX_ROWS_AT_ONCE)
    staged = Staged(f"{work.staging}/again-{kind}-{ds}")
    for bucket in range(buckets):
        rows = _rows_of(blocks, bucket, buckets, _identity(kind))
        distinct = rows if kind == QUARANTINE else _distinct(rows)
        kept = distinct
        if kind in ("item", "user"):
            key = f"{kind}_id"
            values = [c for c in distinct.columns if c not in (key, "file", "line")]
            kept = distinct.sort(key, *values, nulls_last=True)  # by content: the order of reading must not decide
            kept = kept.unique(key, keep="first", maintain_order=True)
            again = distinct.join(kept.select("file", "line"), on=["file", "line"], how="anti")
            staged.add(QUARANTINE, _repeated(work, again, kind))
        made = events_of(kept, work.spec(kind)) if kind == "behavior" else kept
        made = made.drop([c for c in ("file", "line") if kind != QUARANTINE and c in made.columns])
        path = f"ds={ds}/{stem}-{bucket:03d}.parquet"
        size = _write_parquet(made, f"{table_address}/{path}") if made.height else 0
        lost = (rows.height - distinct.height, distinct.height - kept.height)
        yield Written(kind, path, size, made.height, _content(made), kept.height, *lost)
    yield from staged.flushed(0)


def _identity(kind: str) -> list[str] | None:
    """Columns whose values decide the bucket: equal rows, and rows of one id, must meet."""
    return [f"{kind}_id"] if kind in ("item", "user") else None


def _rows_of(blocks: list[Block], bucket: int, buckets: int, identity: list[str] | None) -> pl.DataFrame:
    parts = []
    for block in blocks:
        filesystem, path = filesystem_of(block.address)
        with filesystem.open_input_file(path) as source, pa.ipc.open_file(source) as staged:
            rows = pl.DataFrame(pl.from_arrow(staged.get_batch(block.index)))
        if buckets > 1:
            columns = identity or [c for c in rows.columns if c not in ("file", "line")]
            rows = rows.filter(rows.select(columns).hash_rows(seed=0) % buckets == bucket)
        parts.append(rows)
    rows = pl.concat(parts)
    in_order = rows["line"].is_sorted() and (blocks[0].table == QUARANTINE or rows["file"].n_unique() == 1)
    return rows if in_order else rows.sort("file", "line")


def _distinct(rows: pl.DataFrame) -> pl.DataFrame:
    values = [c for c in rows.columns if c not in ("file", "line")]
    hashes = rows.select(values).hash_rows()
    if hashes.n_unique() == rows.height:  # the usual case; equal hashes alone prove nothing
        return rows
    return rows.unique(values, keep="first", maintain_order=True)


def _repeated(work: Import, again: pl.DataFrame, kind: str) -> pl.DataFrame:
    files = dict(enumerate(work.names[kind]))
    key = f"{kind}_id"
    return again.select(
        source=pl.lit(kind),
        file=pl.col("file").replace_strict(files, return_dtype=pl.String),
        line="line",
        column=pl.lit(getattr(work.spec(kind).roles, key)),
        reason=pl.lit("is there in another row"),
        value=pl.col(key).str.slice(0, 60),
        day=pl.lit(UNDATED, pl.Int32),
    )


def _content(rows: pl.DataFrame) -> int:
    hashes = rows.select(sorted(rows.columns)).hash_rows(seed=0)
    return (int((hashes // 2**32).sum()) << 32) + int((hashes % 2**32).sum())


def _write_parquet(rows: pl.DataFrame, address: str) -> int:
    filesystem, path = filesystem_of(address)
    make_folder(filesystem, path.rpartition("/")[0])
    arrow = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    plain = [pa.field(f.name, pa.string() if f.type == pa.large_string() else f.type) for f in arrow.schema]
    pq.write_table(
        arrow.cast(pa.schema(plain)), path, filesystem=filesystem, compression="zstd", row_group_size=1 << 20
    )
    return filesystem.get_file_info(path).size
