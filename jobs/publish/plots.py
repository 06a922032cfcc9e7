"""Lines over days and agreement of two rates, as inline SVG. Pure functions from values to text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from jobs.lib.days import add_days, day_number
from jobs.publish.report_figures import Measured, day_shown

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 760, 230, 56, 10, 26
LABELS = 205  # room for the names at the right
LEAST_GAP = 15  # between names, vertically
COLOURS = 4

Point = tuple[float, float, float | None, float | None]  # predicted, observed, and its interval


@dataclass(frozen=True)
class Series:
    """One line: ds -> figure. is_reference: what the others are compared with, drawn dashed."""

    name: str
    points: Mapping[str, Measured]
    is_reference: bool = False

    @property
    def last(self) -> Measured:
        return self.points[max(self.points)]

    def shown(self, form: str) -> str:
        return f"{self.name} {form.format(self.last.value)}"


def lines(caption: str, series: Sequence[Series], form: str) -> str:
    """A line a series over the days from the first to the last; form: how a value is written, such as "{:.1%}".

    The first series has its interval shaded. Nothing where there are fewer than two days.
    """
    days = sorted({ds for one in series for ds in one.points})
    if len(days) < 2:
        return ""
    first, span = day_number(days[0]), day_number(days[-1]) - day_number(days[0])
    ticks = _ticks(*_range(series))
    low, high = ticks[0], ticks[-1]
    right, bottom = WIDTH - LABELS, HEIGHT - BOTTOM

    def x(ds: str) -> float:
        return LEFT + (day_number(ds) - first) / span * (right - LEFT)

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - TOP)

    parts = [_grid(ticks, y, right, form)]
    parts += [_text("soft", x(days[0]), HEIGHT - 7, day_shown(days[0]), "start")]
    parts += [_text("soft", right, HEIGHT - 7, day_shown(days[-1]), "end")]
    places = _apart([(y(one.last.value), n) for n, one in enumerate(series)], TOP + 4, bottom)
    colours = iter(range(len(series)))
    for n, one in enumerate(series):
        kind = "ref" if one.is_reference else f"c{next(colours) % COLOURS}"
        shown = [(x(ds), one.points[ds], ds) for ds in sorted(one.points)]
        parts += [_stretch(stretch, y, kind, is_banded=n == 0) for stretch in _stretches(shown)]
        for at, measured, ds in shown:
            parts.append(
                _dot(kind, at, y(measured.value), 2.6, f"{one.name}, {day_shown(ds)}: {form.format(measured.value)}")
            )
        parts.append(_text(kind, right + 8, places[n] + 4, one.shown(form), "start"))
    return _figure(caption, WIDTH, HEIGHT, "; ".join(one.shown(form) for one in series), parts)


def agreement(caption: str, points: Sequence[Point], across: str, up: str) -> str:
    """Points about the diagonal, on which predicted and observed are the same."""
    right, left, bottom = 380, LEFT, 282
    ticks = _ticks(0.0, max(end for x, y, _, high in points for end in (x, y, high or 0.0)) or 1.0)
    most = ticks[-1]

    def at_x(value: float) -> float:
        return left + value / most * (right - left)

    def at_y(value: float) -> float:
        return bottom - value / most * (bottom - TOP)

    parts = [_grid(ticks, at_y, right, "{:.1%}")]
    parts += [_text("soft", at_x(tick), bottom + 18, f"{tick:.1%}", "middle") for tick in ticks[1:]]
    parts.append(f'<path class="ref" d="M{at_x(0):.1f} {at_y(0):.1f}L{at_x(most):.1f} {at_y(most):.1f}"/>')
    for x, y, low, high in points:
        if low is not None and high is not None:
            parts.append(f'<path class="c0" d="M{at_x(x):.1f} {at_y(low):.1f}V{at_y(high):.1f}"/>')
        parts.append(_dot("c0", at_x(x), at_y(y), 4, f"{across} {x:.2%}, {up} {y:.2%}"))
    parts.append(_text("soft", left, bottom + 38, f"across: {across}; up: {up}", "start"))
    told = "; ".join(f"{x:.2%} predicted, {y:.2%} observed" for x, y, *_ in points)
    return _figure(caption, right + 24, bottom + 46, told, parts, "square")


def _figure(caption: str, width: int, height: int, told: str, parts: list[str], kind: str = "wide") -> str:
    box = f'class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(told)}"'
    return f"<figure><figcaption>{escape(caption)}</figcaption><svg {box}>{''.join(parts)}</svg></figure>"


def _text(kind: str, x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _dot(kind: str, x: float, y: float, radius: float, told: str) -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"><title>{escape(told)}</title></circle>'


def _grid(ticks: Sequence[float], y, right: float, form: str) -> str:
    return "".join(
        f'<path class="grid" d="M{LEFT} {y(tick):.1f}H{right}"/>'
        f'<text class="soft" x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{form.format(tick)}</text>'
        for tick in ticks
    )


def _range(series: Sequence[Series]) -> tuple[float, float]:
    """Of the values, and of the interval of the first series, which is the one that is drawn."""
    values = [m.value for one in series for m in one.points.values()]
    values += [end for m in series[0].points.values() for end in (m.low, m.high) if end is not None]
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.01, high + 0.01)


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round values that hold the range."""
    step = 10 ** math.floor(math.log10((high - low) / 3))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (step * m) <= 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 10) for n in range(first, last + 1)]


def _stretches(shown: Sequence[tuple[float, Measured, str]]) -> list[list[tuple[float, Measured, str]]]:
    """Days in a row: a line does not bridge days without a figure."""
    found: list[list] = []
    for point in shown:
        if not found or add_days(found[-1][-1][2], 1) != point[2]:
            found.append([])
        found[-1].append(point)
    return found


def _stretch(points: Sequence[tuple[float, Measured, str]], y, kind: str, is_banded: bool) -> str:
    path = "L".join(f"{at:.1f} {y(m.value):.1f}" for at, m, _ in points)
    drawn = f'<path class="{kind}" d="M{path}"/>'
    if is_banded and all(m.low is not None and m.high is not None for _, m, _ in points):
        edge = [f"{at:.1f} {y(m.high):.1f}" for at, m, _ in points]
        edge += [f"{at:.1f} {y(m.low):.1f}" for at, m, _ in reversed(points)]
        drawn = f'<path class="band" d="M{"L".join(edge)}Z"/>{drawn}'
    return drawn


def _apart(ends: Sequence[tuple[float, int]], top: float, bottom: float) -> dict[int, float]:
    """Where names go: beside the ends of their lines, but not on each other."""
    places, before = {}, top - LEAST_GAP
    for at, n in sorted(ends):
        before = places[n] = max(at, before + LEAST_GAP)
    overhang = max(0.0, before - bottom)
    return {n: at - overhang for n, at in places.items()}
