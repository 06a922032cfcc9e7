"""Rows of a registered file as rows of the canonical tables: pure transforms, columns named by role.

Every value is a string at first. A value that cannot be read makes its row refused: `refusal` is a struct of column,
reason and value (NULL: the row is kept). The first problem of a row is the one that counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.data.registered_files import BehaviorFile, File
from jobs.data.registration import Registration
from jobs.lib.spark import F, Window

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_TOKEN = r"^\S+-[01]$"
_FIRST_YEAR_SEC, _LAST_YEAR_SEC = 0, 4_102_444_800  # 1970 up to 2100
_EXAMPLE_LENGTH = 60


def behavior_rows(raw: DataFrame, registration: Registration) -> DataFrame:
    """One row per line of the behavior file: role-named columns, ds in the registration's zone, `refusal`.

    What makes the event stays as it is: `event` of a column, `rating`, or `tokens` of an impression list; `events_of`
    turns these into rows.
    """
    spec = registration.files.behavior
    roles, source = spec.roles, spec.event
    time = _time(roles.event_time, spec.time_format, registration.timezone)
    columns = {"user_id": _text(roles.user_id), "event_time": F.when(_is_plausible(time), time)}
    refusals = [_ragged(), _empty(roles.user_id), _unread_time(roles.event_time, time, is_required=True)]
    if roles.item_id:
        columns["item_id"] = _text(roles.item_id)
        refusals.append(_empty(roles.item_id))
    for role in ("request_id", "scene"):
        if column := getattr(roles, role):
            columns[role] = _text(column)
    if roles.value:
        columns["value"] = _number(roles.value)
        refusals.append(_unread_number(roles.value))
    columns |= {name: _text(column) for name, column in spec.attributes("categorical").items()}
    if source.impression_list:
        listed = _text(source.impression_list.column)
        tokens = F.split(listed, r"\s+")
        bad = F.filter(tokens, lambda token: ~token.rlike(_TOKEN))
        columns["tokens"] = tokens
        refusals += [
            _empty(source.impression_list.column),
            _refusal(
                F.size(bad) > 0,
                source.impression_list.column,
                "is not a list of item-0 and item-1",
                F.get(bad, F.lit(0)),
            ),
        ]
    elif source.rating:
        columns["rating"] = _number(source.rating.column)
        refusals += [_empty(source.rating.column), _unread_number(source.rating.column)]
    elif source.column:
        named = _text(source.column)
        names = source.names or {event: event for event in registration.events}
        columns["event"] = F.coalesce(*[F.when(named == F.lit(value), F.lit(event)) for value, event in names.items()])
        allowed = ", ".join(names)
        refusals += [
            _empty(source.column),
            _refusal(
                columns["event"].isNull(),
                source.column,
                f"is not a declared event ({allowed})",
                F.col(f"`{source.column}`"),
            ),
        ]
    else:
        columns["event"] = F.lit(source.constant)
    local = F.from_utc_timestamp(F.timestamp_seconds(F.col("event_time")), registration.timezone)
    rows = raw.select(*[column.alias(name) for name, column in columns.items()], _first(refusals))
    return rows.withColumn("ds", F.date_format(local, "yyyyMMdd"))


def events_of(kept: DataFrame, registration: Registration) -> DataFrame:
    """The events that kept rows of the behavior file make. A clicked item of a list makes two: shown, then clicked."""
    spec = registration.files.behavior
    source = spec.event
    if source.impression_list:
        shown, clicked = source.impression_list.shown, source.impression_list.clicked
        tokens = kept.withColumn("token", F.explode("tokens"))
        both = F.when(F.col("token").endswith("-1"), F.array(F.lit(shown), F.lit(clicked))).otherwise(
            F.array(F.lit(shown))
        )
        kept = tokens.select(
            "*", F.expr("left(token, length(token) - 2)").alias("item_id"), F.explode(both).alias("event")
        )
    elif source.rating:
        kept = _rating_events(kept, spec)
    columns = [
        "request_id",
        "user_id",
        "item_id",
        "event",
        "event_time",
        "value",
        "scene",
        *spec.attributes("categorical"),
    ]
    return kept.select(*[c for c in columns if c in kept.columns], "ds")


def _rating_events(kept: DataFrame, spec: BehaviorFile) -> DataFrame:
    """Exposure (where declared) and positive of each rating. The value stays with one, or it would count twice."""
    rating = spec.event.rating
    positive = F.when(F.col("rating") >= rating.at_least, F.lit(rating.positive))
    events = F.array_compact(F.array(*([F.lit(rating.exposure)] if rating.exposure else []), positive))
    made = kept.select("*", F.explode(events).alias("event"))
    if rating.exposure and "value" in made.columns:
        made = made.withColumn("value", F.when(F.col("event") == rating.exposure, F.col("value")))
    return made


def snapshot_rows(raw: DataFrame, spec: File, kind: str, timezone: str) -> DataFrame:
    """One row per line of an item or user file: role-named columns and `refusal`. Of rows with one id one is kept."""
    columns: dict[str, Column] = {}
    refusals = [_ragged()]
    key = f"{kind}_id"
    for role, column in spec.single_roles().items():
        if role in ("listing_time", "registration_time"):
            columns[role] = _time(column, spec.time_format, timezone)
            refusals.append(_unread_time(column, columns[role], is_required=False))
        elif role == "tags":
            columns[role] = F.array_join(_tags(column, spec), ",")
        else:
            columns[role] = _text(column)
    refusals.append(_empty(getattr(spec.roles, key)))
    for name, column in spec.attributes("categorical").items():
        columns[name] = F.get(_tags(column, spec), F.lit(0)) if name == spec.first_tag else _text(column)
    for name, column in spec.attributes("numerical").items():
        columns[name] = _number(column)
        refusals.append(_unread_number(column))
    rows = raw.select(*[column.alias(name) for name, column in columns.items()], _first(refusals))
    # Which of several rows is kept must not depend on the order of reading: the first by all their values.
    same_id = Window.partitionBy(key).orderBy(F.col("refusal").isNotNull(), *[F.col(name) for name in columns])
    repeated = F.col("refusal").isNull() & (F.row_number().over(same_id) > 1)
    again = _refusal(repeated, getattr(spec.roles, key), "is there in another row", F.col(key))
    return rows.withColumn("refusal", F.coalesce("refusal", again))


def _text(column: str) -> Column:
    """The trimmed value; NULL when nothing is left."""
    return F.nullif(F.trim(F.col(f"`{column}`")), F.lit(""))


def _tags(column: str, spec: File) -> Column:
    """The tags without empty ones; a comma within a tag becomes a space, since commas separate them in the table."""
    parts = F.split(_text(column), rf"\Q{spec.tag_separator}\E")
    cleaned = F.transform(parts, lambda tag: F.trim(F.regexp_replace(tag, ",", " ")))
    return F.nullif(F.filter(cleaned, lambda tag: tag != ""), F.array().cast("array<string>"))


def _number(column: str) -> Column:
    return _text(column).try_cast("double")


def _time(column: str, time_format: str, timezone: str) -> Column:
    """Unix seconds (BIGINT), NULL where unreadable. Times without a zone are local to the registration's zone."""
    text = _text(column)
    if time_format in ("unix_s", "unix_ms"):
        number = text.try_cast("decimal(20, 3)")
        return F.floor(number / 1000 if time_format == "unix_ms" else number).cast("bigint")
    if time_format == "iso":
        read = text.try_cast("timestamp")
        has_zone = text.rlike(r"[0-9](Z|z|[+-][0-9]{2}(:?[0-9]{2})?)$") & text.rlike("[T :]")
    else:
        read = F.try_to_timestamp(text, F.lit(time_format))
        has_zone = F.lit(any(letter in _unquoted(time_format) for letter in "XxZzVO"))
    return F.unix_seconds(F.when(has_zone, read).otherwise(F.to_utc_timestamp(read, timezone)))


