"""Parameters of features, recalls and publishing, as the solution file gives them. Free of Spark.

Those of ranking stand in jobs/lib/ranking_params.py.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from jobs.lib.list_params import Filter, Rerank
from jobs.lib.yaml_model import Strict

if TYPE_CHECKING:
    from jobs.lib.solution import Solution

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]


class Preference(Strict):
    """The user's own most frequent item attributes, counted over one window."""

    event: str | None = None  # default: the target
    window: int = Field(15, ge=1, le=400)
    top: int = Field(10, ge=1, le=1000)
    attributes: list[str] | None = None  # default: the item table's categorical columns and author
    rates: bool = False  # are impressions counted too?
    recent: int = Field(0, ge=0, le=200)  # how many of the user's last items are kept


class Biases(Strict):
    """What users and items add to the rate of the target, over one window; see jobs/features/biases.py."""

    window: int = Field(ge=1, le=400)
    user_smoothing: float = Field(10.0, gt=0)
    item_smoothing: float = Field(5.0, gt=0)


class Features(Strict):
    windows: list[Annotated[int, Field(ge=1, le=400)]] = Field([3, 7, 15], min_length=1)
    events: list[str] = []  # default: every event
    value_events: list[str] = []  # default: the target, where the table has a value column
    smoothing: float = Field(10.0, gt=0)
    preference: Preference = Preference()
    biases: Biases | None = None


class RecallParams(Strict):
    """One line under `recalls:`. Job files add their own parameters; `source` names another line as input."""

    name: Name
    job: Name
    source: Name | None = None
    fusion_weight: float = Field(1.0, ge=0, le=1_000)  # in the candidates: what the best item of a list counts
    quota: int = Field(0, ge=0, le=10_000)  # of a user's candidates, kept for this personal recall's best

    @property
    def events_named(self) -> list[str]:
        """Events that the line refers to; each must be declared."""
        return []

    def problem_in(self, solution: Solution) -> str | None:
        """What keeps the line from working in a solution, in words, or None."""
        return None

    @property
    def reach_days(self) -> int:
        """The days up to ds that the recall reads: the longest of its parameters that end in `_days`."""
        return max((int(v) for k, v in self.model_dump().items() if k.endswith("_days") and v is not None), default=1)

    @property
    def is_personal(self) -> bool:
        """Does it list items for single users, or for groups of them?"""
        return self.module.CONTRACT == "recall_u2i" or hasattr(self.module, "for_users")

    @property
    def module(self) -> Any:
        """The job file: its CONTRACT is the kind of table it makes, its SOURCE_CONTRACT the kind it needs as source."""
        return importlib.import_module(f"jobs.recall.{self.job}")


class Fusion(Strict):
    """How recalls are blended into candidates: by the `fusion_weight` of each line, or by weights learned every day."""

    method: Literal["fixed", "learned"] = "fixed"


class Cadence(Strict):
    """How often a node runs that need not run every day: every so many days, counted so that weekly is on Sundays.

    A day on which it is not due still has it run when nothing it made is younger than that.
    """

    rank_model: int = Field(7, ge=1, le=60)


class Publish(Strict):
    candidates: int = Field(500, ge=1, le=10_000)
    top_n: int = Field(20, ge=1, le=1000)
    active_days: int = Field(30, ge=1, le=400)
    exclude_seen: bool = True
    seen_days: int = Field(30, ge=1, le=400)
    fallback: Name | None = "hot_fallback"
    filters: list[Filter] = []
    rerank: Rerank = Rerank()

    @property
    def has_filters(self) -> bool:
        return bool(self.filters or self.rerank.banned)
