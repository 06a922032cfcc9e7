"""Checks: the named rules of a contract, and the limits at which each of them turns orange or red."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import Field, model_validator

from jobs.lib.check_expression import checked
from jobs.lib.yaml_model import Strict, Zone

Share = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?%$")]
Limit = Annotated[float, Field(ge=0)] | Share

COUNTING = ("unique", "not_null", "range", "allowed_values", "regex", "expression", "referential", "event_order")
CHANGES = ("volume_change", "distribution_change")


class Reference(Strict):
    """Where the values of a column must be found: a table (contracts of inputs: item or user) and its column."""

    table: str
    column: str


class Check(Strict):
    """A named rule. `fail` and red blocks the write and everything downstream; orange or `warn` is shown, no more.

    A value above `orange` or `red` has that level. What the value is, by kind:
        unique, not_null, range, allowed_values, regex, expression   offending rows, or as `1%` their share of the rows
        referential       rows whose `column`, where it has a value, is not in `references`
        event_order       keys (`columns`) with an event that has no `first` event at or before it, of keys with events
        row_count         the rows; red outside min..max, orange outside orange_min..orange_max
        freshness         with `column` (unix s): hours from the newest time to the end of ds in `timezone`; without:
                          days from the snapshot that was read to ds
        volume_change     rows against the mean of the last `days` days, as `30%` up or down
        distribution_change   population stability index of `column` against the last `days` days (0.1 is some change,
                          0.25 a large one); buckets: `bins` of a number, `values` of a string, else by hash

    Counting kinds without limits are red from the first offending row.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)
    kind: Literal[
        "unique", "not_null", "range", "allowed_values", "regex", "expression", "referential", "event_order",
        "row_count", "freshness", "volume_change", "distribution_change",
    ]  # fmt: skip
    severity: Literal["fail", "warn"]
    columns: list[str] = []
    column: str | None = None
    min: float | None = None
    max: float | None = None
    orange_min: float | None = None
    orange_max: float | None = None
    values: list[str | int | float | bool] = []
    pattern: str | None = None
    expression: str | None = None
    references: Reference | None = None
    time: str | None = None
    first: str | None = None
    bins: list[float] = []
    days: int | None = Field(None, ge=1, le=60)
    timezone: Zone = "UTC"
    orange: Limit | None = None
    red: Limit | None = None

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Check:
        limited = self.orange is not None or self.red is not None
        bounds = (self.min, self.max, self.orange_min, self.orange_max)
        needed = {
            "unique": bool(self.columns),
            "not_null": bool(self.columns),
            "range": self.column is not None and (self.min is not None or self.max is not None),
            "allowed_values": self.column is not None and bool(self.values),
            "regex": self.column is not None and self.pattern is not None,
            "expression": self.expression is not None,
            "referential": self.column is not None and self.references is not None,
            "event_order": bool(self.columns and self.column and self.time and self.first),
            "row_count": any(bound is not None for bound in bounds),
            "freshness": limited,
            "volume_change": self.days is not None and limited,
            "distribution_change": self.column is not None and self.days is not None and limited,
        }
        if not needed[self.kind]:
            raise ValueError(f"check {self.name!r} of kind {self.kind} lacks the keys it is about")
        try:
            checked(self.expression or "")
        except ValueError as error:
            raise ValueError(f"check {self.name!r}: expression: {error}") from None
        return self

    @model_validator(mode="after")
    def _limits_fit(self) -> Check:
        given = [limit for limit in (self.orange, self.red) if limit is not None]
        if self.kind == "row_count" and given:
            raise ValueError(
                f"check {self.name!r}: row_count has min, max, orange_min and orange_max, not orange or red"
            )
        shares = {isinstance(limit, str) for limit in given}
        if len(shares) == 2:
            raise ValueError(f"check {self.name!r}: orange and red are both shares (1%) or both numbers")
        allowed = {"volume_change": {True}, "distribution_change": {False}, "freshness": {False}}
        if shares and not shares <= allowed.get(self.kind, {True, False}):
            wanted = "a share, such as 30%" if self.kind == "volume_change" else "a number, not a share"
            raise ValueError(f"check {self.name!r}: a limit of {self.kind} is {wanted}")
        if len(given) == 2 and number(given[0]) > number(given[1]):
            raise ValueError(f"check {self.name!r}: orange is above red")
        if self.bins != sorted(self.bins):
            raise ValueError(f"check {self.name!r}: bins must ascend")
        return self

    @property
    def by_share(self) -> bool:
        """Are the limits shares?"""
        return isinstance(self.orange, str) or isinstance(self.red, str)

    def bounds(self, level: str) -> tuple[float | None, float | None] | None:
        """The smallest and the largest value that is not yet orange or red; None: there is no such level."""
        if self.kind == "row_count":
            bounds = (self.min, self.max) if level == "red" else (self.orange_min, self.orange_max)
            return None if bounds == (None, None) else bounds
        limit = self.red if level == "red" else self.orange
        if limit is None and level == "red" and self.kind in COUNTING and self.orange is None:
            limit = 0.0
        return None if limit is None else (None, number(limit))

    @property
    def limits(self) -> dict[str, tuple[float | None, float | None]]:
        """The bounds of the levels that the check has."""
        return {level: bounds for level in ("orange", "red") if (bounds := self.bounds(level)) is not None}

    def limit_text(self, level: str) -> str | None:
        """A limit as a reader wants it: `> 1%`, `< 1`, or None."""
        if (bounds := self.bounds(level)) is None:
            return None
        low, high = bounds
        if self.by_share:
            return f"> {self.red if level == 'red' else self.orange}"
        return " or ".join(f"{sign} {bound:g}" for sign, bound in (("<", low), (">", high)) if bound is not None)

    @property
    def histogram_id(self) -> str:
        """Names a histogram by what it counts: after a change of buckets, earlier days are no history."""
        said = repr((self.column, self.bins, self.values))
        return f"{self.column}:{hashlib.sha256(said.encode()).hexdigest()[:8]}"


def number(limit: float | str) -> float:
    return float(limit.removesuffix("%")) / 100 if isinstance(limit, str) else limit
