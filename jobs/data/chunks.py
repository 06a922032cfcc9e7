"""A block of records of a file: columns of text, the line of each record, and what cannot be read in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from jobs.data.registered_files import File
from jobs.data.source_files import ImportRefused, SourceFile

MAX_VALUE_BYTES = 1 << 20
SHOWN_LENGTH = 200
TORN = "holds a line break: is a quote not closed?"
NOT_DECODED = "\ufffd"
_UNREADABLE = pl.Struct({"column": pl.String, "reason": pl.String, "value": pl.String})


@dataclass(frozen=True)
class Broken:
    """A record that has no columns to speak of. inside: line breaks within it."""

    line: int
    reason: str
    text: str | None
    inside: int = 0


@dataclass(frozen=True)
class Chunk:
    """rows: the columns asked for (trimmed text, NULL where empty; times of a typed file keep their type), `line`
    (1-based; of Parquet the row) and `unreadable`: column, reason and value where a value cannot even be text.
    swallowed: lines that stand within records that are refused."""

    rows: pl.DataFrame
    broken: list[Broken]
    swallowed: int = 0


def chunk(
    rows: pl.DataFrame,
    broken: list[Broken],
    encoding: str,
    suspects: Iterable[str],
    padded: Iterable[str],
    torn: Iterable[str] = (),
) -> Chunk:
    """suspects: columns that may hold what no text should; padded: columns that may hold spaces around values; torn:
    ids, events and times that hold line breaks. A reader names the few that can, since looking at every value costs as
    much as reading it."""
    found, swallowed = [], sum(record.inside for record in broken)
    for column in torn:
        value = pl.col(column)
        told = pl.struct(column=pl.lit(column), reason=pl.lit(TORN), value=value.str.slice(0, 60))
        found.append(pl.when(value.str.contains("\n", literal=True)).then(told))
        swallowed += int(rows[column].str.count_matches("\n", literal=True).sum() or 0)
    for column in suspects:
        value = pl.col(column)
        rules = {
            f"is not {encoding}": value.str.contains(NOT_DECODED, literal=True),
            "holds a NUL byte": value.str.contains("\x00", literal=True),
            f"is longer than {MAX_VALUE_BYTES:,} bytes": value.str.len_bytes() > MAX_VALUE_BYTES,
        }
        shown = value.str.slice(0, 60).str.replace_all("\x00", "\\0", literal=True)
        for reason, rule in rules.items():
            found.append(pl.when(rule).then(pl.struct(column=pl.lit(column), reason=pl.lit(reason), value=shown)))
    rows = rows.with_columns(unreadable=pl.coalesce(*found, pl.lit(None, _UNREADABLE)))
    trimmed = {column: pl.col(column).str.strip_chars() for column in padded}
    rows = rows.with_columns(**{column: pl.when(value != "").then(value) for column, value in trimmed.items()})
    return Chunk(rows, broken, swallowed)


def refuse_missing(file: SourceFile, spec: File, columns: list[str]) -> None:
    """Raises ImportRefused naming the first column that a role needs and the file lacks."""
    for column in spec.used_columns():
        if column not in columns:
            other = [d for d in ",;\t|" if d != spec.separator and len(columns) == 1 and d in columns[0]]
            hint = f"; is the delimiter {other[0]!r}?" if other else ""
            raise ImportRefused(f"{file.address}: no column {column!r}; there are: {', '.join(columns)}{hint}")
