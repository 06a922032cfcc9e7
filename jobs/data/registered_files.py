"""The files of a registration: how each is written, and which role each of its columns plays. Free of Spark."""

from __future__ import annotations

import codecs
import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from jobs.data.event_source import EventSource
from jobs.lib.contracts import Check
from jobs.lib.input_tables import Day, DayColumn
from jobs.lib.safe_paths import check_within
from jobs.lib.times import check_time_format
from jobs.lib.yaml_model import Strict

ROLE_NAMES = (
    "ds", "request_id", "user_id", "item_id", "event", "event_time", "value", "scene",
    "author", "title", "registration_time", "listing_time", "tags",
)  # fmt: skip

ROW_CHECKS = ("not_null", "range", "allowed_values", "regex")


def column_name(name: str) -> str:
    """The name that a column of a file has in the imported table: lower case letters, digits, single underscores."""
    plain = re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_")
    return plain if plain and not plain[0].isdigit() else f"c_{plain}"


def _named(columns: Any) -> Any:
    """A list of columns keeps their names; a mapping renames: {name in the table: column of the file}."""
    return {column_name(str(column)): column for column in columns} if isinstance(columns, list) else columns


Columns = Annotated[dict[str, str], BeforeValidator(_named)]
Format = Literal["csv", "jsonl", "parquet", "delta"]


class BehaviorRoles(Strict):
    user_id: str
    item_id: str | None = None
    event_time: str | None = None
    request_id: str | None = None
    value: str | None = None
    scene: str | None = None
    categorical: Columns = {}
    numerical: Columns = {}


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
    """One file, or several of one shape, and how they are written.

    file: a name within the folder, a pattern (`events/*.csv.gz`), or the folder of a Delta or Parquet table (with
    `format`). Gzip is known by the suffix .gz. Of csv only: delimiter, quote, header, columns, encoding.
    time_format: unix_s, unix_ms, iso, or strftime's directives, such as %Y-%m-%d %H:%M:%S; columns that hold times by
    their type need none. checks: rules of a single row; a row that breaks one is quarantined.
    """

    file: str
    format: Format | None = None  # default: by the suffix
    delimiter: str | None = Field(None, min_length=1, max_length=1)  # default: a tab for .tsv, else a comma
    quote: str | None = Field('"', max_length=1)
    header: bool | Literal["name:type"] = True  # name:type: RecBole's header, of which the name counts
    columns: list[str] = []  # where there is no header
    encoding: str = "utf-8"
    time_format: Annotated[str, AfterValidator(check_time_format)] = "unix_s"
    tag_separator: str = Field(",", min_length=1)
    first_tag: str | None = None  # also a categorical column of this name, holding the first tag
    checks: list[Check] = []

    @property
    def kind(self) -> Format:
        """csv stands for any delimited text."""
        if self.format:
            return self.format
        suffix = PurePosixPath(self.file.removesuffix(".gz")).suffix
        return {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet"}.get(suffix, "csv")

    @property
    def separator(self) -> str:
        return self.delimiter or ("\t" if ".tsv" in PurePosixPath(self.file).suffixes else ",")

    @field_validator("file")
    @classmethod
    def _stays_in_the_folder(cls, file: str) -> str:
        return check_within(file)

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str) -> str:
        try:
            found = codecs.lookup(encoding)
            "".encode(found.name)  # raises LookupError for what is no text encoding, such as zlib
            return found.name
        except LookupError:
            raise ValueError(f"{encoding!r} is not an encoding, for example utf-8, gb18030, latin-1") from None

    @model_validator(mode="after")
    def _checks_are_of_a_row(self) -> File:
        known = [*self.single_roles(), *self.attributes("categorical"), *self.attributes("numerical")]
        for check in self.checks:
            if check.kind not in ROW_CHECKS:
                raise ValueError(f"checks: {check.name!r} is of kind {check.kind}; of a row: {', '.join(ROW_CHECKS)}")
            for column in [*check.columns, *([check.column] if check.column else [])]:
                if column not in known:
                    raise ValueError(f"checks: {check.name!r}: no column {column!r}; there are: {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _columns_fit(self) -> File:
        if self.kind == "csv" and bool(self.columns) == bool(self.header):
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
            if name in ROLE_NAMES or own.count(name) > 1:
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

    def key_columns(self) -> list[str]:
        """The columns of ids and times, none of which spans lines."""
        roles = ("request_id", "user_id", "item_id", "event_time", "registration_time", "listing_time")
        return [column for role, column in self.single_roles().items() if role in roles]

    def used_columns(self) -> list[str]:
        """The columns of the file that are imported."""
        attributes = [*self.attributes("categorical").values(), *self.attributes("numerical").values()]
        return list(dict.fromkeys([*self.single_roles().values(), *attributes]))


class BehaviorFile(File):
    """day: all rows are of this day, for files without times. partition: the column of a partitioned table that tells
    the day, so that a span of days is read without the others."""

    roles: BehaviorRoles
    event: EventSource
    impressions: bool
    day: Day | None = None
    partition: DayColumn | None = None
    first_tag: None = None

    @model_validator(mode="after")
    def _event_fits(self) -> BehaviorFile:
        if (self.roles.item_id is None) == (self.event.impression_list is None):
            raise ValueError("roles.item_id is needed, except with event.impression_list, whose tokens are the items")
        if (self.roles.event_time is None) == (self.day is None):
            raise ValueError("give either roles.event_time, or `day` for a file without times")
        if self.event.exposure is not None and not self.impressions:
            raise ValueError("impressions: the events include exposures, so it must be true")
        if self.event.rating and self.event.exposure is None and self.impressions:
            raise ValueError("impressions: ratings without `exposure` are positives only, so it must be false")
        return self

    def key_columns(self) -> list[str]:
        return [*super().key_columns(), *([self.event.column] if self.event.column else [])]

    def used_columns(self) -> list[str]:
        return list(dict.fromkeys([*super().used_columns(), *self.event.columns()]))


class Snapshot(File):
    """as_of: the day that the file tells about (default: the day before the first behavior). max_age_days: a day that
    is further from it than this finds no snapshot (default: any age will do)."""

    as_of: Day | None = None
    max_age_days: int | None = Field(None, ge=1)


class ItemFile(Snapshot):
    roles: ItemRoles
    complete: bool = True  # false: items are shown that have no row here


class UserFile(Snapshot):
    roles: UserRoles


class Files(Strict):
    behavior: BehaviorFile
    item: ItemFile | None = None
    user: UserFile | None = None

    def by_kind(self) -> dict[str, File]:
        return {kind: spec for kind, spec in self if spec is not None}
