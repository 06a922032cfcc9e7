"""Forget a user: out of every table that recflow writes for the scenarios, and not let in again.

What is removed are the rows about the user. Figures over everybody (counts of items, a trained model) stay as they are
until they are made anew, which then happens without the user.

Under the locks of all tables, and of all scenarios' nodes, so that no run that has read the user writes afterwards:

1. marks, so that imports and reads of input tables leave the user out (jobs/lib/forgotten.py);
2. the files of each day that names the user are written without those rows, and replaced in one commit. Not by Delta's
   own DELETE: its log would keep the id, in the predicate and in statistics;
3. records of the days and of the runs that read them follow, old content -> new, so that what was made of these days
   is neither more nor less stale than before. `_forgetting/<table>.json` keeps what is still to follow: killed at any
   point, the next `forget`, of whomever, makes up for it;
4. dead files that name the user are deleted at once, however young; other dead files wait for the clean-up;
5. what imports that were killed left of the files that they read is deleted.
"""

from __future__ import annotations

import logging
import tempfile
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobs.data.forget_records import follow_up, note
from jobs.data.user_places import Names, columns_of_users, days_naming, file_names, naming, rewritten
from jobs.flow.lineage import outputs
from jobs.lib import forgotten, partitions
from jobs.lib.delta_files import DataFile, DayFile, day_files, replace_days
from jobs.lib.errors import DataError, RecflowError
from jobs.lib.input_tables import TableConfig
from jobs.lib.locks import writing
from jobs.lib.object_store import Store, open_store
from jobs.lib.pseudonyms import pseudonyms_of
from jobs.lib.scenarios import input_tables, those_that_hold
from jobs.lib.settings import settings
from jobs.lib.solution import Solution

log = logging.getLogger("recflow")

Scenarios = Sequence[Solution]


@dataclass
class Forgotten:
    """removed: table -> days that named the user. in_place: input tables that other systems fill. authors: item tables
    that name the user as author. others: tables of the warehouse that name a user of this id and are not of these
    scenarios."""

    ids: tuple[str, ...] = ()
    removed: dict[str, list[str]] = field(default_factory=dict)
    in_place: list[str] = field(default_factory=list)
    authors: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def forget(solutions: Scenarios, user: str, also: Collection[str] = ()) -> Forgotten:
    """user: the original id, or that of the tables. also: further tables of the warehouse, named by `others`.

    Raises SettingError where a table holds pseudonyms whose key is not set.
    """
    if not user or not user.isprintable():
        raise RecflowError(f"{user!r} is no user id")
    everyone = [*solutions, *those_that_hold()[0].values()]
    known = _user_columns(everyone)
    tables = _tables(solutions, {table: known.get(table) for table in also})
    nodes = {name for solution in everyone for node in solution.nodes() for name in outputs(solution, node)}
    with writing(*{*_owned(), *tables, *nodes, *(f"_import-{name}" for name in _staged())}):
        follow_up()  # what a killed one left
        ids = {user, *pseudonyms_of(user, tables)}
        done = Forgotten(ids=tuple(sorted(ids)))
        for config in _inputs(solutions):
            done.in_place += [] if partitions.is_owned(config.table) and config.source is None else [config.table]
        for table in (*_user_columns(solutions), *(table for table in also if table in known)):
            forgotten.remember(table, ids)
        for table, user_column in tables.items():
            if days := _removed(table, ids, user_column):
                done.removed[table] = days
        follow_up()
        for table, user_column in tables.items():
            _delete_dead(table, ids, user_column)
        for key in [key for name in _staged() for key in _store().list(f"_staging/{name}/")]:
            _store().delete(key)
    items = {s.tables.item.table: s.tables.item for s in everyone if s.tables.item is not None}
    done.authors = [table for table in items if _names_author(items[table], ids)]
    others = [table for table in _owned() if table not in {*tables, *items}]
    done.others = [table for table in others if _days(table, ids, known.get(table))]
    return done


def lift(solutions: Scenarios, user: str) -> int:
    """Let imports and reads of input tables show the user again. Returns how many tables did not."""
    tables = _user_columns(solutions)
    both = {user, *pseudonyms_of(user, tables)}
    return sum(forgotten.lift(table, both) > 0 for table in tables)


