"""Import a folder of delimited files, described by a registration, as the tables <name>_behavior, _item and _user.

Grain: behavior one row per event; item and user one row per id, one undated snapshot kept under the day before the
first behavior. Rows read = rows kept + rows refused: a row that cannot be read is refused by file, column and reason,
never mended. What each row becomes is in import_rows.py.
"""

from __future__ import annotations

import csv
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.data import import_rows
from jobs.data.registered_files import File
from jobs.data.registration import Registration, load_registration
from jobs.lib import partitions
from jobs.lib.days import add_days, day_number, day_range
from jobs.lib.errors import RecflowError
from jobs.lib.spark import F, Window

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger("recflow")

MAX_DAYS = 3660
_EXAMPLES = 3


class ImportRefused(RecflowError):
    """A file or column is missing, or no row of a file could be kept. Nothing was written."""


@dataclass(frozen=True)
class Refusal:
    """Rows of a file that were refused for one reason, with the first values in question."""

    column: str
    reason: str
    rows: int
    examples: tuple[str | None, ...]

    def __str__(self) -> str:
        shown = ", ".join("nothing" if e is None else repr(e) for e in self.examples)
        more = ", …" if self.rows > len(self.examples) else ""
        return f"{self.rows:,} refused: {self.column} {self.reason} ({shown}{more})"


@dataclass(frozen=True)
class ImportReport:
    """What became of one file: rows read = rows kept + rows refused. `written` counts rows of the table: a row of
    the file can make several events, or none (a rating below the mark)."""

    table: str
    file: str
    read: int
    kept: int
    refused: tuple[Refusal, ...]
    written: int
    days: tuple[str, str]

    @property
    def rows_refused(self) -> int:
        return sum(refusal.rows for refusal in self.refused)

    def __str__(self) -> str:
        first, last = self.days
        span = f"ds={first}" if first == last else f"ds={first}..{last}"
        head = f"{self.file}: {self.read:,} rows read = {self.kept:,} kept + {self.rows_refused:,} refused"
        return "\n".join([f"{head}; {self.table} {span}: {self.written:,} rows", *(f"  {r}" for r in self.refused)])


@dataclass(frozen=True)
class Measured:
    """Rows of one file by what became of them, and the days (of a behavior file) that kept rows fall on."""

    read: int
    kept: int
    refused: tuple[Refusal, ...]
    days: tuple[str, ...]


def import_folder(registration: Registration | str | Path, folder: str | Path) -> list[ImportReport]:
    """Import every file of the registration. Nothing is written unless every file is there and has rows to keep.

    Raises SolutionError for the registration, ImportRefused naming file and column for the files.
    """
    from jobs.lib.session import spark
    from jobs.lib.tables import write_days

    if not isinstance(registration, Registration):
        registration = load_registration(registration)
    rows = parsed_files(spark(), registration, str(folder).rstrip("/"))
    files = {kind: spec.file for kind, spec in registration.files.by_kind().items()}
    measured = {kind: measured_rows(frame, files[kind]) for kind, frame in rows.items()}
    days = _days(measured["behavior"].days, files["behavior"])
    snapshot_day = add_days(days[0], -1)
    reports = []
    # Behaviors last: a reader that sees a day's events finds the snapshots there.
    for kind in sorted(rows, key=lambda kind: kind == "behavior"):
        kept = rows[kind].where("refusal IS NULL").drop("refusal")
        if kind == "behavior":
            kept, written = import_rows.events_of(kept, registration), days
        else:
            kept, written = kept.withColumn("ds", F.lit(snapshot_day)), [snapshot_day]
        table, m = registration.table(kind), measured[kind]
        if kind != "behavior":
            partitions.forget(table)  # the one snapshot is replaced, whatever day the earlier one stood under
        counts = write_days(kept, table, written, contract=f"imported_{kind}")
        total, span = sum(counts.values()), (written[0], written[-1])
        reports.append(ImportReport(table, files[kind], m.read, m.kept, m.refused, total, span))
    return reports


def parsed_files(session: SparkSession, registration: Registration, folder: str) -> dict[str, DataFrame]:
    """The rows of each file by kind, with `refusal`. Raises ImportRefused when a file or column is not there."""
    parsed = {}
    for kind, spec in registration.files.by_kind().items():
        raw = read_file(session, f"{folder}/{spec.file}", spec)
        if kind == "behavior":
            parsed[kind] = import_rows.behavior_rows(raw, registration)
        else:
            parsed[kind] = import_rows.snapshot_rows(raw, spec, kind, registration.timezone)
    return parsed


