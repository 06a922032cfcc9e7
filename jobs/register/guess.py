"""A registration proposed from the files themselves, for a person to correct.

Only a sample of each file is read. What cannot be told from it is said to be uncertain, or missing: nothing is claimed
that the sample does not show. Free of Spark.
"""

from __future__ import annotations

import csv
import math
import os
import sys
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
from pydantic import ValidationError

from jobs.data.import_rows import behavior_rows, snapshot_rows
from jobs.data.registered_files import column_name
from jobs.data.registration import Registration
from jobs.data.source_files import ImportRefused
from jobs.lib.errors import RecflowError
from jobs.lib.yaml_model import problem_lines
from jobs.register.columns import Table, table_of
from jobs.register.dialect import MAX_RECORDS, Guess
from jobs.register.draft import Notes, file_tree, guesses_of, rendered, values_of
from jobs.register.files import sources_of
from jobs.register.kinds import behavior_of, event_of, keys_of, snapshots_of
from jobs.register.names import normal
from jobs.register.roles import FileGuess, behavior_file, snapshot_file
from jobs.register.sample import SAMPLE_BYTES, SAMPLED_FILES, merged, sampled
from jobs.register.times import zone_of

_DAY_SEC = 86_400
_MOST_REFUSED = 0.3  # with more the guess is likely wrong, and an import had better fail
_UNREADABLE = pl.Struct({"column": pl.String, "reason": pl.String, "value": pl.String})


@dataclass(frozen=True)
class Proposal:
    """text: YAML. missing: what could not be found; then the text is a draft that does not load. doubts: what a person
    should check. trial: what reading the samples so would keep, a line per file."""

    text: str
    missing: list[str]
    doubts: list[str]
    trial: list[str]

    def summary(self) -> list[str]:
        checks = [f"check {doubt}" for doubt in self.doubts]
        if self.missing:
            missing = [f"missing: {what}" for what in self.missing]
            return [*missing, *checks, "this draft does not load: fill in its TODOs"]
        return [*self.trial, *checks, "a guess from samples: correct it before it is used"]


def register(folder: str, name: str | None, out: str | None) -> int:
    """Print the proposal, or write it to a new file; what a person should know of it goes to stderr. 1: it lacks
    something without which nothing can be read."""
    proposal = propose(folder, name)
    if out is None:
        print(proposal.text, end="")
    else:
        try:
            with open(out, "x", encoding="utf-8") as file:
                file.write(proposal.text)
        except OSError as error:
            raise RecflowError(f"{out}: cannot be written: {error.strerror}") from None
    for line in proposal.summary():
        print(f"recflow: {line}", file=sys.stderr)
    return 1 if proposal.missing else 0


def propose(folder: str, name: str | None = None) -> Proposal:
    """Read samples of a folder's files and propose their registration. Raises ImportRefused when there are none."""
    tables, left_out = _tables(folder)
    log = behavior_of(tables)
    files = _guessed(tables, log, left_out) if log is not None else {}
    tree = _tree(name or _name_of(folder), files, left_out)
    if log is None:
        seen = "; ".join(f"{table.file}: {', '.join(table.columns)}" for table in tables)
        missing = f"no file looks like a log of behaviors (users, items and times or events); considered: {seen}"
        tree["files"] = {"behavior": {"file": Guess("TODO", missing=missing)}}
    missing = [f"{path}: {guess.missing}" for path, guess in guesses_of(tree) if guess.missing]
    trial = [] if missing else _tried(tree, files)
    doubts = [f"{path}: {guess.value}: {guess.doubt}" for path, guess in guesses_of(tree) if guess.doubt]
    return Proposal(rendered(tree), missing, doubts, trial)


def _tables(folder: str) -> tuple[list[Table], dict[str, str]]:
    sources, left_out = sources_of(folder)
    names = [file.name for source in sources for file in source.files] + list(left_out)
    samples = []
    for source in sources:
        try:
            samples += [sample for sample in sampled(source) if sample.rows.width]
        except (ValueError, OSError, EOFError, csv.Error, pa.ArrowException, pl.exceptions.PolarsError) as error:
            left_out[source.file] = str(error).splitlines()[0]
    if not samples:
        told = "; ".join(f"{file}: {why}" for file, why in left_out.items())
        raise ImportRefused(f"{folder}: there is no file to read{f' ({told})' if told else ''}")
    return [table_of(sample) for sample in merged(samples, names)], left_out


def _guessed(tables: list[Table], log: Table, left_out: dict[str, str]) -> dict[str, FileGuess]:
    others = [table for table in tables if table is not log]
    event = event_of(log)
    keys = keys_of(log, event, others)
    behavior = behavior_file(log, event, keys)
    users = log.columns[keys.user_id.value].values if keys.user_id.value in log.columns else frozenset()
    chosen, unused = snapshots_of(others, users, keys.items, log)
    left_out |= unused
    return {"behavior": behavior} | {kind: snapshot_file(snapshot) for kind, snapshot in chosen.items()}


