"""Which role each column of a file plays, once its kind is known. Pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from jobs.data.registered_files import column_name
from jobs.register.columns import SEPARATORS, Column, Table, as_guess, separator_of
from jobs.register.dialect import Guess
from jobs.register.events import EventGuess, is_outcome, with_shown
from jobs.register.kinds import Keys, Snapshot
from jobs.register.names import normal, rank
from jobs.register.times import time_column

_CODES = (
    r"(^|_)(id|code|type|cate|category|level|gender|sex|class|status|flag|zip|city|region|brand|is|has|no)(_|$)|"
    r"类|型|别"
)
_PERSONAL = (
    r"(^|_)(e?mail|phone|mobile|tel|passport|id_?card|address|first_?name|last_?name|ip)(_|$)|"
    r"手机|电话|邮箱|身份证|姓名|地址"
)
_MAX_CATEGORIES = 5000


@dataclass
class FileGuess:
    """One entry of `files:`. more: keys beside file, roles and event. unused: {column: why}."""

    table: Table
    roles: dict[str, Guess] = field(default_factory=dict)
    categorical: list[Guess] = field(default_factory=list)
    numerical: list[Guess] = field(default_factory=list)
    more: dict[str, Guess | dict[str, Guess]] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)
    event: EventGuess | None = None

    def taken(self) -> set[str]:
        used = {guess.value for guess in self.roles.values()} | set(self.event.columns if self.event else [])
        return used | {self.more["partition"]["column"].value} if "partition" in self.more else used

    def free(self) -> list[Column]:
        return [column for column in self.table.columns.values() if column.name not in self.taken()]


def behavior_file(table: Table, event: EventGuess | None, keys: Keys) -> FileGuess:
    guess = FileGuess(table, event=event)
    guess.roles["user_id"] = keys.user_id
    if keys.item_id is not None:
        guess.roles["item_id"] = keys.item_id
    if keys.request_id is not None:
        guess.roles["request_id"] = keys.request_id
    _take_time(guess, "event_time")
    _take_partition(guess)
    if event is not None and event.kind in ("column", "constant"):
        _take_shown(guess, keys.items)
    if event is not None and event.value:
        guess.roles["value"] = Guess(event.value, "the rating")
    else:
        _take_named(guess, "value", lambda c: c.is_number and len(c.counts) > 1)
    _take_named(guess, "scene", lambda c: 2 <= len(c.counts) <= 50)
    _take_attributes(guess)
    return guess


def snapshot_file(snapshot: Snapshot) -> FileGuess:
    guess = FileGuess(snapshot.table)
    guess.roles[f"{snapshot.kind}_id"] = snapshot.key
    _take_time(guess, "listing_time" if snapshot.kind == "item" else "registration_time")
    if snapshot.kind == "item":
        _take_named(guess, "title", lambda c: not c.is_number)
        if "title" not in guess.roles and not guess.table.sample.has_names:
            _take_text_as_title(guess)
        _take_named(guess, "author", lambda c: c.is_id_like or not c.is_number)
        if "author" not in guess.roles:
            _take_named(guess, "user_id", lambda c: c.is_id_like, "author")
        guess.more["complete"] = _complete(snapshot)
    _take_tags(guess)
    _take_attributes(guess)
    return guess


def _take_named(guess: FileGuess, role: str, fits, as_role: str | None = None) -> None:
    named = [c for c in guess.free() if c.filled and rank(c.name, role) is not None and fits(c)]
    if named:
        column = min(named, key=lambda c: rank(c.name, role))
        guess.roles[as_role or role] = Guess(column.name, f"its name; {column.shown()}", _not_all_numbers(role, column))


def _take_time(guess: FileGuess, role: str) -> None:
    name = time_column(guess.table, role)
    if name is None or name in guess.taken():
        return
    times = guess.table.columns[name].times
    has_name = rank(name, role) is not None
    is_folder = name in guess.table.sample.partition
    why = "its name and values" if has_name else "its values are times"
    if is_folder:
        why = "the folder's name tells the day"
    doubt = "" if has_name or not guess.table.sample.has_names else "only the values say so"
    guess.roles[role] = Guess(name, why, doubt)
    if times.format:
        guess.more["time_format"] = as_guess(times)


def _take_partition(guess: FileGuess) -> None:
    """A folder's day, by which an import of a span of days leaves the other folders unread."""
    for name in guess.table.sample.partition:
        times = guess.table.columns[name].times if name in guess.table.columns else None
        if times is None or not times.is_day:
            continue
        is_time = guess.roles.get("event_time", Guess("")).value == name
        doubt = "" if is_time else "are its days those of the time zone above?"
        entry = {"column": Guess(name, "the folder's name tells the day", doubt)}
        if times.format:
            entry["format"] = Guess("%Y-%m-%d" if times.format == "iso" else times.format)
        guess.more["partition"] = entry
        return


