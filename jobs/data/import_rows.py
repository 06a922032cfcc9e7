"""Rows of a registered file as rows of the canonical tables: pure transforms over Polars frames, columns named by role.

Every value is text at first. A value that cannot be read makes its row refused: `refusal` is a struct of column, reason
and value (NULL: the row is kept). The first problem of a row is the one that counts.
"""

from __future__ import annotations

import polars as pl

from jobs.data.event_source import ShownItems
from jobs.data.registered_files import BehaviorFile, File, ItemFile, UserFile
from jobs.data.registration import Registration
from jobs.data.values import local_day, number, text, unix_seconds
from jobs.lib.contracts import Check
from jobs.lib.days import first_moment

_TOKEN = r"^\S+-[01]$"
_FIRST_YEAR_SEC, _LAST_YEAR_SEC = 0, 4_102_444_800  # 1970 up to 2100
_EXAMPLE_LENGTH = 60
_LABELS = {"true": 1.0, "false": 0.0, "True": 1.0, "False": 0.0, "TRUE": 1.0, "FALSE": 0.0}


class Refusals:
    """Collects what is wrong with rows. Conditions are about columns of the file, by name, and columns made from them,
    by `made`."""

    def __init__(self) -> None:
        self._rules: list[tuple[pl.Expr, str, str, pl.Expr]] = []

    def add(self, condition: pl.Expr, column: str, reason: str, value: pl.Expr | None = None) -> None:
        """Where the condition holds (an unknown one does not) the row is refused."""
        shown = pl.col(column) if value is None else value
        self._rules.append((condition, column, reason, shown.cast(pl.String).str.slice(0, _EXAMPLE_LENGTH)))

    def empty(self, column: str) -> None:
        self.add(pl.col(column).is_null(), column, "is empty")

    def unread_number(self, column: str, number: pl.Expr) -> None:
        self.add(pl.col(column).is_not_null() & ~number.is_finite().fill_null(False), column, "is not a number")

    def unread_time(self, column: str, time: pl.Expr, not_after: int) -> None:
        self.add(pl.col(column).is_not_null() & time.is_null(), column, "is not a time in the declared format")
        self.add(~_is_plausible(time), column, "is not a time from 1970 to 2099")
        self.add(time > not_after, column, "is a time in the future")

    def first(self, rows: pl.DataFrame) -> pl.Expr:
        """The first problem of each row. Most rules are broken by no row of a block: only the others are spelled
        out."""
        if not rows.height or not self._rules:
            return pl.col("unreadable").alias("refusal")
        is_broken = rows.select(rule[0].any().alias(str(n)) for n, rule in enumerate(self._rules)).row(0)
        told = [
            pl.when(condition).then(pl.struct(column=pl.lit(column), reason=pl.lit(reason), value=shown))
            for (condition, column, reason, shown), is_there in zip(self._rules, is_broken, strict=True)
            if is_there
        ]
        return pl.coalesce("unreadable", *told).alias("refusal")


def made(name: str) -> pl.Expr:
    """A column of the table while those of the file are still beside it."""
    return pl.col(f"={name}")


def behavior_rows(raw: pl.DataFrame, registration: Registration, not_after: int) -> pl.DataFrame:
    """One row per row of the behavior file: role-named columns, `day` (days since 1970 in the registration's zone; NULL
    where the time cannot be read), `refusal`. not_after: unix seconds; no event can be later.

    What makes the event stays as it is: `event` of a column, `rating`, or `tokens` of an impression list; `events_of`
    turns these into rows.
    """
    spec = registration.files.behavior
    roles, refused = spec.roles, Refusals()
    columns = {"user_id": text(roles.user_id)}
    refused.empty(roles.user_id)
    if spec.day:
        columns["event_time"] = pl.lit(first_moment(spec.day, registration.timezone), pl.Int64)
    else:
        refused.empty(roles.event_time)
        dtype = raw.schema[roles.event_time]
        columns["event_time"] = unix_seconds(roles.event_time, spec.time_format, registration.timezone, dtype)
        refused.unread_time(roles.event_time, made("event_time"), not_after)
    if roles.item_id:
        columns["item_id"] = text(roles.item_id)
        refused.empty(roles.item_id)
    for role in ("request_id", "scene"):
        if column := getattr(roles, role):
            columns[role] = text(column)
    if roles.value:
        columns["value"] = number(roles.value)
        refused.unread_number(roles.value, made("value"))
    columns |= _attributes(spec, refused)
    columns |= _event_columns(spec, registration.events, refused)
    rows = _checked(raw, columns, refused, spec.checks)
    time = pl.col("event_time")
    return rows.with_columns(day=local_day(pl.when(_is_plausible(time)).then(time), registration.timezone))


