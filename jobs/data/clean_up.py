"""Keeps tables and bundles as `retention:` says: older days are removed, small files joined, and dead files deleted.

Makes no table. Weekly (dags/recflow_maintenance.py), or `recflow clean-up --ds D`. Only tables that recflow writes are
touched. A table's newest day is always kept, and so is the newest trained model: a flow that stood still goes on.

What a reader sees: a day's record goes first, so that nobody who asks for the day now is told that it is there; then
one Delta commit takes the day out. Files stay on disk for 168 hours after that, Delta's own bound, and whoever opened
the table before the clean-up reads on undisturbed. Run again, it finds nothing to do. Bundles go as by `recflow bundle
gc`, and uploads that never came to their end a day after they began.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from jobs.lib import partitions, runs
from jobs.lib.days import add_days
from jobs.lib.errors import RecflowError
from jobs.lib.locks import writing
from jobs.lib.object_store import open_store
from jobs.lib.retention import kept_days
from jobs.lib.scenarios import beside, input_tables
from jobs.lib.session import spark
from jobs.lib.settings import settings
from jobs.lib.solution import Node, Solution
from jobs.ranking.models import newest_model

log = logging.getLogger("recflow")

UPLOAD_HOURS = 24  # what has not come to its end by then never will
READERS_HOURS = 168  # Delta refuses less: a reader may hold a version that old
DELTA, INDEXED = "spark.databricks.delta", "delta.dataSkippingNumIndexedCols"
SMALL_BYTES, FILE_BYTES = 16 << 20, 128 << 20  # files below the first are joined, up to about the second


@dataclass(frozen=True)
class Cleaned:
    """What became of one table. removed: days, oldest first; joined: small files that became fewer; held: days that
    the solution alone would not have kept, and why they are."""

    table: str
    removed: tuple[str, ...]
    joined: int
    held: str = ""

    def __str__(self) -> str:
        span = f"ds={self.removed[0]}..{self.removed[-1]} ({len(self.removed)} days)" if self.removed else "no day"
        return f"{self.table}: {span} removed, {self.joined} small files joined{self.held and f'; {self.held}'}"


@dataclass(frozen=True)
class Kept:
    """How long a table is kept. days: up to and including `last`, None: for good; why: of who asks for more than the
    solution that is cleaned up."""

    days: int | None
    last: str
    why: str = ""

    @property
    def first(self) -> str:
        return "" if self.days is None else add_days(self.last, 1 - self.days)


def clean_up(solution: Solution, ds: str) -> list[Cleaned]:
    """Every table of the solution that recflow writes, as of `as_of(solution, ds)`. Of an input table that other
    scenarios read too no day goes that one of them keeps, and none at all while a solution file does not hold."""
    cleaned, alone, kept_tables = [], kept_alone(solution, ds), kept_by_all(solution, ds)
    _remove_results(solution, alone.values(), kept_tables.values())
    for table, kept in kept_tables.items():
        if kept.days is not None:
            runs.forget_before(table, kept.first, _always_kept(table, solution, kept.last))
        if not partitions.is_owned(table):
            continue  # another system's, or never written
        with writing(table):
            always = _always_kept(table, solution, kept.last)
            removed = () if kept.days is None else _remove(table, kept.first, always)
            if partitions.delta_table(table) is not None:
                cleaned.append(Cleaned(table, removed, _joined(table), held(table, kept, alone[table])))
                _vacuum(table)
    return cleaned


def kept_alone(solution: Solution, ds: str) -> dict[str, Kept]:
    """Each table of `kept_days`, as if there were no other scenario."""
    last = as_of(solution, ds)
    return {table: Kept(days, last) for table, days in kept_days(solution).items()}


def kept_by_all(solution: Solution, ds: str) -> dict[str, Kept]:
    """`kept_alone`, or from the earliest day that any scenario asks for. What a file that does not hold would ask for
    nobody knows: input tables are kept for good."""
    others, problems = beside(solution)
    kept = kept_alone(solution, ds)
    for other in others:
        for table, asked in kept_alone(other, ds).items():
            if table in kept and asked.first < kept[table].first:
                kept[table] = replace(asked, why=f"{other.scenario}, which stands at ds={asked.last}, keeps them")
    for table in (config.table for config in input_tables({solution.scenario: solution}) if problems):
        if table in kept and kept[table].days is not None:
            why = f"another scenario may need them: {str(problems[0]).splitlines()[0]}"
            kept[table] = replace(kept[table], days=None, why=why)
    return kept


def held(table: str, kept: Kept, alone: Kept) -> str:
    """The days that only others keep, in words; a scenario that is paused for good is seen by them."""
    days = [day for day in partitions.present_days(table)[:-1] if kept.first <= day < alone.first]
    return f"ds={days[0]}..{days[-1]} ({len(days)} days) held: {kept.why}" if days and kept.why else ""


def _remove_results(solution: Solution, alone: Collection[Kept], kept: Collection[Kept]) -> None:
    """What was judged, and Data Docs, on days that no table holds any more: the solution's by its own days, those of
    input tables by the days of all, those of other scenarios never."""
    store = open_store(settings().warehouse_root)
    own_first, first = (min(k.first for k in tables if k.days is not None) for tables in (alone, kept))
    others, problems = beside(solution)
    own, theirs = _owners(solution), {name for other in others for name in _owners(other)}
    for key in [*store.list("_quality/"), *store.list("_data_docs/"), *store.list("_alerts/2")]:
        _, day, owner, *_ = key.split("/")
        if day < own_first if owner in own else day < first and owner not in theirs and not problems:
            store.delete(key)


def _owners(solution: Solution) -> set[str]:
    return {solution.scenario, *(solution.table(node.name) for node in solution.nodes())}


def clean_bundles(solution: Solution) -> list[str]:
    """What went of the scenario's bundles, and of uploads under the publish prefix, one line each."""
    from jobs.lib.s3_store import end_unfinished_uploads
    from jobs.publish.versions import collect_garbage

    root = settings().publish_root
    store = open_store(f"{root}/{solution.scenario}")
    gone = [found for found in collect_garbage(store, solution.retention.bundles) if not found.kept]
    lines = [f"{store.root}/{found.folder}: removed, {found.bytes / 1e6:,.1f} MB" for found in gone]
    try:
        ended = end_unfinished_uploads(root, time.time() - UPLOAD_HOURS * 3600)
    except RecflowError as error:  # a right that not every installation gives
        return [*lines, f"{root}: unfinished uploads were left as they are: {error}"]
    return [*lines, *(f"{root}/{key}: an upload that never came to its end is dropped" for key in ended)]


