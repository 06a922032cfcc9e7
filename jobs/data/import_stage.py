"""The two halves of an import as tasks that Spark spreads over its workers.

`stage` reads one file and leaves its rows in the staging folder, a block per day. `assemble` takes the blocks of one
day, drops exact duplicates and writes the day's Parquet file into the table's folder, where no reader sees it before
the commit. A file is read block by block, and a day beyond MAX_ROWS_AT_ONCE is assembled in several passes over its
blocks, so a task holds a bounded part of the data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.data.import_rows import behavior_rows, events_of, snapshot_rows
from jobs.data.read_files import chunks_of
from jobs.data.registration import Registration
from jobs.data.source_files import SourceFile, filesystem_of

FLUSH_BYTES = 192 << 20
MAX_ROWS_AT_ONCE = 4_000_000
UNDATED = -1  # the day of snapshots, and of rows whose time cannot be read
QUARANTINE = "quarantine"
_EXAMPLES = 3
_DAY_SEC = 86_400
_QUARANTINED = {
    "source": pl.String, "file": pl.String, "line": pl.Int64, "column": pl.String,
    "reason": pl.String, "value": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """Rows of one day within a staged file. table: behavior, item, user or quarantine."""

    table: str
    day: int
    rows: int
    address: str
    index: int


@dataclass
class Tally:
    """What became of the records of one file. reasons: (column, reason) -> rows, and the first (line, value)."""

    kind: str
    file: str
    read: int = 0
    kept: int = 0
    outside: int = 0
    reasons: dict[tuple[str, str], int] = field(default_factory=dict)
    examples: dict[tuple[str, str], list[tuple[int, str | None]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Written:
    """One Parquet file of a table. path: relative to the table's folder."""

    table: str
    path: str
    bytes: int
    rows: int
    kept: int
    duplicates: int
    repeated_ids: int


@dataclass(frozen=True)
class Import:
    """What every task needs to know. names: of the files of each kind, in their order. days: only behaviors of these
    days since 1970, from the first to the last (None: all)."""

    registration: Registration
    staging: str
    names: dict[str, list[str]]
    days: tuple[int, int] | None = None

    def spec(self, kind: str):
        return self.registration.files.by_kind()[kind]


def stage(work: Import, kind: str, number: int, file: SourceFile) -> Iterator[Tally | Block]:
    """Read one file: its rows go to the staging folder by day, those that are refused apart. `number` names the file in
    the order of the import."""
    spec, zone = work.spec(kind), work.registration.timezone
    not_after = work.registration.last_moment or file.modified + _DAY_SEC
    tally, staged = Tally(kind, file.name), _Staged(f"{work.staging}/{kind}-{number:05d}-{file.start}")
    for chunk in chunks_of(file, spec):
        if kind == "behavior":
            rows = behavior_rows(chunk.rows, work.registration, not_after)
            if work.days:
                is_inside = pl.col("day").is_between(*work.days).fill_null(True)
                tally.outside += rows.height - (rows := rows.filter(is_inside)).height
        else:
            rows = snapshot_rows(chunk.rows, spec, kind, zone, not_after).with_columns(day=pl.lit(UNDATED, pl.Int32))
        refused = _refused(rows, chunk.broken, kind, file.name)
        rows = rows.filter(pl.col("refusal").is_null()).drop("refusal")
        tally.kept += rows.height
        tally.read += rows.height + refused.height
        _count(tally, refused)
        staged.add(kind, rows.with_columns(file=pl.lit(number, pl.Int32)))
        staged.add(QUARANTINE, refused)
        yield from staged.flushed(FLUSH_BYTES)
    yield tally
    yield from staged.flushed(0)


