"""Import files described by a registration as the tables <name>_behavior, _item, _user and _quarantine.

Grain: behavior one row per event; item and user one row per id, an undated snapshot that stands under `as_of`;
quarantine one row per record that was refused, with file, line and reason. Records read = kept + quarantined + exact
duplicates dropped. Spark spreads the files over its workers (import_stage.py); what each row becomes is in
import_rows.py.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.data.import_assemble import Written, assemble
from jobs.data.import_report import ImportReport, refuse_bad, report_of
from jobs.data.import_stage import QUARANTINE, UNDATED, Block, Import, Tally, stage
from jobs.data.registration import Registration, load_registration
from jobs.data.source_files import ImportRefused, SourceFile, filesystem_of, listed, within
from jobs.data.split_files import pieces_of
from jobs.lib.days import add_days, day_number, day_range, from_day_number
from jobs.lib.delta_files import DataFile
from jobs.lib.errors import RecflowError
from jobs.lib.forgotten import marks
from jobs.lib.locks import writing
from jobs.lib.partitions import present_days, table_path
from jobs.lib.pseudonyms import note, user_key
from jobs.lib.settings import settings
from jobs.lib.spark import F

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

log = logging.getLogger("recflow")

MAX_DAYS = 3660


def import_folder(
    registration: Registration | str | Path, folder: str | Path, span: tuple[str, str] | None = None
) -> list[ImportReport]:
    """Import every file of the registration; with `span` (first ds, last ds) of the behaviors only those days.

    Exactly the days that have events (or those of the span) are replaced. Nothing is written unless every file
    is there, has rows to keep, and has no more to refuse than the registration allows. Raises SolutionError for the
    registration, ImportRefused naming file, line and column for the files.
    """
    if not isinstance(registration, Registration):
        registration = load_registration(registration)
    for kind in registration.files.by_kind():
        if variable := registration.key_variable(kind):
            user_key(variable)  # here, before anything is read; Spark's workers look for it too
    files = {kind: listed(str(folder), spec) for kind, spec in registration.files.by_kind().items()}
    if span and registration.files.behavior.partition:
        files["behavior"] = within(files["behavior"], registration.files.behavior.partition, span)
    staging = f"{settings().warehouse_root}/_staging/{registration.name}"
    days = (day_number(span[0]), day_number(span[1])) if span else None
    names = {kind: [f.name for f in fs] for kind, fs in files.items()}
    have_users = [kind for kind, spec in registration.files.by_kind().items() if "user_id" in spec.single_roles()]
    tables = [registration.table(kind) for kind in (*files, "quarantine")]
    with writing(f"_import-{registration.name}", *tables):
        hidden = {kind: marks(registration.table(kind)) for kind in have_users}  # asked while nobody else writes
        for kind in files:
            if variable := registration.key_variable(kind):
                note(registration.table(kind), variable)  # for `recflow forget`
        work = Import(registration, staging, names, days, hidden)
        _remove(staging)
        written: list[Written] = []
        try:
            return _imported(work, files, written)
        except BaseException:
            _remove_files(registration, written)  # they were never committed
            raise
        finally:
            _remove(staging)


def _imported(work: Import, files: dict[str, list[SourceFile]], written: list[Written]) -> list[ImportReport]:
    """Read, check, assemble and commit. What is written before the commit is added to `written`."""
    registration = work.registration
    tasks = [
        (kind, n, piece)
        for kind, of_kind in files.items()
        for n, file in enumerate(of_kind)
        for piece in pieces_of([file], work.spec(kind), _spread)
    ]
    done = _spread([partial(stage, work, *task) for task in tasks])
    blocks = [found for found in done if isinstance(found, Block)]
    tallies = {kind: [t for t in done if isinstance(t, Tally) and t.kind == kind] for kind in files}
    for kind in files:
        refuse_bad(registration, kind, tallies[kind])
    days = _days(work, blocks)
    again = _assemble(work, [kind for kind in files if kind != "behavior"], blocks, days, written)
    for kind in files:
        refuse_bad(registration, kind, tallies[kind], sum(w.repeated_ids for w in written if w.table == kind))
    _assemble(work, ["behavior"], blocks, days, written)
    _assemble(work, [QUARANTINE], [*blocks, *again], days, written)
    unknown = {kind: _unknown_ids(registration, kind, written) for kind in files if kind != "behavior"}
    everything = list(written)
    # Behaviors last: a reader that sees a day's events finds the snapshots there.
    for kind in (QUARANTINE, "item", "user", "behavior"):
        if kind in files or kind == QUARANTINE:
            _commit(registration, kind, written, _days_of(registration, kind, days))
    return [report_of(registration, k, tallies[k], everything, _days_of(registration, k, days), unknown) for k in files]


def _spread(tasks: list) -> list:
    """The results of tasks that run on Spark's workers; each is a few small records."""
    from jobs.lib.session import spark

    if not tasks:
        return []
    context = spark().sparkContext
    slices = min(len(tasks), 8 * context.defaultParallelism)  # a task that starts for each small day costs more than it
    done = context.parallelize(tasks, slices).flatMap(_results).collect()
    if errors := [found for found in done if isinstance(found, RecflowError)]:
        raise errors[0]
    return done