def _take_shown(guess: FileGuess, items: frozenset[str]) -> None:
    """A column that lists what was shown: its name says so and its tokens are items."""
    for column in guess.free():
        if rank(column.name, "shown") is None:
            continue
        for separator in SEPARATORS:
            tokens = {t.strip() for v in column.counts for t in v.split(separator)} - {""}
            share = len(tokens & items) / len(tokens) if tokens else 0
            if share >= 0.3 and any(separator in value for value in column.counts):
                why = f"its name; {share:.0%} of what it lists are items of the rows"
                guess.event = with_shown(guess.event, column.name, separator, why)
                return


def _complete(snapshot: Snapshot) -> Guess:
    found = f"{snapshot.overlap:.1%} of the sampled items of the log are here"
    if snapshot.overlap < 1:
        return Guess(False, found, "" if snapshot.table.sample.is_whole else "only a part of this file was looked at")
    return Guess(True, found, "" if snapshot.is_log_whole else "only a part of the log was looked at")


def _take_text_as_title(guess: FileGuess) -> None:
    for column in guess.free():
        is_text = any(" " in value for value in list(column.counts)[:50]) and 8 <= column.mean_length <= 150
        if is_text and len(column.counts) > 0.5 * column.rows and not _is_markup(column):
            guess.roles["title"] = Guess(
                column.name, f"the first column of text; {column.shown()}", "only values say so"
            )
            return


def _take_tags(guess: FileGuess) -> None:
    free = [c for c in guess.free() if c.filled and not _is_markup(c) and not c.is_number and c.times is None]
    named = sorted((c for c in free if rank(c.name, "tags") is not None), key=lambda c: rank(c.name, "tags"))
    for column in [*named, *free]:
        is_named = column in named
        separator = separator_of(column, is_named)
        if separator is None:
            continue
        doubt = "" if is_named else "only the values say so"
        guess.roles["tags"] = Guess(column.name, f"{'its name; ' if is_named else ''}several values in a cell", doubt)
        if separator != ",":
            guess.more["tag_separator"] = Guess(
                separator, f"as in {next(v for v in column.counts if separator in v)[:40]}"
            )
        n_first = len({value.split(separator)[0].strip() for value in column.counts})
        if n_first <= min(_MAX_CATEGORIES, max(50, 0.2 * column.rows)) and "item_id" in guess.roles:
            name = f"first_{column_name(column.name)}".strip("_")
            guess.more["first_tag"] = Guess(name, f"also a category: {n_first} first tags")
        return


def _take_attributes(guess: FileGuess) -> None:
    for column in guess.free():
        reason, kind, found = _attribute(column, guess.table)
        if guess.event is not None and guess.event.kind == "label" and is_outcome(column):
            reason, kind = "another label: it is known only afterwards, and one label makes the events", ""
        if kind == "categorical":
            guess.categorical.append(found)
        elif kind == "numerical":
            guess.numerical.append(found)
        else:
            guess.unused[column.name] = reason


def _attribute(column: Column, table: Table) -> tuple[str, str, Guess | None]:
    """(why it is not used, its kind, the guess)."""
    if reason := _no_use(column, table):
        return reason, "", None
    n = len(column.counts)
    is_code = re.search(_CODES, normal(column.name)) or column.is_flag
    if not table.sample.has_names and column.is_whole and column.high >= 1000:
        is_code = True
    if column.is_number and not is_code:
        told = f"numbers from {column.low:g} to {column.high:g}"
        return "", "numerical", Guess(column.name, told, _not_all_numbers("value", column))
    if column.numbers > 0.5 and not is_code and n > 20:
        return f"numbers but for {_odd_values(column)}, and such rows would be refused", "", None
    if n > max(50, 0.2 * column.rows) or n > _MAX_CATEGORIES:
        return f"{column.shown()}: too many for a categorical", "", None
    if column.is_unique and column.rows > 10:
        return "another value in each row", "", None
    doubt = "what is it? The file has no names" if not table.sample.has_names else ""
    return "", "categorical", Guess(column.name, f"{n} value{'s' if n > 1 else ''}", doubt)


def _no_use(column: Column, table: Table) -> str:
    if not column.filled:
        return "is empty"
    if len(column.counts) == 1:
        return "has one value only"
    if re.search(_PERSONAL, normal(column.name)):
        return "may tell who a person is"
    if column.name in table.sample.partition:
        return "a folder's name"
    if column.is_odd_time:
        return f"looks like a time, in no format that recflow reads (as {next(iter(column.counts))})"
    if column.times is not None and (column.times.format != "unix_s" or rank(column.name, "event_time") is not None):
        return "a time without a role"
    if _is_markup(column):
        return "holds links or JSON"
    if column.mean_length > 64:
        return "long texts or lists"
    return ""


def _is_markup(column: Column) -> bool:
    some = list(column.counts)[:50]
    return sum(bool(re.match(r"https?://|www\.|\[[\[{\"]|\[\]$|\{", value)) for value in some) > 0.8 * len(some)


def _not_all_numbers(role: str, column: Column) -> str:
    if role != "value" or column.numbers == 1 or not column.filled:
        return ""
    return f"rows with {_odd_values(column)} would be refused: no numbers"


def _odd_values(column: Column) -> str:
    odd = [value for value in column.counts if not re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", value, re.I)]
    return ", ".join(odd[:3])
