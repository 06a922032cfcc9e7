"""The operators of `ranking.features`: what a model sees beside window statistics and snapshot columns. Free of Spark.

A line is one operator; jobs/ranking/pair_columns.py computes them all, for training samples, for the daily lists and
from a published bundle. `columns` names what a line adds: numbers, or text for native XGBoost categories.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from jobs.lib.yaml_model import Strict

Column = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]


class Operator(Strict):
    """A line of `ranking.features`."""

    op: str

    @property
    def numbers(self) -> list[str]:
        return []

    @property
    def texts(self) -> list[str]:
        return []

    @property
    def recall(self) -> str | None:
        """The recall line whose table is read."""
        return getattr(self, "of", None) if isinstance(self, Similarity | RecallScore) else None


class Id(Operator):
    """An id, or any other text, as a category; of the training rows' values those with min_count rows are known."""

    op: Literal["id"]
    of: Literal["user_id", "item_id", "author"]
    min_count: int = Field(50, ge=1)

    @property
    def texts(self) -> list[str]:
        return [f"id__{self.of}"]


class Raw(Operator):
    """A number in another form: sign(x) ln(1 + |x|), the training rows' z-score, or its bucket: how many of the bounds
    lie below it (a value equal to a bound stays in the lower bucket)."""

    op: Literal["raw"]
    of: Column
    transform: Literal["log", "z_score", "bucket"]
    bounds: list[Annotated[float, Field(allow_inf_nan=False)]] = []

    @model_validator(mode="after")
    def _bounds_are_those_of_buckets(self) -> Raw:
        if (self.transform == "bucket") != bool(self.bounds):
            raise ValueError("bounds: given with transform bucket, and only there")
        if self.bounds != sorted(set(self.bounds)):
            raise ValueError("bounds: must rise from one to the next")
        return self

    @property
    def numbers(self) -> list[str]:
        return [f"raw__{self.of}_{self.transform}"]


class Combo(Operator):
    """The cross of two text columns as a category, missing where either is; known are those with min_count rows."""

    op: Literal["combo"]
    of: tuple[Column, Column]
    min_count: int = Field(50, ge=1)

    @property
    def texts(self) -> list[str]:
        return [f"combo__{self.of[0]}_x_{self.of[1]}"]


class Lookup(Operator):
    """The user's own figures at the item's value of an attribute of `features.preference`; the mean over the values
    where there are several (tags, words of the title).

    cnt, share: of the preference event; with `preference.rates` also seen (impressions), rate = (cnt + w0 * own) /
    (seen + w0), own = the user's rate over the longest window, and lift = rate - own.
    """

    op: Literal["lookup"]
    of: Column
    stats: list[Literal["cnt", "share", "seen", "rate", "lift"]] = Field(["cnt", "share"], min_length=1)
    smoothing: float = Field(5.0, gt=0)

    @property
    def numbers(self) -> list[str]:
        return [f"cross__{self.of}_{stat}" for stat in self.stats]


class Match(Operator):
    """1 where a value of the item is among the user's `top` most frequent ones of that attribute, else 0."""

    op: Literal["match"]
    of: Column
    top: int = Field(3, ge=1, le=100)

    @property
    def numbers(self) -> list[str]:
        return [f"cross__{self.of}_match"]


class TagOverlap(Operator):
    """Tags that the user declares and the item has in an attribute: how many, and as a share of all of both."""

    op: Literal["tag_overlap"]
    of: Column = "tags"

    @property
    def numbers(self) -> list[str]:
        return [f"cross__tags_{self.of}_{stat}" for stat in ("overlap", "jaccard")]


class TextOverlap(Operator):
    """The share of the title's words that stand in the titles of the user's last items."""

    op: Literal["text_overlap"]
    last: int = Field(10, ge=1, le=100)

    @property
    def numbers(self) -> list[str]:
        return [f"cross__title_overlap_last{self.last}"]


class DaysSince(Operator):
    """Days from the local day of a unix second, a numerical column of the user or item table, to the feature day."""

    op: Literal["days_since"]
    of: Column  # user__<column> or item__<column>

    @property
    def numbers(self) -> list[str]:
        return [f"{self.of}_days_since"]


class History(Operator):
    """Days since the user's last event with this very item; missing where there is none among the recent ones."""

    op: Literal["history"]

    @property
    def numbers(self) -> list[str]:
        return ["cross__item_days_since"]


class Listed(Operator):
    """An operator that reads a recall's table. every_days: of which days its lists are used: those so many days apart,
    Sundays for 7; the newest up to the feature day counts."""

    of: Column
    every_days: int = Field(7, ge=1, le=60)


class Similarity(Listed):
    """How similar the item is to the user's last ones by an item-to-item recall: the best, the sum, and the sum over
    how many last ones there are."""

    op: Literal["similarity"]
    last: int = Field(10, ge=1, le=100)
    stats: list[Literal["max", "sum", "mean"]] = Field(["max", "sum"], min_length=1)

    @property
    def numbers(self) -> list[str]:
        return [f"cross__{self.of}_{stat}_last{self.last}" for stat in self.stats]


class RecallScore(Listed):
    """The item's score in a recall's list for the user, or for everyone; missing where it is not listed."""

    op: Literal["recall_score"]

    @property
    def numbers(self) -> list[str]:
        return [f"cross__{self.of}_score"]


AnyOperator = Annotated[
    Id | Raw | Combo | Lookup | Match | TagOverlap | TextOverlap | DaysSince | History | Similarity | RecallScore,
    Field(discriminator="op"),
]
