"""The report's section about the data behind the lists: what stands out, and three pictures of it. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from jobs.diagnostics.figure import Figures
from jobs.diagnostics.window_figures import HEADS
from jobs.publish.page import bars, section, table

COLUMNS_DRAWN, FEATURES_DRAWN = 10, 6


def data_section(figures: Figures, advice: Sequence[str], target: str) -> str:
    """advice: from jobs.diagnostics.advice, of the same figures."""
    lead = "The tables of the day before anything is computed from them, and what they mean for the lists."
    found = "".join(f"<li>{escape(line)}</li>" for line in advice)
    said = f"<ul>{found}</ul>" if found else "<p>Nothing stands out.</p>"
    plots = (_missing(figures), _heads(figures, target), _windows(figures, target), _skew(figures))
    return section("The data", lead, said, _joins(figures), *filter(None, plots))


def _joins(f: Figures) -> str:
    """How much of the day's behavior finds its user and item, and how much of it is about new ones."""
    keys = (("join", "ids_found_share"), ("join", "events_found_share"), ("cold", "new_share"), ("cold", "idle_share"))
    rows = []
    for side in ("user", "item"):
        shares = [f.value(area, side, measure) for area, measure in keys]
        if any(share is not None for share in shares):
            rows.append([f"{side}s", *["–" if share is None else f"{share:.1%}" for share in shares]])
    heads = ["", "active ids in the table", "events that find theirs", "new that day", "in the table, but idle"]
    return table(heads, rows) if rows else ""


def _missing(f: Figures) -> str:
    found = [x for x in f.of("column", "missing_share") if x.value][:COLUMNS_DRAWN]
    rows = [(x.subject, x.value, f"{x.value:.1%}", False) for x in found]
    return bars("Missing values by column", rows) if rows else ""


def _heads(f: Figures, target: str) -> str:
    """Beside what an even spread would give."""
    rows = []
    for percent in HEADS:
        if (held := f.value("head", "item", f"top_{percent}_percent")) is not None:
            rows.append((f"top {percent}% of items", held, f"{held:.1%}", False))
            rows.append(("if all were alike", percent / 100, f"{percent}%", True))
    return bars(f"Head-heaviness: share of the {target}s that the busiest items hold", rows) if rows else ""


def _windows(f: Figures, target: str) -> str:
    reached = sorted(f.of("window", "reached_share"), key=lambda x: int(x.subject.removesuffix("d")))
    rows = [(f"{x.subject.removesuffix('d')} days", x.value, f"{x.value:.1%}", False) for x in reached]
    return bars(f"How far a window reaches: active users with a {target} in the last …", rows) if rows else ""


def _skew(f: Figures) -> str:
    """The features that lead the model, by how differently they are distributed."""
    leading = f.of("skew", "gain")[:FEATURES_DRAWN]
    rows = []
    for feature in leading:
        scored, shown = (f.value("skew", feature.subject, measure) for measure in ("psi", "psi_shown"))
        if scored is not None:
            rows.append((feature.subject, scored, f"{scored:.2f}", False))
            if shown is not None:
                rows.append(("what was shown that day", shown, f"{shown:.2f}", True))
    caption = (
        "Skew of the features that lead the model: PSI of what it scores against what it learned from (0.25: unlike)"
    )
    return bars(caption, rows) if rows else ""
