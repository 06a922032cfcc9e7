"""What the report shows, gathered by jobs/publish/figures.py, and how its sections look things up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jobs.diagnostics.figure import Figures as DataFigures


class Measured(NamedTuple):
    """A figure of the evaluation: its 95% interval where one is known, and the rows, users or items behind it."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0


Measures = dict[tuple[str, str, str, int], Measured]  # subject, slice ("": everything), measure, k
NOTHING = Measured(None)


@dataclass(frozen=True)
class Step:
    """One event of the day's funnel."""

    event: str
    count: int
    users: int


@dataclass(frozen=True)
class Recommended:
    """One line of a sample list. why: in words; sources: (recall, rank there)."""

    rank: int
    item_id: str
    title: str
    why: str
    sources: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Sample:
    """One user's list, and the newest items that this user acted on."""

    user_id: str
    acted_on: Sequence[str]
    items: Sequence[Recommended]


@dataclass(frozen=True)
class Head:
    """What the busiest items of the last days hold: shares of the recommendations, and of the target events."""

    percent: int
    items: int
    recommended: float
    acted_on: float


@dataclass(frozen=True)
class Figures:
    """All that the report shows. history: ds -> measures of all rows, oldest first, the day itself last."""

    scenario: str
    ds: str
    target: str
    users: int
    items: int
    catalog: int | None = None
    notes: Sequence[str] = ()
    funnel: Sequence[Step] = ()
    measures: Measures = field(default_factory=dict)
    history: Mapping[str, Measures] = field(default_factory=dict)
    sources: Sequence[tuple[str, int]] = ()  # recall, rows of the lists that it proposed
    list_rows: int = 0
    heads: Sequence[Head] = ()
    model: Sequence[tuple[str, str]] = ()  # label, shown value
    gate: Mapping[str, Any] = field(default_factory=dict)  # accepted, reason
    importance: Sequence[tuple[str, float]] = ()  # feature, share of gain
    tables: Sequence[tuple[str, str, int, str]] = ()  # table, ds, rows, warnings
    samples: Sequence[Sample] = ()
    data: DataFigures | None = None
    advice: Sequence[str] = ()

    def measured(self, subject: str, measure: str, k: int = 0, part: str = "") -> Measured:
        return self.measures.get((subject, part, measure, k), NOTHING)

    def value(self, subject: str, measure: str, k: int = 0, part: str = "") -> float | None:
        return self.measured(subject, measure, k, part).value

    @property
    def shown_k(self) -> int:
        """The K of tiles and plots: 10 where it was measured, else the smallest."""
        ks = {k for _, _, measure, k in self.measures if measure == "hit_rate"}
        return 10 if 10 in ks or not ks else min(ks)


def percent(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}%}"


def number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def with_interval(measured: Measured, digits: int = 3) -> str:
    """`0.731 (0.720 to 0.742)`; without the brackets where no interval is known."""
    if measured.value is None or measured.low is None or measured.high is None:
        return number(measured.value, digits)
    return f"{measured.value:.{digits}f} ({measured.low:.{digits}f} to {measured.high:.{digits}f})"


def day_shown(ds: str) -> str:
    return f"{ds[:4]}-{ds[4:6]}-{ds[6:]}"
