"""A measured figure of a day's data, and looking figures up. Free of Spark: the report and the terminal use it too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Figure(NamedTuple):
    """One measure of one subject. `n`: the rows, ids or events that the value is about; None where it is undefined."""

    area: str
    subject: str
    measure: str
    value: float | None
    n: int


class Figures:
    """The figures of one day by area, subject and measure."""

    def __init__(self, figures: Iterable[Figure]) -> None:
        self._by_key = {figure[:3]: figure for figure in figures}

    def get(self, area: str, subject: str, measure: str) -> Figure | None:
        """The figure, or None when it was not measured or is undefined."""
        found = self._by_key.get((area, subject, measure))
        return None if found is None or found.value is None else found

    def value(self, area: str, subject: str, measure: str) -> float | None:
        found = self.get(area, subject, measure)
        return None if found is None else found.value

    def of(self, area: str, measure: str) -> list[Figure]:
        """The figures of all subjects, largest value first, equal ones by subject."""
        found = [f for f in self._by_key.values() if f.area == area and f.measure == measure and f.value is not None]
        return sorted(found, key=lambda f: (-(f.value or 0.0), f.subject))

    def has(self, area: str) -> bool:
        return any(key[0] == area for key in self._by_key)


def share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