def _results(task: Callable) -> list:
    """What is wrong with a file is a result too: as a failed Spark task it would reach the user as a stack of
    traces."""
    try:
        return list(task())
    except RecflowError as error:
        return [ImportRefused(str(error))]


def _assemble(
    work: Import, kinds: list[str], blocks: list[Block], days: list[str], written: list[Written]
) -> list[Block]:
    """Write the days of these tables. Returns blocks of more rows to quarantine."""
    registration, stem = work.registration, f"part-{uuid.uuid4().hex}"
    tasks = []
    for kind in kinds:
        by_day: dict[int, list[Block]] = {}
        for block in (b for b in blocks if b.table == kind):
            by_day.setdefault(block.day, []).append(block)
        undated = _days_of(registration, kind, days)[0]
        for ds, of_day in _by_ds(by_day, undated, days).items():
            address = table_path(registration.table(kind))
            tasks.append(partial(assemble, work, kind, ds, address, stem, of_day))
    done = _spread(tasks)
    written += [found for found in done if isinstance(found, Written)]
    return [found for found in done if isinstance(found, Block)]


def _by_ds(by_day: dict[int, list[Block]], undated: str, days: list[str]) -> dict[str, list[Block]]:
    """Blocks under the ds where they will stand: what has no day, or none of those written, stands under `undated`."""
    placed: dict[str, list[Block]] = {}
    inside = set(days)
    for day, blocks in sorted(by_day.items()):
        ds = from_day_number(day) if day != UNDATED else undated
        placed.setdefault(ds if ds in inside or day == UNDATED else undated, []).extend(blocks)
    return placed


def _days_of(registration: Registration, kind: str, days: list[str]) -> list[str]:
    """The partitions of a table that an import of `days` replaces."""
    if kind in ("behavior", QUARANTINE):
        return days
    return [registration.files.by_kind()[kind].as_of or add_days(days[0], -1)]


def _days(work: Import, blocks: list[Block]) -> list[str]:
    """The days with events, and those between them that were never written: these are empty partitions, not missing
    ones. A day that was is left alone where the files do not tell of it: one late event must not empty a month."""
    if work.days:
        return [from_day_number(n) for n in range(work.days[0], work.days[1] + 1)]
    present = sorted({block.day for block in blocks if block.table == "behavior"})
    first, last = from_day_number(present[0]), from_day_number(present[-1])
    span = present[-1] - present[0] + 1
    if span > MAX_DAYS:
        raise ImportRefused(
            f"{work.registration.files.behavior.file}: events from ds={first} to ds={last} span {span:,} days, "
            f"more than {MAX_DAYS:,}: is the time format right?"
        )
    known = set(present_days(work.registration.table("behavior")))
    told = {from_day_number(day) for day in present}
    return [ds for ds in day_range(first, last) if ds in told or ds not in known]


def _unknown_ids(registration: Registration, kind: str, written: list[Written]) -> tuple[int, int]:
    """Events of ids that the item or user file lacks, and how many such ids."""
    key = f"{kind}_id"
    events = _read(registration, "behavior", written).groupBy(key).count()
    unknown = events.join(_read(registration, kind, written).select(key), key, "left_anti")
    row = unknown.agg(F.sum("count").alias("events"), F.count(F.lit(1)).alias("ids")).first()
    return row.events or 0, row.ids


def _read(registration: Registration, kind: str, written: list[Written]) -> DataFrame:
    from jobs.lib.session import spark

    address = table_path(registration.table(kind))
    return spark().read.parquet(*[f"{address}/{w.path}" for w in written if w.table == kind and w.rows])


def _commit(registration: Registration, kind: str, written: list[Written], days: list[str]) -> None:
    """Commit one table and take its files out of `written`: from then on they are not ours to remove."""
    from jobs.lib.tables import adopt_files

    table, address = registration.table(kind), table_path(registration.table(kind))
    files = [DataFile(w.path, w.path[3:11], w.bytes, w.rows, w.content) for w in written if w.table == kind and w.rows]
    if not files and kind == QUARANTINE:
        schema = _quarantine_schema()
    else:
        filesystem, path = filesystem_of(f"{address}/{files[0].path}")
        schema = pq.read_schema(path, filesystem=filesystem).remove_metadata()
    others = [w for w in written if w.table != kind]
    try:
        adopt_files(files, schema.append(pa.field("ds", pa.string())), table, days, _contract(kind))
    except RecflowError:
        raise  # refused, and so before the commit
    except BaseException:
        written[:] = others  # perhaps committed: what is dead after all goes with the next clean-up
        raise
    written[:] = others


def _contract(kind: str) -> str:
    return QUARANTINE if kind == QUARANTINE else f"imported_{kind}"


def _quarantine_schema() -> pa.Schema:
    texts = [pa.field(name, pa.string()) for name in ("column", "reason", "value")]
    return pa.schema(
        [pa.field("source", pa.string()), pa.field("file", pa.string()), pa.field("line", pa.int64()), *texts]
    )


def _remove(address: str) -> None:
    filesystem, path = filesystem_of(address)
    filesystem.delete_dir_contents(path, missing_dir_ok=True, accept_root_dir=False)


def _remove_files(registration: Registration, written: list[Written]) -> None:
    for file in written:
        if file.rows:
            filesystem, path = filesystem_of(f"{table_path(registration.table(file.table))}/{file.path}")
            filesystem.delete_file(path)