def _unquoted(pattern: str) -> str:
    return "".join(pattern.split("'")[::2])


def _ragged() -> Column:
    return _refusal(
        F.col("_corrupt").isNotNull(), "line", "has another number of columns than the file", F.col("_corrupt")
    )


def _empty(column: str) -> Column:
    return _refusal(_text(column).isNull(), column, "is empty", F.lit(None).cast("string"))


def _unread_number(column: str) -> Column:
    number = _number(column)
    is_finite = ~F.isnan(number) & (F.abs(number) != F.lit(float("inf")))
    return _refusal(
        _text(column).isNotNull() & ~F.coalesce(is_finite, F.lit(False)), column, "is not a number", _text(column)
    )


def _unread_time(column: str, time: Column, is_required: bool) -> Column:
    text = _text(column)
    unread = _refusal(text.isNotNull() & time.isNull(), column, "is not a time in the declared format", text)
    implausible = _refusal(~_is_plausible(time), column, "is not a time from 1970 to 2099", text)
    return F.coalesce(*([_empty(column)] if is_required else []), unread, implausible)


def _is_plausible(time: Column) -> Column:
    return (time >= _FIRST_YEAR_SEC) & (time < _LAST_YEAR_SEC)


def _refusal(condition: Column, column: str, reason: str, value: Column) -> Column:
    """A struct where the condition holds (an unknown condition does not), NULL elsewhere."""
    told = F.struct(
        F.lit(column).alias("column"),
        F.lit(reason).alias("reason"),
        F.substring(value, 1, _EXAMPLE_LENGTH).alias("value"),
    )
    return F.when(condition, told)


def _first(refusals: list[Column]) -> Column:
    return F.coalesce(*refusals).alias("refusal")
