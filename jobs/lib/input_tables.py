"""Input tables by role: which of a team's columns plays which part."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from jobs.lib.safe_paths import check_address
from jobs.lib.times import check_day, check_time_format
from jobs.lib.yaml_model import Strict, Zone

Day = Annotated[str, BeforeValidator(check_day)]
TableName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=200)]  # a folder's, and a lock's
TimeFormat = Annotated[str, BeforeValidator(check_time_format)]


class DayColumn(Strict):
    """The column that tells the day of a row, and how it is written there (a column of type DATE needs no format); or
    the columns of year, month and day."""

    column: str | tuple[str, str, str]
    format: TimeFormat = "%Y%m%d"


class Source(Strict):
    """Where a table is that recflow reads in place and never writes.

    path: of a Delta table or a folder of Parquet. day: its date column, by which it is best partitioned; a day is there
    when the column holds it (Parquet: and done_file is in its folder, where one is named). Without `day`, behaviors are
    told apart by their event time and a day is there when a later one is, or up to `through`; users and items are one
    snapshot as of `as_of`. time_format: of its time columns, where their type does not say it.
    """

    path: Annotated[str, BeforeValidator(check_address)]
    format: Literal["delta", "parquet"] = "delta"
    day: DayColumn | None = None
    done_file: str | None = None
    through: Day | None = None
    as_of: Day | None = None
    time_format: Literal["unix_s", "unix_ms", "iso"] = "unix_s"
    timezone: Zone | None = None  # the solution's own, which fills it in


class Roles(Strict):
    """Which column plays which part. Roles that a table lacks stay unset."""

    user_id: str | None = None
    item_id: str | None = None
    request_id: str | None = None
    event: str | None = None
    event_time: str | None = None
    value: str | None = None
    scene: str | None = None
    position: str | None = None  # of the item in what was shown, from 1
    author: str | None = None
    title: str | None = None
    registration_time: str | None = None
    listing_time: str | None = None
    tags: str | None = None
    categorical: list[str] = []
    numerical: list[str] = []


class TableConfig(Strict):
    """One input table. `daily` snapshots have a partition per ds. `once` are undated: of those that there are, a day
    reads the newest that is not after it, and none that is more than max_age_days older."""

    table: TableName
    roles: Roles
    source: Source | None = None  # default: the table is in recflow's own warehouse
    snapshot: Literal["daily", "once"] = "daily"
    max_age_days: int | None = Field(None, ge=1)
    complete: bool = True  # items: is everything on offer listed, or may shown items lack a row?
    impressions: bool = True  # behaviors: are impressions recorded, or positives only?


class Tables(Strict):
    behavior: TableConfig
    item: TableConfig | None = None
    user: TableConfig | None = None

    @model_validator(mode="after")
    def _keys_are_mapped(self) -> Tables:
        needed = {"behavior": ("user_id", "item_id", "event", "event_time"), "item": ("item_id",), "user": ("user_id",)}
        for kind, roles in needed.items():
            config = getattr(self, kind)
            missing = [role for role in roles if config is not None and getattr(config.roles, role) is None]
            if missing:
                raise ValueError(f"{kind}.roles lacks {', '.join(missing)}")
            if kind != "behavior" and config is not None and config.source is not None:
                is_undated = config.source.day is None
                if is_undated != (config.snapshot == "once") or is_undated != (config.source.as_of is not None):
                    raise ValueError(f"{kind}: give either source.day, or source.as_of with `snapshot: once`")
        return self

    def names(self) -> set[str]:
        """Of the tables, and of those that their imports fill beside them: nothing else may write these."""
        tables = {config.table for config in (self.user, self.item, self.behavior) if config is not None}
        imported = (re.fullmatch("(.+)_(behavior|item|user)", table) for table in tables)
        return tables | {f"{match[1]}_quarantine" for match in imported if match}