def _event_columns(spec: BehaviorFile, events: list[str], refused: Refusals) -> dict[str, pl.Expr]:
    """What makes the event, as columns; `shown` is the list of the items shown with it, as it is written."""
    source = spec.event
    if source.impression_list:
        column = source.impression_list.column
        bad = text(column).str.extract_all(r"\S+").list.eval(pl.element().filter(~pl.element().str.contains(_TOKEN)))
        refused.empty(column)
        refused.add(bad.list.len() > 0, column, "is not a list of item-0 and item-1", bad.list.first())
        return {"tokens": text(column)}
    if source.rating:
        column = source.rating.column
        label = number(column).fill_null(text(column).replace_strict(_LABELS, default=None, return_dtype=pl.Float64))
        refused.empty(column)
        refused.unread_number(column, made("rating"))
        return {"rating": label}
    columns: dict[str, pl.Expr] = {}
    if source.constant is not None:
        columns["event"] = pl.lit(source.constant)
    else:
        names = source.names or {event: event for event in events}
        named = text(source.column)
        columns["event"] = named.replace_strict(names, default=None, return_dtype=pl.String)
        undeclared = made("event").is_null() & ~named.is_in(source.ignored)
        refused.empty(source.column)
        refused.add(undeclared, source.column, f"is not a declared event ({', '.join(names)})")
    if source.shown:
        columns["shown"] = text(source.shown.column)
    return columns


def events_of(kept: pl.DataFrame, spec: BehaviorFile) -> pl.DataFrame:
    """The events that kept rows of the behavior file make. A clicked item of a list makes two: shown, then clicked."""
    source = spec.event
    columns = ["request_id", "user_id", "item_id", "event", "event_time", "value", "scene"]
    columns += [*spec.attributes("categorical"), *spec.attributes("numerical")]
    if source.impression_list:
        shown, clicked = source.impression_list.shown, source.impression_list.clicked
        kept = kept.with_columns(pl.col("tokens").str.extract_all(r"\S+")).explode("tokens")
        is_clicked = pl.col("tokens").str.ends_with("-1")
        kept = (
            kept.with_columns(
                item_id=pl.col("tokens").str.head(-2),
                event=pl.when(is_clicked).then(pl.lit([shown, clicked])).otherwise(pl.lit([shown])),
            )
            .explode("event")
            .filter(pl.col("event").is_not_null())
        )
    elif source.rating:
        kept = _rating_events(kept, spec)
    elif source.shown:
        kept = pl.concat([_shown_events(kept, source.shown), kept])
    return kept.filter(pl.col("event").is_not_null()).select(c for c in columns if c in kept.columns)


def _shown_events(kept: pl.DataFrame, source: ShownItems) -> pl.DataFrame:
    """An exposure of each item that is listed, and of the item acted on, where there is a list."""
    listed = pl.col("shown").str.split(source.separator).list.eval(pl.element().str.strip_chars())
    items = pl.concat_list(listed.list.eval(pl.element().filter(pl.element() != "")), "item_id")
    shown = kept.filter(pl.col("shown").is_not_null())
    shown = shown.with_columns(item_id=items.list.unique(maintain_order=True), event=pl.lit(source.event))
    if "value" in kept.columns:  # it stays with the event, or it would count twice
        shown = shown.with_columns(value=pl.lit(None, pl.Float64))
    return shown.explode("item_id")


