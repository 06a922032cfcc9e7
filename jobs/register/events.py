"""Where the event of a behavior file comes from. Pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from jobs.register.columns import Column, Table
from jobs.register.dialect import Guess
from jobs.register.funnel import FILE_EVENTS, funnel_of, is_against, stage
from jobs.register.names import normal, rank

_MAX_EVENTS = 50
IMPRESSION_TOKENS = r"\S+-[01](\s+\S+-[01])*"


@dataclass(frozen=True)
class EventGuess:
    """kind: column, rating, label, impression_list or constant. event: the entry `event:`, for YAML. columns: that it
    reads. value: a rating that can be the value of the event too."""

    kind: str
    event: dict
    events: list[Guess]
    target: Guess
    impressions: Guess
    columns: list[str]
    value: str | None = None


def impression_column(table: Table) -> str | None:
    for column in table.columns.values():
        some = list(column.counts)[:200]
        if some and column.mean_length > 3 and all(re.fullmatch(IMPRESSION_TOKENS, value) for value in some):
            return column.name
    return None


def event_column(table: Table) -> Column | None:
    """By name, few values; else by values that are names of events."""
    few = [c for c in table.columns.values() if 1 <= len(c.counts) <= _MAX_EVENTS and not c.is_flag]
    known = [c for c in few if sum(n for v, n in c.counts.items() if stage(v)) >= 0.5 * c.filled]
    named = [c for c in few if rank(c.name, "event") is not None and (not c.is_number or c.is_whole)]
    both = [c for c in known if c in named]
    return next(iter(both or sorted(named, key=lambda c: rank(c.name, "event")) or known), None)


def label_column(table: Table) -> Column | None:
    flags = [c for c in table.columns.values() if c.is_flag]
    named = [c for c in flags if rank(c.name, "label") is not None or rank(c.name, "event") is not None]
    edges = list(table.columns.values())[:: max(1, len(table.columns) - 1)]
    unnamed = [] if table.sample.has_names else [c for c in edges if c.is_flag]
    return min(named, key=lambda c: rank(c.name, "label") or 0, default=next(iter(unnamed), None))


def is_outcome(column: Column) -> bool:
    """Another label of the row: is_like, long_view, forward."""
    name = re.sub("^(is|has)_", "", normal(column.name))
    return column.is_flag and (rank(column.name, "label") is not None or stage(name) is not None or is_against(name))


def rating_column(table: Table) -> Column | None:
    few = [
        c for c in table.columns.values() if c.is_number and 2 <= len(c.counts) <= 101 and 0 <= c.low < c.high <= 100
    ]
    named = [c for c in few if rank(c.name, "rating") is not None]
    scales = [c for c in few if c.low >= 0.5 and c.high in (5, 10) and len(c.counts) <= 20]
    unnamed = [] if table.sample.has_names else scales
    return min(named, key=lambda c: rank(c.name, "rating"), default=next(iter(unnamed), None))


def events_of(table: Table) -> EventGuess | None:
    """How events can be read from a file; None when only a constant event is left."""
    if listed := impression_column(table):
        return _of_list(listed)
    if (column := event_column(table)) is not None:
        return _of_column(column, table.sample.is_whole)
    if (column := label_column(table)) is not None:
        return _of_label(column)
    column = rating_column(table)
    return None if column is None else _of_rating(column)


def constant_event(table: Table) -> EventGuess:
    """Every row is the same event; the file's name may say which."""
    name = normal(table.file)
    event, doubt = next(
        ((event, "") for event, words in FILE_EVENTS.items() if re.search(words, name)),
        ("interaction", "what did the users do in these rows?"),
    )
    why = "no column names an event" + ("" if doubt else f", and the file's name speaks of {event}")
    return EventGuess(
        "constant",
        {"constant": Guess(event, why, doubt)},
        [Guess(event, "the only event")],
        Guess(event, "the only event"),
        Guess(False, "no row says that an item was shown and not taken"),
        [],
    )


def with_shown(guess: EventGuess, column: str, separator: str, why: str) -> EventGuess:
    """The same, where a column lists what was shown with the event (Personalize's IMPRESSION)."""
    exposure = next((g.value for g in guess.events if stage(g.value) == "exposure"), "impression")
    entry: dict = {"column": Guess(column, why), "event": Guess(exposure)}
    if separator != "|":
        entry["separator"] = Guess(separator)
    events = guess.events if guess.events[0].value == exposure else [Guess(exposure, f"from {column}"), *guess.events]
    impressions = Guess(True, f"{column} lists what was shown")
    return EventGuess(
        guess.kind, guess.event | {"shown": entry}, events, guess.target, impressions, [*guess.columns, column]
    )


def _of_list(column: str) -> EventGuess:
    why = "its values are lists of item-0 and item-1, as in MIND"
    listed = {"column": Guess(column, why), "shown": Guess("expr"), "clicked": Guess("click")}
    return EventGuess(
        "impression_list",
        {"impression_list": listed},
        [Guess("expr", "each item of a list"), Guess("click", "each item-1")],
        Guess("click", "the only positive"),
        Guess(True, "the lists tell what was shown"),
        [column],
    )


def _of_column(column: Column, is_whole: bool) -> EventGuess:
    funnel = funnel_of(column.counts)
    doubt = "" if is_whole else "a sample may lack rare events, which would be refused"
    told = f"holds {', '.join(list(column.counts)[:8])}{' …' if len(column.counts) > 8 else ''}"
    entry: dict = {"column": Guess(column.name, told, doubt)}
    if funnel.against:
        entry["ignored"] = funnel.against
    if funnel.names:
        entry["names"] = funnel.names
    return EventGuess("column", entry, funnel.events, funnel.target, funnel.impressions, [column.name])


def _of_label(column: Column) -> EventGuess:
    name = normal(column.name)
    positive = next((e for e, w in FILE_EVENTS.items() if re.search(w, name)), "click" if "cl" in name else None)
    doubt = "" if positive else "what does 1 mean?"
    positive = positive or "click"
    ones = sum(n for value, n in column.counts.items() if value.lower() in ("1", "true", "1.0"))
    rating = {
        "column": Guess(column.name, f"0 or 1, {ones / column.filled:.1%} are 1"),
        "at_least": Guess(1),
        "positive": Guess(positive, f"the name of {column.name}" if not doubt else "", doubt),
        "exposure": Guess("expr", "every row was shown, the positives too"),
    }
    return EventGuess(
        "label",
        {"rating": rating},
        [Guess("expr", "every row"), Guess(positive, "rows with 1")],
        Guess(positive, "the only positive"),
        Guess(True, "rows with 0 were shown and not taken"),
        [column.name],
    )


def _of_rating(column: Column) -> EventGuess:
    at_least = {5: 4, 10: 8, 100: 80}.get(column.high, round(0.8 * column.high, 1))
    share = sum(n for value, n in column.counts.items() if _number(value) >= at_least) / column.filled
    rating = {
        "column": Guess(column.name, f"numbers from {column.low:g} to {column.high:g}, {len(column.counts)} of them"),
        "at_least": Guess(at_least, f"{share:.0%} of the ratings", "from which rating on does a user like an item?"),
        "positive": Guess("click"),
        "exposure": Guess("expr", "every rating", "for positives only leave this out, with impressions: false"),
    }
    return EventGuess(
        "rating",
        {"rating": rating},
        [Guess("expr", "every rating"), Guess("click", f"ratings of {at_least:g} or more")],
        Guess("click", "the only positive"),
        Guess(True, "a low rating tells what was seen and not liked"),
        [column.name],
        column.name,
    )


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return float("nan")
