"""Which of the files is the log of behaviors, which tells about items and which about users. Pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from jobs.register.columns import Column, Table
from jobs.register.dialect import Guess
from jobs.register.events import EventGuess, constant_event, events_of
from jobs.register.names import kinds_of, normal, rank
from jobs.register.times import time_column

_PLAIN_IDS = ("id", "code", "no", "key", "编号", "编码")
_MAX_FREE = 6  # headerless files with more columns than this that could be ids are not told apart by position


@dataclass(frozen=True)
class Keys:
    """Columns of a behavior file (item_id: None where an impression list has the items), and the ids of its items."""

    user_id: Guess
    item_id: Guess | None
    request_id: Guess | None
    items: frozenset[str]


def key_by_name(table: Table, role: str) -> Column | None:
    return next(iter(_named_keys(table, role)), None)


def _named_keys(table: Table, role: str) -> list[Column]:
    """The columns whose names fit user_id or item_id, the best first. A plain `id` is that of the file's kind."""
    found = []
    for column in table.columns.values():
        fit = rank(column.name, role)
        if fit is None and normal(column.name) in _PLAIN_IDS and kinds_of(table.file) == {role.removesuffix("_id")}:
            fit = 50
        is_fit = column.is_id_like or len(column.counts) == 1 or normal(column.name).endswith("id")
        if fit is not None and column.filled and is_fit:
            found.append((fit, column.name))
    return [table.columns[name] for _, name in sorted(found)]


def _key(table: Table, role: str) -> Column | None:
    """The ids that a file about users or items is about: by name, or the first that are unique in a file so named."""
    named = key_by_name(table, role)
    if named is not None or kinds_of(table.file) != {role.removesuffix("_id")}:
        return named
    return next((c for c in table.columns.values() if c.is_id_like and c.is_unique), None)


def behavior_of(tables: list[Table]) -> Table | None:
    """The file that looks most like a log, or None when none does. A file that is alone has to be it."""
    best = max(tables, key=lambda table: (_score(table), table.sample.rows.height, table.file))
    return best if _score(best) >= 3 or len(tables) == 1 else None


def _score(table: Table) -> int:
    user, item = key_by_name(table, "user_id"), key_by_name(table, "item_id")
    kinds = kinds_of(table.file)
    score = 2 * (user is not None) + 2 * (item is not None)
    score += 3 * (events_of(table) is not None) + (time_column(table) is not None)
    score += 2 if "behavior" in kinds else -2 if kinds else 0
    ids = [c for c in table.columns.values() if c.is_id_like and c.times is None]
    score += 2 * (time_column(table) is not None and len(ids) >= 2 and not any(c.is_unique for c in ids))
    return score - 4 * any(key is not None and key.is_unique for key in (user, item))


def event_of(table: Table) -> EventGuess | None:
    """How its events are read; None when there is nothing that an event could be about."""
    found = events_of(table)
    both = key_by_name(table, "user_id") and key_by_name(table, "item_id")
    return found or (constant_event(table) if both or time_column(table) is not None else None)


def keys_of(table: Table, event: EventGuess | None, others: list[Table]) -> Keys:
    """User and item of a behavior file: by name, by the ids of the other files, and without names by position."""
    taken = set(event.columns if event else []) | {name for name in (time_column(table),) if name}
    free = [c for c in table.columns.values() if c.is_id_like and c.name not in taken]
    has_list = event is not None and event.kind == "impression_list"
    found: dict[str, Guess | None] = {}
    for role in ("user_id", "item_id"):
        if named := [column for column in _named_keys(table, role) if column.name not in taken]:
            found[role] = _by_name(named, role, others)
    for role in [r for r in ("user_id", "item_id") if r not in found and not (has_list and r == "item_id")]:
        used = {guess.value for guess in found.values() if guess}
        rest = [c for c in free if c.name not in used]
        found[role] = _by_ids(rest, role, others) or _by_position(table, rest, role) or _missing(role, free, table)
    request = _request(table, event, {g.value for g in found.values() if g} | taken)
    items = _listed_items(table.columns[event.columns[0]]) if has_list else frozenset()
    if not items and found.get("item_id") and found["item_id"].value in table.columns:
        items = table.columns[found["item_id"].value].values
    return Keys(found["user_id"], None if has_list else found["item_id"], request, items)


def _by_name(named: list[Column], role: str, others: list[Table]) -> Guess:
    """The best name; of several the one whose values are the ids of another file."""
    share, name, where = _best_overlap(named, role, others)
    column = next((c for c in named if c.name == name and share >= 0.5), named[0])
    told = f"; {share:.1%} of its values are in {where}" if column.name == name else ""
    doubt = "a device or browser stands for its user" if re.search("device|cookie|imei", normal(column.name)) else ""
    return Guess(column.name, f"its name; {column.shown()}{told}", doubt)