def _inputs(solutions: Scenarios) -> list[TableConfig]:
    return input_tables({solution.scenario: solution for solution in solutions})


def _user_columns(solutions: Scenarios) -> dict[str, str | None]:
    """Input tables of users and behaviors -> their column of users. Rows of item tables are about nobody."""
    configs = [config for s in solutions for config in (s.tables.user, s.tables.behavior) if config is not None]
    return {config.table: config.roles.user_id for config in configs}


def _tables(solutions: Scenarios, also: dict[str, str | None]) -> dict[str, str | None]:
    """Table -> its own name for the column of users (None: the flow's), for those that recflow has written."""
    in_place = {config.table for config in _inputs(solutions) if config.source is not None}
    inputs = {table: column for table, column in _user_columns(solutions).items() if table not in in_place}
    flow = [solution.table(node.name) for solution in solutions for node in solution.nodes()]
    stems = [table.removesuffix("_behavior") for table in inputs if table.endswith("_behavior")]
    owned = set(_owned())
    if unknown := sorted({*also} - owned):
        raise RecflowError(f"{unknown[0]} is no table that recflow writes; there are: {', '.join(sorted(owned))}")
    named = inputs | dict.fromkeys((*flow, *(f"{stem}_quarantine" for stem in stems))) | also
    return {table: column for table, column in named.items() if table in owned}


def _owned() -> list[str]:
    keys = _store().list("_partitions/")
    return sorted({key.split("/")[1] for key in keys if key.endswith(f"/{partitions.OWNED}")})


def _staged() -> set[str]:
    """Registrations of which an import is under way, or was killed."""
    return {key.split("/")[1] for key in _store().list("_staging/")}


def _names_author(items: TableConfig, ids: Collection[str]) -> bool:
    is_ours = items.source is None and items.roles.author is not None and partitions.is_owned(items.table)
    return is_ours and bool(_days(items.table, ids, items.roles.author))


def _store() -> Store:
    return open_store(settings().warehouse_root)


def _days(table: str, ids: Collection[str], user_column: str | None = None) -> list[str]:
    found = _place(table, ids, user_column)
    return days_naming(_files(table), *found) if found else []


def _place(table: str, ids: Collection[str], user_column: str | None) -> tuple[tuple[str, ...], Names] | None:
    delta = partitions.delta_table(table)
    columns = columns_of_users([f.name for f in delta.schema().fields], user_column) if delta is not None else ()
    return (columns, naming(ids, columns)) if columns else None


def _files(table: str, days: Collection[str] | None = None) -> list[DayFile]:
    delta = partitions.delta_table(table)
    stored = {part["ds"] for part in delta.partitions()} if days is None else days
    return day_files(table, list(stored))


def _removed(table: str, ids: Collection[str], user_column: str | None) -> list[str]:
    """The days of a table that named the user; now they do not."""
    if not (days := _days(table, ids, user_column)):
        return []
    note(table, days)
    address, (_, names) = partitions.table_path(table), _place(table, ids, user_column)
    store, stem, written = open_store(address), f"part-{uuid.uuid4().hex}", []
    for number, file in enumerate(_files(table, days)):
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "rows"
            if rows := rewritten(file.address, target, names):
                path = f"ds={file.ds}/{stem}-{number:05d}.parquet"
                store.put_file(path, target)
                written.append(DataFile(path, file.ds, target.stat().st_size, rows, 0))
    replace_days(address, days, written, partitions.delta_table(table).schema())
    return days


def _delete_dead(table: str, ids: Collection[str], user_column: str | None) -> None:
    """Files that the table has done with, or never had, and that name the user or cannot be read."""
    if (found := _place(table, ids, user_column)) is None:
        return
    delta, store = partitions.delta_table(table), open_store(partitions.table_path(table))
    for path in delta.vacuum(retention_hours=0, dry_run=True, enforce_retention_duration=False, full=True):
        key = path.removeprefix(f"{partitions.table_path(table)}/")
        try:
            is_dead = key.endswith(".parquet") and file_names(store.url(key), *found, if_unknown=True)
        except DataError:
            is_dead = True
        if is_dead:
            store.delete(key)
