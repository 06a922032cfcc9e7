"""The files of a registration: how each is written, and which role each of its columns plays. Free of Spark."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from jobs.lib.yaml_model import Strict

_ROLE_NAMES = (
    "ds", "request_id", "user_id", "item_id", "event", "event_time", "value", "scene",
    "author", "title", "registration_time", "listing_time", "tags",
)  # fmt: skip


def column_name(name: str) -> str:
    """The name that a column of a file has in the imported table: lower case letters, digits, single underscores."""
    plain = re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_")
    return plain if plain and not plain[0].isdigit() else f"c_{plain}"


def _named(columns: Any) -> Any:
    """A list of columns keeps their names; a mapping renames: {name in the table: column of the file}."""
    return {column_name(str(column)): column for column in columns} if isinstance(columns, list) else columns


Columns = Annotated[dict[str, str], BeforeValidator(_named)]


class RatingEvent(Strict):
    """Each row is a rating: `positive` at `at_least` or more; every row an `exposure` too, unless that is left out."""

    column: str
    at_least: float
    positive: str
    exposure: str | None = None


class ImpressionList(Strict):
    """Each row shows several items: tokens `item-1` (clicked) and `item-0` (not), separated by spaces."""

    column: str
    shown: str
    clicked: str


class EventSource(Strict):
    """Where the event of a row comes from: one of a column, one constant event, a rating or an impression list."""

    column: str | None = None
    names: dict[str, str] = {}  # value in the file: event; without it the values are the events
    constant: str | None = None
    rating: RatingEvent | None = None
    impression_list: ImpressionList | None = None

    @model_validator(mode="after")
    def _one_source(self) -> EventSource:
        given = [k for k in ("column", "constant", "rating", "impression_list") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of column, constant, rating, impression_list")
        if self.names and not self.column:
            raise ValueError("names go with column")
        return self

    @property
    def exposure(self) -> str | None:
        """The event that rows of this kind make for an item that was shown, where the kind says so."""
        if self.impression_list:
            return self.impression_list.shown
        return self.rating.exposure if self.rating else None

    def events(self) -> list[str]:
        """The events that this source names."""
        if self.impression_list:
            return [self.impression_list.shown, self.impression_list.clicked]
        if self.rating:
            return [e for e in (self.rating.exposure, self.rating.positive) if e is not None]
        return [self.constant] if self.constant is not None else list(self.names.values())


class BehaviorRoles(Strict):
    user_id: str
    item_id: str | None = None
    event_time: str
    request_id: str | None = None
    value: str | None = None
    scene: str | None = None
    categorical: Columns = {}


class ItemRoles(Strict):
    item_id: str
    title: str | None = None
    author: str | None = None
    listing_time: str | None = None
    tags: str | None = None
    categorical: Columns = {}
    numerical: Columns = {}


class UserRoles(Strict):
    user_id: str
    registration_time: str | None = None
    tags: str | None = None
    categorical: Columns = {}
    numerical: Columns = {}


class File(Strict):
    """How a delimited text file is written.

    time_format: unix_s, unix_ms, iso, or a pattern of Spark's such as yyyy-MM-dd HH:mm:ss.
    """

    file: str
    delimiter: str = Field(",", min_length=1, max_length=1)
    quote: str | None = Field('"', max_length=1)
    header: bool | Literal["name:type"] = True  # name:type: RecBole's header, of which the name counts
    columns: list[str] = []  # where there is no header
    encoding: str = "utf-8"
    time_format: str = Field("unix_s", min_length=1)
    tag_separator: str = Field(",", min_length=1)
    first_tag: str | None = None  # also a categorical column of this name, holding the first tag

    @field_validator("file")
    @classmethod
    def _stays_in_the_folder(cls, file: str) -> str:
        if Path(file).is_absolute() or ".." in Path(file).parts:
            raise ValueError(f"{file!r} is not a file within the folder")
        return file

    @model_validator(mode="after")
    def _columns_fit(self) -> File:
        if bool(self.columns) == bool(self.header):
            raise ValueError("a file has either a header or `header: false` and its columns listed")
        if twice := {c for c in self.columns if self.columns.count(c) > 1}:
            raise ValueError(f"columns: {sorted(twice)[0]!r} is listed twice")
        if unknown := [c for c in self.used_columns() if self.columns and c not in self.columns]:
            raise ValueError(f"column {unknown[0]!r} is not among columns: {', '.join(self.columns)}")
        if self.first_tag and not self.roles.tags:
            raise ValueError("first_tag needs the role tags")
        own = [*self.attributes("categorical"), *self.attributes("numerical")]
        for name in own:
            if name != column_name(name):
                raise ValueError(f"{name!r} cannot name a column; {column_name(name)!r} can")
            if name in _ROLE_NAMES or own.count(name) > 1:
                raise ValueError(
                    f"the column name {name!r} is taken: rename it, as in categorical: {{other_name: column}}"
                )
        return self

    def attributes(self, kind: Literal["categorical", "numerical"]) -> dict[str, str]:
        """{name in the imported table: column of the file}; the column of first_tag is that of the tags."""
        listed = dict(getattr(self.roles, kind, {}))
        return {**listed, self.first_tag: self.roles.tags} if kind == "categorical" and self.first_tag else listed

    def single_roles(self) -> dict[str, str]:
        """{role: column of the file} for the roles that one column plays."""
        return {role: column for role, column in self.roles if isinstance(column, str)}

    def used_columns(self) -> list[str]:
        """The columns of the file that are imported."""
        attributes = [*self.attributes("categorical").values(), *self.attributes("numerical").values()]
        return list(dict.fromkeys([*self.single_roles().values(), *attributes]))


class BehaviorFile(File):
    roles: BehaviorRoles
    event: EventSource
    impressions: bool
    first_tag: None = None

    @model_validator(mode="after")
    def _event_fits(self) -> BehaviorFile:
        if (self.roles.item_id is None) == (self.event.impression_list is None):
            raise ValueError("roles.item_id is needed, except with event.impression_list, whose tokens are the items")
        if self.event.exposure is not None and not self.impressions:
            raise ValueError("impressions: the events include exposures, so it must be true")
        if self.event.rating and self.event.exposure is None and self.impressions:
            raise ValueError("impressions: ratings without `exposure` are positives only, so it must be false")
        return self

    def used_columns(self) -> list[str]:
        source = self.event.impression_list or self.event.rating
        column = source.column if source else self.event.column
        return list(dict.fromkeys([*super().used_columns(), *([column] if column else [])]))


class ItemFile(File):
    roles: ItemRoles
    complete: bool = True  # false: items are shown that have no row here


class UserFile(File):
    roles: UserRoles


class Files(Strict):
    behavior: BehaviorFile
    item: ItemFile | None = None
    user: UserFile | None = None

    def by_kind(self) -> dict[str, File]:
        return {kind: spec for kind, spec in self if spec is not None}
