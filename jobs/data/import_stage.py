"""The first half of an import, as tasks that Spark spreads over its workers.

`stage` reads one file, block by block, and leaves its rows in the staging folder, a block per table and day. The second
half is in import_assemble.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import polars as pl
import pyarrow as pa

from jobs.data.chunks import Broken
from jobs.data.import_rows import behavior_rows, snapshot_rows
from jobs.data.read_files import chunks_of
from jobs.data.registration import Registration
from jobs.data.source_files import SourceFile, filesystem_of
from jobs.data.user_places import possible_ids
from jobs.data.values import are_marked, pseudonyms
from jobs.lib.files import make_folder
from jobs.lib.forgotten import mark
from jobs.lib.pseudonyms import user_key

FLUSH_BYTES = 192 << 20
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
    """What became of the records of one file. swallowed: lines that stand within a record that was refused. forgotten:
    records of forgotten users, not among those read. reasons: (column, reason) -> rows, and the first (line, value)."""

    kind: str
    file: str
    read: int = 0
    kept: int = 0
    outside: int = 0
    swallowed: int = 0
    forgotten: int = 0
    reasons: dict[tuple[str, str], int] = field(default_factory=dict)
    examples: dict[tuple[str, str], list[tuple[int, str | None]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Import:
    """What every task needs to know. names: of the files of each kind, in their order. days: only behaviors of these
    days since 1970, from the first to the last (None: all). marks: of each kind, the users that are forgotten."""

    registration: Registration
    staging: str
    names: dict[str, list[str]]
    days: tuple[int, int] | None = None
    marks: dict[str, frozenset[str]] = field(default_factory=dict)

    def spec(self, kind: str):
        return self.registration.files.by_kind()[kind]


def stage(work: Import, kind: str, number: int, file: SourceFile) -> Iterator[Tally | Block]:
    """Read one file: its rows go to the staging folder by day, those that are refused apart. `number` names the file in
    the order of the import."""
    spec, zone = work.spec(kind), work.registration.timezone
    not_after = work.registration.last_moment or file.modified + _DAY_SEC
    tally, staged = Tally(kind, file.name), Staged(f"{work.staging}/{kind}-{number:05d}-{file.start}")
    variable = work.registration.key_variable(kind)
    key = user_key(variable) if variable else None
    for chunk in chunks_of(file, spec):
        read = chunk.rows
        if key is not None:
            read = read.with_columns(pseudonyms(read[spec.roles.user_id], key).alias(spec.roles.user_id))
        broken = chunk.broken
        if marks := work.marks.get(kind):
            table = work.registration.table(kind)
            read = read.filter(~are_marked(read[spec.roles.user_id], table, marks))
            tally.forgotten += chunk.rows.height - read.height
            broken = [_without_users(record, table, marks) for record in broken]
        if kind == "behavior":
            rows = behavior_rows(read, work.registration, not_after)
            if work.days:
                is_inside = pl.col("day").is_between(*work.days).fill_null(True)
                tally.outside += rows.height - (rows := rows.filter(is_inside)).height
        else:
            rows = snapshot_rows(read, spec, kind, zone, not_after).with_columns(day=pl.lit(UNDATED, pl.Int32))
        refused = _refused(rows, broken, kind, file.name)
        if key is not None:  # a value of a record that is not as declared may be a user id, whatever its column
            refused = refused.with_columns(value=pl.lit(None, pl.String))
        rows = rows.filter(pl.col("refusal").is_null()).drop("refusal")
        tally.kept += rows.height
        tally.swallowed += chunk.swallowed
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


def _without_users(record: Broken, table: str, marks: frozenset[str]) -> Broken:
    """The text of a record without columns is not kept where a word of it is a forgotten user's id."""
    names_one = any(mark(table, word) in marks for word in possible_ids(record.text))
    return replace(record, text=None) if names_one else record


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


class Staged:
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
        make_folder(filesystem, path.rpartition("/")[0])
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
