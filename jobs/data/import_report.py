"""What an import says of each file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """Rows that were refused for one reason. examples: the first of them, as (file, line, value)."""

    column: str
    reason: str
    rows: int
    examples: tuple[tuple[str, int, str | None], ...]

    def __str__(self) -> str:
        told = [f"{file}:{line} {'nothing' if value is None else repr(value)}" for file, line, value in self.examples]
        more = ", …" if told and self.rows > len(told) else ""
        return f"{self.rows:,} × {self.column} {self.reason}" + (f" ({', '.join(told)}{more})" if told else "")


@dataclass(frozen=True)
class ImportReport:
    """What became of the files of one kind: read = kept + quarantined + duplicates. `written` counts rows of the
    table: a row of the file can make several events, or none (a rating below the mark)."""

    table: str
    file: str
    read: int
    kept: int
    duplicates: int
    refused: tuple[Refusal, ...]
    written: int
    days: tuple[str, str]
    notes: tuple[str, ...] = ()

    @property
    def quarantined(self) -> int:
        return sum(refusal.rows for refusal in self.refused)

    def __str__(self) -> str:
        first, last = self.days
        span = f"ds={first}" if first == last else f"ds={first}..{last}"
        parts = f"{self.kept:,} kept + {self.quarantined:,} quarantined + {self.duplicates:,} exact duplicates"
        head = f"{self.file}: {self.read:,} rows read = {parts}; {self.table} {span}: {self.written:,} rows"
        return "\n".join([head, *(f"  quarantined: {r}" for r in self.refused), *(f"  {note}" for note in self.notes)])