def _tree(name: str, files: dict[str, FileGuess], left_out: dict[str, str]) -> dict[str, Any]:
    seen = f"the first {SAMPLE_BYTES >> 20} MB or {MAX_RECORDS:,} records of {SAMPLED_FILES} files an entry at most"
    warning = "so it may be wrong: see every line, those with CHECK above all."
    notes = Notes([f"Guessed from a sample ({seen}),", warning])
    tree: dict[str, Any] = {"notes": notes, "name": Guess(name)}
    log = files.get("behavior")
    event = log.event if log else None
    tree["timezone"] = _zone(log)
    if event is None:
        tree["events"], tree["target"] = Guess([], missing="no events were found"), Guess("TODO", missing="no events")
    else:
        tree["events"], tree["target"] = event.events, event.target
    tree["files"] = {kind: file_tree(guess, kind) for kind, guess in files.items()}
    if log is not None and "event_time" not in log.roles:
        _one_day(tree["files"]["behavior"], log)
    if event is not None and event.kind in ("rating", "label") and "value" in log.roles:
        why = "of a row's two events the exposure has the value"
        tree["solution"] = {"features": {"value_events": [Guess(event.events[0].value, why)]}}
    if left_out:
        tree["left_out"] = Notes(f"not used: {file}: {why}" for file, why in sorted(left_out.items()))
    return tree


def _zone(log: FileGuess | None) -> Guess:
    if log is None or "event_time" not in log.roles:
        return Guess("UTC", "no times were found", "in which zone are days to be cut?")
    times = log.table.columns[log.roles["event_time"].value].times
    return zone_of(times.zone, times.format)


def _one_day(entry: dict[str, Any], log: FileGuess) -> None:
    """A file without times is all of one day: for want of better that of the file."""
    modified = pl.from_epoch(pl.Series([log.table.sample.modified])).dt.strftime("%Y%m%d")[0]
    odd = [c for c in log.table.columns.values() if c.is_odd_time]
    shown = "".join(f"; {c.name} looks like times that cannot be read (as {next(iter(c.counts))})" for c in odd)
    why = f"no column could be read as times; this is the day (in UTC) on which the file was written{shown}"
    doubt = "rewrite the times, or all rows are of this day" if odd else "of which day are the rows?"
    if folders := [name for name in log.table.sample.partition if name not in log.table.columns]:
        doubt = f"{folders[0]}=… in the folders' names is read of Parquet and Delta only"
    unused = entry.pop("unused", None)
    entry["day"] = Guess(modified, why, doubt)
    entry |= {"unused": unused} if unused else {}


def _tried(tree: dict[str, Any], files: dict[str, FileGuess]) -> list[str]:
    """Reads the samples by the proposal, as an import would; a line for each file. Where somewhat more is refused than
    an import allows by default, the proposal allows it and says so."""
    try:
        registration = Registration.model_validate(values_of(tree))
    except ValidationError as error:
        raise ImportRefused("; ".join(problem_lines(Registration, error))) from None
    told: list[str] = []
    worst = 0.0
    for kind, guess in files.items():
        rows = _read_so(registration, kind, guess)
        refused = rows.filter(pl.col("refusal").is_not_null())["refusal"]
        n_broken = guess.table.sample.broken
        share = (len(refused) + n_broken) / max(1, rows.height + n_broken)
        worst = max(worst, share)
        seen = f"{kind}: {guess.table.file}: of {rows.height + n_broken:,} records sampled"
        line = f"{seen} {1 - share:.1%} would be kept"
        if len(refused):
            causes = refused.struct.unnest().group_by("column", "reason").len().sort("len", "column", descending=True)
            line += "; refused: " + ", ".join(f"{n:,} whose {c} {r}" for c, r, n in causes.head(3).rows())
        told.append(line + (f"; {n_broken:,} lines of another width" if n_broken else ""))
    if 0.04 < worst < _MOST_REFUSED:
        allowed = min(1.0, math.ceil(worst * 20 + 1) / 20)
        why = f"{worst:.1%} of the records sampled would be refused"
        tree["max_quarantined"] = Guess(allowed, why, "is the registration wrong, or are the files?")
    return told


def _read_so(registration: Registration, kind: str, guess: FileGuess) -> pl.DataFrame:
    spec = registration.files.by_kind()[kind]
    sample = guess.table.sample
    rows = sample.rows
    if spec.columns:
        rows = rows.rename(dict(zip(rows.columns, spec.columns, strict=True)))
    rows = rows.select(spec.used_columns()).with_row_index("line", 1)
    rows = rows.with_columns(unreadable=pl.lit(None, _UNREADABLE))
    not_after = sample.modified + _DAY_SEC
    if kind == "behavior":
        return behavior_rows(rows, registration, not_after)
    return snapshot_rows(rows, spec, kind, registration.timezone, not_after)


def _name_of(folder: str) -> str:
    last = (folder if "://" in folder else os.path.abspath(folder)).rstrip("/").rsplit("/", 1)[-1]
    name = column_name(normal(last)).strip("_")[:40].strip("_")
    return name if name[:1].isalpha() else "my_data"
