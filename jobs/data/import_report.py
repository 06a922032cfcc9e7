"""What an import says of each file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jobs.data.import_assemble import Written
from jobs.data.import_stage import Tally
from jobs.data.registration import Registration
from jobs.data.source_files import ImportRefused


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


def refusals_of(tallies: Iterable[Tally]) -> tuple[Refusal, ...]:
    """What was refused, by column and reason, the most frequent first, with the first examples."""
    counts: dict[tuple[str, str], int] = {}
    examples: dict[tuple[str, str], list] = {}
    for tally in sorted(tallies, key=lambda t: t.file):
        for key, n in tally.reasons.items():
            counts[key] = counts.get(key, 0) + n
            examples.setdefault(key, []).extend((tally.file, *example) for example in tally.examples[key])
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Refusal(*key, n, tuple(examples[key][:3])) for key, n in ordered)


def report_of(
    registration: Registration, kind: str, tallies: list[Tally], written: list[Written], days: list[str], unknown: dict
) -> ImportReport:
    of_kind = [w for w in written if w.table == kind]
    refusals = list(refusals_of(tallies))
    if repeated := sum(w.repeated_ids for w in of_kind):
        key = getattr(registration.files.by_kind()[kind].roles, f"{kind}_id")
        refusals.append(Refusal(key, "is there in another row", repeated, ()))
    notes = [f"{n:,} events of {ids:,} unknown {k}s" for k, (n, ids) in unknown.items() if n and kind == "behavior"]
    if forgotten := sum(t.forgotten for t in tallies):
        notes.append(f"{forgotten:,} rows of forgotten users left out")
    return ImportReport(
        table=registration.table(kind),
        file=registration.files.by_kind()[kind].file,
        read=sum(t.read for t in tallies),
        kept=sum(w.kept for w in of_kind),
        duplicates=sum(w.duplicates for w in of_kind),
        refused=tuple(refusals),
        written=sum(w.rows for w in of_kind),
        days=(days[0], days[-1]),
        notes=tuple(notes),
    )


def refuse_bad(registration: Registration, kind: str, tallies: list[Tally], repeated: int = 0) -> None:
    """Raises ImportRefused when nothing of a kind can be kept, or more is bad than the registration allows.

    A record that swallowed the lines after it (a quote that is not closed) counts as that many. repeated: rows whose id
    another row has.
    """
    file, lost = registration.files.by_kind()[kind].file, sum(t.swallowed for t in tallies)
    read, kept = sum(t.read for t in tallies) + lost, sum(t.kept for t in tallies) - repeated
    refusals = refusals_of(tallies)
    told = [*map(str, refusals), *([f"{repeated:,} × the id of another row"] if repeated else [])]
    why = "; ".join(told) or "it has no rows"
    if not kept:
        outside = sum(t.outside for t in tallies)
        why = f"{outside:,} rows are of other days" if outside and not refusals else why
        raise ImportRefused(f"{file}: nothing to import: {read:,} rows read, none kept: {why}")
    share = (read - kept) / read
    if share > registration.max_quarantined:
        limit = registration.max_quarantined
        raise ImportRefused(
            f"{file}: {read - kept:,} of {read:,} rows ({share:.1%}) cannot be kept, max_quarantined allows {limit:.1%}"
            f"; nothing was written: {why}"
        )
