"""`recflow diagnose`: a day's diagnostics as text. The figures are measured afresh, by the node's own job."""

from __future__ import annotations

from jobs.diagnostics.advice import advice, not_measured
from jobs.diagnostics.figure import Figures
from jobs.flow.running import run_node
from jobs.lib.solution import Solution
from jobs.publish.figures import data_of

FEATURES_SHOWN = 10


def diagnose(solution: Solution, days: list[str]) -> str:
    """Measure the days and say what was found. Raises MissingPartition naming the input table and ds that lacks."""
    run_node(solution, "diagnostics", days)
    return "\n\n".join(text(data_of(solution, ds), solution, ds) for ds in days)


def text(figures: Figures, solution: Solution, ds: str) -> str:
    """The tables and the advice."""
    parts = [
        _tables(figures),
        _columns(figures),
        _funnel(figures, solution),
        _window(figures, solution),
        _skew(figures),
    ]
    found = advice(figures, solution) or ["Nothing stands out."]
    parts.append("Advice\n" + "\n".join(f"  - {line}" for line in found))
    if waiting := not_measured(figures):
        parts.append("Not there yet\n" + "\n".join(f"  - {line}" for line in waiting))
    return f"{solution.scenario} ds={ds}\n\n" + "\n\n".join(part for part in parts if part)


def _tables(f: Figures) -> str:
    rows = [("Tables", "rows", "repeated", "the day's ids found", "events found", "new ids", "idle ids")]
    for subject in ("behavior", "user", "item"):
        counted = f.get("table", subject, "rows")
        if counted is None and f.get("cold", subject, "new_share") is None:
            continue
        keys = [("table", "duplicate_share"), ("join", "ids_found_share"), ("join", "events_found_share")]
        keys += [("cold", "new_share"), ("cold", "idle_share")]
        shares = [_percent(f.value(area, subject, measure)) for area, measure in keys]
        rows.append((subject, f"{counted.value:,.0f}" if counted else "no table", *shares))
    return aligned(rows)


def _columns(f: Figures) -> str:
    rows = [("Columns", "missing", "zero", "values", "")]
    for found in sorted(f.of("column", "missing_share"), key=lambda x: x.subject):
        distinct = f.value("column", found.subject, "distinct")
        rows.append(
            (
                found.subject,
                _percent(found.value),
                _percent(f.value("column", found.subject, "zero_share")),
                "" if distinct is None else f"{distinct:,.0f}",
                "dead" if f.value("column", found.subject, "is_constant") == 1.0 else "",
            )
        )
    return aligned(rows)


def _funnel(f: Figures, solution: Solution) -> str:
    rows = [("Events", "events", "users", "of the one before", "of a usual day")]
    for event in solution.events:
        counts = [f"{f.value('funnel', event, measure) or 0:,.0f}" for measure in ("events", "users")]
        shares = [_percent(f.value("funnel", event, measure)) for measure in ("rate", "of_usual_day")]
        rows.append((event, *counts, *shares))
    return aligned(rows)


def _window(f: Figures, solution: Solution) -> str:
    reached = sorted(f.of("window", "reached_share"), key=lambda x: int(x.subject.removesuffix("d")))
    rows = [(f"Active users with a {solution.target}", ""), *((x.subject, _percent(x.value)) for x in reached)]
    heads = [(f"Share of {solution.target}s", "items", "users")]
    for percent in (1, 10, 50):
        shares = [_percent(f.value("head", side, f"top_{percent}_percent")) for side in ("item", "user")]
        heads.append((f"top {percent}%", *shares))
    return aligned(rows) + "\n\n" + aligned(heads)


def _skew(f: Figures) -> str:
    found = f.of("skew", "psi")
    rows = [("Skew, training to scoring", "PSI", "shown on the day", "missing in training", "in scoring", "gain")]
    for figure in found[:FEATURES_SHOWN]:
        shown = f.value("skew", figure.subject, "psi_shown")
        others = [_percent(f.value("skew", figure.subject, m)) for m in ("missing_training", "missing_scoring", "gain")]
        rows.append((figure.subject, f"{figure.value:.3f}", "" if shown is None else f"{shown:.3f}", *others))
    return aligned(rows) if found else ""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def aligned(rows: list[tuple[str, ...]]) -> str:
    """The first column to the left, figures to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join(line.rstrip() for line in lines)
