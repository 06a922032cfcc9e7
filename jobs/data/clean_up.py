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
from dataclasses import dataclass

from jobs.lib import partitions, runs
from jobs.lib.days import add_days
from jobs.lib.errors import RecflowError
from jobs.lib.locks import writing
from jobs.lib.object_store import open_store
from jobs.lib.retention import kept_days
from jobs.lib.scenarios import beside
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
    """What became of one table. removed: days, oldest first; joined: small files that became fewer."""

    table: str
    removed: tuple[str, ...]
    joined: int

    def __str__(self) -> str:
        span = f"ds={self.removed[0]}..{self.removed[-1]} ({len(self.removed)} days)" if self.removed else "no day"
        return f"{self.table}: {span} removed, {self.joined} small files joined"


def clean_up(solution: Solution, ds: str) -> list[Cleaned]:
    """Every table of the solution that recflow writes, as of `as_of(solution, ds)`. Of an input table that other
    scenarios read too no day goes that one of them keeps."""
    cleaned, kept = [], kept_by_all(solution, ds)
    _remove_results(solution, kept.values())
    for table, (days, last) in kept.items():
        if days is not None:
            runs.forget_before(table, add_days(last, 1 - days), _always_kept(table, solution, last))
        if not partitions.is_owned(table):
            continue  # another system's, or never written
        with writing(table):
            always = _always_kept(table, solution, last)
            removed = () if days is None else _remove(table, add_days(last, 1 - days), always)
            if partitions.delta_table(table) is not None:
                cleaned.append(Cleaned(table, removed, _joined(table)))
                _vacuum(table)
    return cleaned


def kept_by_all(solution: Solution, ds: str) -> dict[str, tuple[int | None, str]]:
    """Table -> (days kept, the day that they are counted from), for each table of `kept_days`. The first day that is
    kept is the earliest that any scenario asks for; None: kept for good."""
    kept = {table: (days, as_of(solution, ds)) for table, days in kept_days(solution).items()}
    for other in beside(solution):
        last = as_of(other, ds)
        for table, days in kept_days(other).items():
            if table in kept:
                kept[table] = min(kept[table], (days, last), key=_first_kept)
    return kept


def _first_kept(kept: tuple[int | None, str]) -> str:
    days, last = kept
    return "" if days is None else add_days(last, 1 - days)


def _remove_results(solution: Solution, kept: Collection[tuple[int | None, str]]) -> None:
    """What was judged on days that no table holds any more, and its Data Docs, but for what other scenarios made."""
    store, first = open_store(settings().warehouse_root), min(_first_kept(k) for k in kept if k[0] is not None)
    others = {name for other in beside(solution) for name in (other.scenario, *map(other.table, _names(other)))}
    for key in [*store.list("_quality/"), *store.list("_data_docs/"), *store.list("_alerts/2")]:
        _, day, owner, *_ = key.split("/")
        if day < first and owner not in others:
            store.delete(key)


def _names(solution: Solution) -> list[str]:
    return [node.name for node in solution.nodes()]


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
