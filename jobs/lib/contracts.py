"""Contracts: the columns, grain and checks that a table promises, read from schemas/<contract>.yaml."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from jobs.lib.checks import Check
from jobs.lib.errors import ContractError
from jobs.lib.settings import SCHEMAS
from jobs.lib.yaml_model import Strict, read_yaml, validated

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class ColumnSpec(Strict):
    """A column by `name`, or a family of columns by `pattern` (a regular expression for the whole name).

    `a|b` as type allows either: one family can hold numbers and strings.
    """

    name: str | None = None
    pattern: str | None = None
    type: str
    role: str | None = None
    comment: str
    optional: bool = False

    @model_validator(mode="after")
    def _name_or_pattern(self) -> ColumnSpec:
        if (self.name is None) == (self.pattern is None):
            raise ValueError("a column has either a name or a pattern")
        return self


class Contract(Strict):
    """What a table promises. Grain: the columns that identify a row."""

    table: str
    comment: str
    owner: str
    grain: list[str] = Field(min_length=1)
    partition: Literal["ds"] = "ds"
    columns: list[ColumnSpec] = Field(min_length=1)
    checks: list[Check] = []

    @model_validator(mode="after")
    def _check_names_are_unique(self) -> Contract:
        names = [check.name for check in self.checks]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"checks: the name {doubled[0]!r} is used twice")
        return self

    @property
    def content_id(self) -> str:
        """A hash of all that the contract says: its version in manifests and records."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def spec(self, column: str) -> ColumnSpec | None:
        """The entry that covers a column: by name first, else by pattern."""
        by_name = [spec for spec in self.columns if spec.name == column]
        by_pattern = [s for s in self.columns if s.pattern is not None and re.fullmatch(s.pattern, column)]
        return next(iter(by_name or by_pattern), None)


@cache
def load_contract(name: str) -> Contract:
    """Read schemas/<name>.yaml. Raises SolutionError naming the file and the path in it."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):  # records of partitions name contracts too
        raise ContractError(f"{name!r} is no name of a contract")
    file = SCHEMAS / f"{name}.yaml"
    return validated(Contract, read_yaml(file), file)


def conform(rows: DataFrame, contract: Contract, table: str) -> DataFrame:
    """The rows with exactly the contract's columns: ds last, the others in the contract's order.

    Raises ContractError naming each missing, undeclared or wrongly typed column. Types are not cast here: a job's
    closing select is what gives them.
    """
    types = {field.name: field.dataType.simpleString() for field in rows.schema.fields}
    named = [spec for spec in contract.columns if spec.name]
    problems = [
        f"column {s.name} is missing" for s in named if s.name not in types and not s.optional and s.name != "ds"
    ]
    if types.get("ds") != "string":
        problems.append(f"column ds is {types.get('ds', 'missing')}, the contract says string")
    for column, given in types.items():
        spec = contract.spec(column)
        if column == "ds":
            continue
        if spec is None:
            problems.append(f"column {column} is not in the contract")
        elif _plain(given) not in _plain(spec.type).split("|"):
            problems.append(f"column {column} is {given}, the contract says {spec.type}")
    if problems:
        raise ContractError(f"{table} does not match schemas/{contract.table}.yaml: {'; '.join(problems)}")
    first = [spec.name for spec in named if spec.name in types and spec.name != "ds"]
    families = [column for column in types if column not in first and column != "ds"]
    return rows.select(*first, *families, "ds")


def _plain(type_name: str) -> str:
    text = re.sub(r"\s+", "", type_name.lower())
    for given, plain in (("integer", "int"), ("long", "bigint"), ("bool", "boolean")):
        text = re.sub(rf"\b{given}\b", plain, text)
    return text