def _best_overlap(columns: list[Column], role: str, others: list[Table]) -> tuple[float, str, str]:
    """(the share of its values that are ids of another file, the column, file:column)."""
    best = (0.0, "", "")
    for other in sorted(others, key=lambda table: role.removesuffix("_id") not in kinds_of(table.file)):
        key = _key(other, role)
        if key is not None and key.is_unique:
            shares = ((c.overlap(key.values), c.name, f"{other.file}:{key.name}") for c in columns)
            best = max([best, *shares], key=lambda found: found[0])
    return best


def _by_ids(free: list[Column], role: str, others: list[Table]) -> Guess | None:
    """The column whose values are ids of a file that is known to be about users or items."""
    share, name, where = _best_overlap(free, role, others)
    if share < 0.3:
        return None
    is_number = any(c.name == name and c.is_number for c in free)
    doubt = "numbers may match by chance" if is_number else ""
    return Guess(name, f"{share:.1%} of its values are in {where}", doubt)


def _by_position(table: Table, free: list[Column], role: str) -> Guess | None:
    """Without names users come first, then items; ids that come once are of the row."""
    repeated = [c for c in free if not c.is_unique and len(c.counts) > 2]
    if table.sample.has_names or not repeated or len(free) > _MAX_FREE:
        return None
    column = repeated[0]
    where = "the first column" if role == "user_id" else "the next column"
    return Guess(
        column.name, f"{where} of repeated ids; {column.shown()}", f"is this the {role[:4]}? Only its place says so"
    )


def _missing(role: str, free: list[Column], table: Table) -> Guess:
    considered = ", ".join(f"{c.name} ({c.shown()})" for c in free[:12]) or f"none of {', '.join(table.columns)}"
    return Guess("TODO", missing=f"no column of {table.file} could be told to be the {role}; considered: {considered}")


def _request(table: Table, event: EventGuess | None, taken: set[str]) -> Guess | None:
    free = [c for c in table.columns.values() if c.is_id_like and c.name not in taken]
    named = [c for c in free if rank(c.name, "request_id") is not None]
    if named:
        column = min(named, key=lambda c: rank(c.name, "request_id"))
        return Guess(column.name, f"its name; {column.shown()}")
    if event and event.kind == "impression_list" and free and free[0].is_unique:
        return Guess(free[0].name, "another value in each row, and a row is a request")
    return None


def _listed_items(column: Column) -> frozenset[str]:
    return frozenset(token[:-2] for value in column.counts for token in value.split())


@dataclass(frozen=True)
class Snapshot:
    """A file about items or users. overlap: the share of the ids of the log, as sampled, that it has."""

    kind: str
    table: Table
    key: Guess
    overlap: float
    is_log_whole: bool


def snapshots_of(
    tables: list[Table], users: frozenset[str], items: frozenset[str], log: Table
) -> tuple[dict[str, Snapshot], dict[str, str]]:
    """{kind: the best file}, and why each of the others is none."""
    found: dict[str, list[Snapshot]] = {"item": [], "user": []}
    left_out: dict[str, str] = {}
    for table in tables:
        options = [_snapshot(table, "item", items, log), _snapshot(table, "user", users, log)]
        fitting = [option for option in options if isinstance(option, Snapshot)]
        if not fitting:
            left_out[table.file] = next((told for told in options if told), "no column could be told to be an id")
            continue
        best = max(fitting, key=lambda s: (s.kind in kinds_of(table.file), s.overlap, s.kind))
        found[best.kind].append(best)
    chosen = {}
    for kind, some in found.items():
        some.sort(
            key=lambda s: (-round(s.overlap, 2), kind not in kinds_of(s.table.file), -_told(s.table), s.table.file)
        )
        chosen |= {kind: some[0]} if some else {}
        for other in some[1:]:
            left_out[other.table.file] = f"a registration has one file of {kind}s, and {some[0].table.file} tells more"
    return chosen, left_out


def _told(table: Table) -> int:
    """How many columns say something that is shared by rows."""
    return sum(not column.is_unique and len(column.counts) > 1 for column in table.columns.values())


def _snapshot(table: Table, kind: str, ids: frozenset[str], log: Table) -> Snapshot | str:
    """Or why not, where its name speaks for it."""
    column, why = _key(table, f"{kind}_id"), "its name" if table.sample.has_names else "the file's name; unique"
    if column is None:
        unique = [c for c in table.columns.values() if c.is_id_like and c.is_unique and c.values & ids]
        if not unique:
            return ""
        column, why = max(unique, key=lambda c: len(c.values & ids)), "unique"
    if key_by_name(table, "user_id") and key_by_name(table, "item_id") and not column.is_unique:
        return "looks like another log; a registration has one behavior file, with a column for the event"
    doubt = ""
    if not column.is_unique:
        if len(column.counts) < 0.5 * column.filled:
            return f"{column.name} comes again and again ({column.shown()}), and a row per {kind} is needed"
        doubt = f"{column.shown()}: of rows with one id only one is kept"
    share = len(column.values & ids) / len(ids) if ids else 0.0
    seen = f"{kind}s of {log.file}" if log.sample.is_whole else f"{kind}s sampled of {log.file}"
    told = f"{why}; {share:.1%} of the {seen} are here"
    return Snapshot(kind, table, Guess(column.name, told, doubt), share, log.sample.is_whole)