def read_file(session: SparkSession, path: str, spec: File) -> DataFrame:
    """The file's columns as strings, in its order, and `_corrupt`: the line itself where the number of columns differs.

    Raises ImportRefused when the file, or a column that plays a role, is not there.
    """
    header = _first_line(session, path, spec.encoding)
    columns = spec.columns or _header(header, path, spec)
    for column in spec.used_columns():
        if column not in columns:
            raise ImportRefused(f"{path}: no column {column!r}; there are: {', '.join(columns)}")
    # Columns are read by position and named here: a file may use any name, even the same one twice.
    schema = ", ".join([*(f"_{i} string" for i in range(len(columns))), "_corrupt string"])
    quote = spec.quote or ""
    lines = session.read.option("columnPruning", False).csv(
        path,
        schema=schema,
        sep=spec.delimiter,
        quote=quote,
        escape=quote,
        header=bool(spec.header),
        encoding=spec.encoding,
        mode="PERMISSIVE",
        columnNameOfCorruptRecord="_corrupt",
    )
    used = [F.col(f"_{columns.index(column)}").alias(column) for column in spec.used_columns()]
    return lines.select(*used, "_corrupt")


def _header(line: str | None, path: str, spec: File) -> list[str]:
    if line is None:
        raise ImportRefused(f"{path}: is empty, a header line is expected")
    names = next(csv.reader([line.lstrip("\ufeff")], delimiter=spec.delimiter, quotechar=spec.quote or None,
                            quoting=csv.QUOTE_MINIMAL if spec.quote else csv.QUOTE_NONE))  # fmt: skip
    if spec.header == "name:type":
        names = [name.rsplit(":", 1)[0] for name in names]
    for column in spec.used_columns():
        if names.count(column) > 1:
            raise ImportRefused(f"{path}: column {column!r} is there twice")
    return names


def _first_line(session: SparkSession, path: str, encoding: str) -> str | None:
    """The first line, or None for an empty file. The file is read by Spark, so that any of its addresses will do."""
    from pyspark.errors import AnalysisException

    try:
        first = session.read.option("encoding", encoding).text(path).first()
    except AnalysisException as error:
        if error.getCondition() == "PATH_NOT_FOUND":
            raise ImportRefused(f"{path}: there is no such file") from None
        raise
    return None if first is None else first[0]


def measured_rows(rows: DataFrame, path: str) -> Measured:
    """Rows read, kept and refused, and the days of kept rows: one pass, and one more for examples of refused rows."""
    day = F.col("ds") if "ds" in rows.columns else F.lit(None).cast("string")
    counts = rows.groupBy("refusal.column", "refusal.reason", day.alias("ds")).count().collect()
    refused: dict[tuple[str, str], int] = {}
    for row in counts:
        if row["reason"] is not None:
            key = (row["column"], row["reason"])
            refused[key] = refused.get(key, 0) + row["count"]
    kept = [row for row in counts if row["reason"] is None]
    n_kept, n_refused = sum(row["count"] for row in kept), sum(refused.values())
    examples = _examples(rows) if refused else {}
    refusals = tuple(
        Refusal(column, reason, n, examples[column, reason])
        for (column, reason), n in sorted(refused.items(), key=lambda item: (-item[1], item[0]))
    )
    if not n_kept:
        why = "; ".join(map(str, refusals)) or "it has no rows"
        raise ImportRefused(f"{path}: nothing to import: {n_kept + n_refused:,} rows read, none kept: {why}")
    days = tuple(sorted({row["ds"] for row in kept if row["ds"] is not None}))
    return Measured(n_kept + n_refused, n_kept, refusals, days)


def _examples(rows: DataFrame) -> dict[tuple[str, str], tuple[str | None, ...]]:
    """The first values in question of each refusal, in the order of the file."""
    in_file_order = Window.partitionBy("column", "reason").orderBy("position")
    refused = rows.where("refusal IS NOT NULL").select("refusal.*", F.monotonically_increasing_id().alias("position"))
    first = refused.withColumn("n", F.row_number().over(in_file_order)).where(F.col("n") <= _EXAMPLES)
    found: dict[tuple[str, str], tuple[str | None, ...]] = {}
    for row in first.orderBy("column", "reason", "n").collect():
        key = (row["column"], row["reason"])
        found[key] = (*found.get(key, ()), row["value"])
    return found


def _days(present: tuple[str, ...], file: str) -> list[str]:
    """Every day from the first event to the last: a day without events is an empty partition, not a missing one."""
    span = day_number(present[-1]) - day_number(present[0]) + 1
    if span > MAX_DAYS:
        raise ImportRefused(
            f"{file}: events from ds={present[0]} to ds={present[-1]} span {span:,} days, more than {MAX_DAYS:,}: "
            "is the time format right?"
        )
    return day_range(present[0], present[-1])