def _rating_events(kept: pl.DataFrame, spec: BehaviorFile) -> pl.DataFrame:
    """Exposure (where declared) and positive of each rating. The value stays with one, or it would count twice."""
    rating = spec.event.rating
    exposure = [rating.exposure] if rating.exposure else []
    is_positive = pl.col("rating") >= rating.at_least
    events = (
        pl.when(is_positive).then(pl.lit([*exposure, rating.positive])).otherwise(pl.lit(exposure, pl.List(pl.String)))
    )
    made = kept.with_columns(event=events).explode("event").filter(pl.col("event").is_not_null())
    if rating.exposure and "value" in made.columns:
        made = made.with_columns(value=pl.when(pl.col("event") == rating.exposure).then("value"))
    return made


def snapshot_rows(
    raw: pl.DataFrame, spec: ItemFile | UserFile, kind: str, timezone: str, not_after: int
) -> pl.DataFrame:
    """One row per row of an item or user file: role-named columns and `refusal`.

    A listing time may lie ahead (an item announced), a registration time may not.
    """
    columns: dict[str, pl.Expr] = {}
    refused = Refusals()
    for role, column in spec.single_roles().items():
        if role in ("listing_time", "registration_time"):
            columns[role] = unix_seconds(column, spec.time_format, timezone, raw.schema[column])
            refused.unread_time(column, made(role), not_after if role == "registration_time" else _LAST_YEAR_SEC)
        elif role == "tags":
            columns[role] = _tags(column, spec).list.join(",")
        else:
            columns[role] = text(column)
    refused.empty(getattr(spec.roles, f"{kind}_id"))
    columns |= _attributes(spec, refused)
    return _checked(raw, columns, refused, spec.checks)


def _attributes(spec: File, refused: Refusals) -> dict[str, pl.Expr]:
    columns: dict[str, pl.Expr] = {}
    for name, column in spec.attributes("categorical").items():
        columns[name] = _tags(column, spec).list.first() if name == spec.first_tag else text(column)
    for name, column in spec.attributes("numerical").items():
        columns[name] = number(column)
        refused.unread_number(column, made(name))
    return columns


def _checked(raw: pl.DataFrame, columns: dict[str, pl.Expr], refused: Refusals, checks: list[Check]) -> pl.DataFrame:
    """The named columns, `line` and the first refusal of each row, the registration's own rules last."""
    for check in checks:
        for column in check.columns or [check.column]:
            refused.add(_offends(check, made(column)), column, f"breaks the check {check.name}", made(column))
    rows = raw.with_columns(**{f"={name}": expression for name, expression in columns.items()})
    return rows.select("line", *[made(name).alias(name) for name in columns], refused.first(rows))


def _offends(check: Check, value: pl.Expr) -> pl.Expr:
    """True for a value that breaks the rule. NULLs offend not_null only."""
    if check.kind == "not_null":
        return value.is_null()
    if check.kind == "allowed_values":
        return value.is_not_null() & ~value.cast(pl.String).is_in([str(v) for v in check.values])
    if check.kind == "regex":
        return ~value.cast(pl.String).str.contains(f"^(?:{check.pattern})$")
    low = pl.lit(False) if check.min is None else value < check.min
    return low if check.max is None else low | (value > check.max)


def _tags(column: str, spec: File) -> pl.Expr:
    """The tags without empty ones; a comma within a tag becomes a space, since commas separate them in the table."""
    parts = text(column).str.split(spec.tag_separator)
    cleaned = parts.list.eval(pl.element().str.replace_all(",", " ", literal=True).str.strip_chars())
    filled = cleaned.list.eval(pl.element().filter(pl.element() != ""))
    return pl.when(filled.list.len() > 0).then(filled)


def _is_plausible(time: pl.Expr) -> pl.Expr:
    return (time >= _FIRST_YEAR_SEC) & (time < _LAST_YEAR_SEC)