def _refused(rows: pl.DataFrame, broken: list, kind: str, file: str) -> pl.DataFrame:
    named = {"source": pl.lit(kind), "file": pl.lit(file)}
    refused = rows.filter(pl.col("refusal").is_not_null()).select("line", "day", "refusal").unnest("refusal")
    refused = refused.select(**named, line="line", column="column", reason="reason", value="value", day="day")
    if not broken:
        return refused
    lost = [(kind, file, b.line, "line", b.reason, b.text, UNDATED) for b in broken]
    return pl.concat([refused, pl.DataFrame(lost, _QUARANTINED | {"day": pl.Int32}, orient="row")])


def _count(tally: Tally, refused: pl.DataFrame) -> None:
    if not refused.height:
        return
    by_reason = refused.sort("line").group_by("column", "reason", maintain_order=True)
    counted = by_reason.agg(pl.len().alias("n"), pl.struct("line", "value").head(_EXAMPLES).alias("first"))
    for row in counted.iter_rows(named=True):
        key = (row["column"], row["reason"])
        tally.reasons[key] = tally.reasons.get(key, 0) + row["n"]
        known = tally.examples.setdefault(key, [])
        known += [(e["line"], e["value"]) for e in row["first"]][: _EXAMPLES - len(known)]


class _Staged:
    """Rows held until there are enough of them, then written as one Arrow file with a block per table and day."""

    def __init__(self, stem: str) -> None:
        self._stem, self._held, self._bytes, self._files = stem, {}, 0, 0

    def add(self, table: str, rows: pl.DataFrame) -> None:
        if rows.height:
            self._held.setdefault(table, []).append(rows)
            self._bytes += rows.estimated_size()

    def flushed(self, limit: int) -> Iterator[Block]:
        if self._bytes <= limit:
            return
        for table, frames in self._held.items():
            address = f"{self._stem}-{self._files:04d}-{table}.arrow"
            rows = pl.concat(frames).with_columns(pl.col("day").fill_null(UNDATED))
            days = rows.partition_by("day", as_dict=True, include_key=False, maintain_order=True)
            yield from self._write(table, address, days)
        self._held, self._bytes, self._files = {}, 0, self._files + 1

    @staticmethod
    def _write(table: str, address: str, days: dict[tuple, pl.DataFrame]) -> Iterator[Block]:
        filesystem, path = filesystem_of(address)
        filesystem.create_dir(path.rpartition("/")[0], recursive=True)
        arrow = [
            (key[0], frame.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())) for key, frame in days.items()
        ]
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with (
            filesystem.open_output_stream(path) as sink,
            pa.ipc.new_file(sink, arrow[0][1].schema, options=options) as out,
        ):
            for index, (day, frame) in enumerate(arrow):
                (batch,) = frame.combine_chunks().to_batches()
                out.write_batch(batch)
                yield Block(table, day, batch.num_rows, address, index)


def assemble(
    work: Import, kind: str, ds: str, table_address: str, stem: str, blocks: list[Block]
) -> Iterator[Written | Block]:
    """Write one day of a table from its blocks. Yields Written, and the Blocks of rows whose id another row has."""
    buckets = math.ceil(sum(block.rows for block in blocks) / MAX_ROWS_AT_ONCE)
    staged = _Staged(f"{work.staging}/again-{kind}-{ds}")
    for bucket in range(buckets):
        rows = _rows_of(blocks, bucket, buckets, _identity(work, kind))
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
        counts = (made.height, kept.height, rows.height - distinct.height, distinct.height - kept.height)
        yield Written(kind, path, size, *counts)
    yield from staged.flushed(0)


def _identity(work: Import, kind: str) -> list[str] | None:
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
    return rows.sort("file", "line") if "line" in rows.columns else rows


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


def _write_parquet(rows: pl.DataFrame, address: str) -> int:
    filesystem, path = filesystem_of(address)
    filesystem.create_dir(path.rpartition("/")[0], recursive=True)
    arrow = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    plain = [pa.field(f.name, pa.string() if f.type == pa.large_string() else f.type) for f in arrow.schema]
    pq.write_table(
        arrow.cast(pa.schema(plain)), path, filesystem=filesystem, compression="zstd", row_group_size=1 << 20
    )
    return filesystem.get_file_info(path).size
