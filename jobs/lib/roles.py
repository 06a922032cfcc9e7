"""Input tables seen through their roles. Ids become STRING here, and only here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.lib.errors import ContractError
from jobs.lib.input_tables import TableConfig
from jobs.lib.solution import Solution
from jobs.lib.sources import unix_seconds
from jobs.lib.spark import F

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

TAGS, TITLE_WORDS = "tags", "title_words"
SEVERAL = (TAGS, TITLE_WORDS)  # attributes of which an item has several values


def raw_events(behavior: DataFrame, solution: Solution) -> DataFrame:
    """Every row of the behavior table, by role.

    Columns: ds, request_id, user_id, item_id, event, event_time (BIGINT, unix s), value (DOUBLE), scene, position
    (DOUBLE, where the table has one), and the context columns of role categorical. Other roles it lacks are NULL.
    """
    roles = solution.tables.behavior.roles
    return behavior.select(
        "ds",
        _id(behavior, roles.request_id).alias("request_id"),
        _id(behavior, roles.user_id).alias("user_id"),
        _id(behavior, roles.item_id).alias("item_id"),
        _string(roles.event).alias("event"),
        _time(behavior, roles.event_time, solution.tables.behavior).alias("event_time"),
        _double(roles.value).alias("value"),
        _string(roles.scene).alias("scene"),
        *([_double(roles.position).alias("position")] if roles.position else []),
        *[_string(name).alias(name) for name in roles.categorical],
    )


def events(behavior: DataFrame, solution: Solution) -> DataFrame:
    """The events that count: declared events in counted scenes, rows that are the same in every column once.

    Columns: those of `raw_events`.
    """
    chosen = raw_events(behavior.dropDuplicates(), solution).where(
        F.col("event").isin(solution.events) & F.col("user_id").isNotNull() & F.col("item_id").isNotNull()
    )
    if solution.tables.behavior.roles.scene and solution.scenes:
        chosen = chosen.where(F.col("scene").isin(solution.scenes))
    return chosen


def items(snapshot: DataFrame, solution: Solution) -> DataFrame:
    """One row per (ds, item_id): title, author, listing_time (unix s), tags, categorical STRING, numerical DOUBLE."""
    config = _required(solution.tables.item)
    roles = config.roles
    return snapshot.select(
        *_ds(snapshot),
        _id(snapshot, roles.item_id).alias("item_id"),
        _string(roles.title).alias("title"),
        _id(snapshot, roles.author).alias("author"),
        _time(snapshot, roles.listing_time, config).alias("listing_time"),
        _string(roles.tags).alias("tags"),
        *_attributes(config, {"title", "author", "listing_time", "tags"}),
    )


def users(snapshot: DataFrame, solution: Solution) -> DataFrame:
    """One row per (ds, user_id): registration_time (unix s), tags, categorical STRING, numerical DOUBLE."""
    config = _required(solution.tables.user)
    roles = config.roles
    return snapshot.select(
        *_ds(snapshot),
        _id(snapshot, roles.user_id).alias("user_id"),
        _time(snapshot, roles.registration_time, config).alias("registration_time"),
        _string(roles.tags).alias("tags"),
        *_attributes(config, {"registration_time", "tags"}),
    )


def item_attributes(solution: Solution) -> list[str]:
    """Item attributes that users can have a preference for: the categorical ones, and the author."""
    config = solution.tables.item
    if config is None:
        return []
    return [*config.roles.categorical, *(["author"] if config.roles.author else [])]


def preferred_attributes(solution: Solution) -> list[str]:
    """The item attributes that users' preferences are counted by: those that the solution names, else all of one value.

    Beside those of `item_attributes`: TAGS and TITLE_WORDS, of which an item has several.
    """
    return item_attributes(solution) if (named := solution.features.preference.attributes) is None else list(named)


def local_time(event_time: Column, solution: Solution) -> Column:
    """The solution's local TIMESTAMP of a unix second (the session zone is UTC)."""
    return F.from_utc_timestamp(F.timestamp_seconds(event_time), solution.timezone)


def _attributes(config: TableConfig, taken: set[str]) -> list[Column]:
    categorical = [_string(name).alias(name) for name in config.roles.categorical if name not in taken]
    return categorical + [_double(name).alias(name) for name in config.roles.numerical if name not in taken]


def _ds(snapshot: DataFrame) -> list[str]:
    """A snapshot that serves every day comes without ds."""
    return [column for column in ("ds",) if column in snapshot.columns]


def _required(config: TableConfig | None) -> TableConfig:
    if config is None:
        raise ValueError("the solution has no such table")
    return config


def _string(column: str | None) -> Column:
    return F.col(column).cast("string") if column else F.lit(None).cast("string")


def _id(rows: DataFrame, column: str | None) -> Column:
    """An id as STRING. A whole number of a fractional column is written as one: a column of ids becomes fractional
    where one is missing. Raises ContractError for a nested column."""
    if column is None:
        return F.lit(None).cast("string")
    dtype, value = dict(rows.dtypes)[column], F.col(column)
    if dtype.startswith(("array", "struct", "map", "binary")):
        raise ContractError(f"column {column} is {dtype}: an id is text or a number")
    if dtype in ("double", "float") or dtype.startswith("decimal"):
        whole = F.when((value == F.floor(value)) & (F.abs(value) < F.lit(2**53)), value).cast("bigint").cast("string")
        return F.coalesce(whole, value.cast("string"))
    return value.cast("string")


def _time(rows: DataFrame, column: str | None, config: TableConfig) -> Column:
    """Unix seconds. Recflow's own tables hold nothing else; of tables in place the source says how they are written."""
    if column is None:
        return F.lit(None).cast("bigint")
    return unix_seconds(rows, column, config.source.time_format if config.source else "unix_s")


def _double(column: str | None) -> Column:
    return F.col(column).cast("double") if column else F.lit(None).cast("double")