def as_of(solution: Solution, ds: str) -> str:
    """The day that ages are counted from: ds, or an earlier one up to which data have come and lists were made.

    Days that wait to be run must still find their windows, however long a flow has stood still.
    """
    ends = [partitions.present_days(t)[-1:] for t in (solution.tables.behavior, solution.table("recommendations"))]
    return min([ds, *(day for end in ends for day in end)])


def _always_kept(table: str, solution: Solution, ds: str) -> set[str]:
    kept = set(partitions.present_days(table)[-1:])
    if table == solution.table("rank_model") and (found := newest_model(solution, ds)) is not None:
        kept.add(found[0])
    return kept


def _remove(table: str, first_kept: str, always: set[str]) -> tuple[str, ...]:
    """Records first, then rows; rows of old days without a record, left by a job that was killed, go too."""
    old = [day for day in partitions.present_days(table) if day < first_kept and day not in always]
    partitions.forget(table, old)
    delta = partitions.delta_table(table)
    stored = {part["ds"] for part in delta.partitions()} if delta is not None else set()
    if any(day < first_kept and day not in always for day in stored):
        spared = "".join(f" AND ds <> '{day}'" for day in sorted(always))
        spark().sql(f"DELETE FROM {_sql_name(table)} WHERE ds < '{first_kept}'{spared}")
    return tuple(old)


def _joined(table: str) -> int:
    """The rows stay as they are, and so does a day that is one file already. Delta's log keeps, of the new
    files, the number of rows alone: the smallest and greatest value of a column may be users' ids."""
    if partitions.delta_table(table).metadata().configuration.get(INDEXED) != "0":
        spark().sql(f"ALTER TABLE {_sql_name(table)} SET TBLPROPERTIES ('{INDEXED}' = '0')")
    with _settings({f"{DELTA}.optimize.minFileSize": SMALL_BYTES, f"{DELTA}.optimize.maxFileSize": FILE_BYTES}):
        metrics = spark().sql(f"OPTIMIZE {_sql_name(table)}").first()["metrics"]
    return metrics["numFilesRemoved"]


def _vacuum(table: str) -> None:
    """Delta lists the files in a shuffle of, by default, 10,000 tasks: that took 30 s for a folder of 30 days."""
    tasks = 2 * spark().sparkContext.defaultParallelism
    with _settings({"spark.sql.sources.parallelPartitionDiscovery.parallelism": tasks}):
        spark().sql(f"VACUUM {_sql_name(table)} RETAIN {READERS_HOURS} HOURS").collect()


def _sql_name(table: str) -> str:
    return f"delta.`{partitions.table_path(table).replace('`', '``')}`"


@contextmanager
def _settings(wanted: dict[str, int]) -> Iterator[None]:
    """For one statement: the session is shared with other jobs."""
    conf = spark().conf
    for name, value in wanted.items():
        conf.set(name, str(value))
    try:
        yield
    finally:
        for name in wanted:
            conf.unset(name)


def main(days: list[str], solution: Solution, node: Node) -> None:
    """Once, as of the last of the days."""
    for line in (*clean_up(solution, days[-1]), *clean_bundles(solution)):
        log.info("%s", line)
