"""The report of a published day: one self-contained page that a product manager can read.

A pure function from figures to HTML: the same figures give the same bytes. No script, no font, no request leaves the
page; it follows the reader's light or dark setting. Sections: report_lists.py, report_ranking.py, report_history.py.
"""

from __future__ import annotations

from jobs.publish.data_section import data_section
from jobs.publish.page import bars, page, section, table, tile
from jobs.publish.report_figures import Figures, day_shown
from jobs.publish.report_history import history_section
from jobs.publish.report_lists import lists_section, samples_section, sources_section, tail_section
from jobs.publish.report_ranking import drift_section, model_section, ranking_section, slices_section


def report(figures: Figures) -> str:
    """The page as text."""
    title = f"{figures.scenario}: lists of {day_shown(figures.ds)}"
    parts = [_tiles(figures), _funnel(figures), history_section(figures), lists_section(figures)]
    parts += [sources_section(figures), tail_section(figures), ranking_section(figures), slices_section(figures)]
    parts += [model_section(figures), drift_section(figures), samples_section(figures), _data(figures)]
    parts += [_tables(figures)]
    return page(title, "Built from everything up to and including this day.", parts, figures.notes)


def _tiles(f: Figures) -> str:
    tiles = [
        tile(f"{f.users:,}", "users with a list", f"{f.list_rows / f.users:.1f} items each" if f.users else ""),
        tile(f"{f.items:,}", "items recommended", f"{f.items / f.catalog:.0%} of {f.catalog:,}" if f.catalog else ""),
    ]
    target = next((step for step in f.funnel if step.event == f.target), None)
    if target:
        first = f.funnel[0]
        rate = f"{target.count / first.count:.1%} of {first.event}" if first is not target and first.count else ""
        tiles.append(tile(f"{target.count:,}", f"{f.target} that day", rate))
    if (auc := f.value("ranking", "auc")) is not None:
        base = f.value("ranking:item_ctr", "auc")
        tiles.append(tile(f"{auc:.3f}", "ranking AUC", f"item CTR alone: {base:.3f}" if base is not None else ""))
    k = f.shown_k
    if (hit := f.value("list", "hit_rate", k)) is not None:
        base = f.value("popularity", "hit_rate", k)
        tiles.append(tile(f"{hit:.1%}", f"hit rate of top {k}", f"popularity: {base:.1%}" if base is not None else ""))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _funnel(f: Figures) -> str:
    if not f.funnel:
        return ""
    rows = []
    for before, step in zip([None, *f.funnel], f.funnel, strict=False):
        share = f" ({step.count / before.count:.1%} of {before.event})" if before and before.count else ""
        rows.append((step.event, float(step.count), f"{step.count:,} by {step.users:,} users{share}", False))
    return section("The day's events", "What users did on this day, in funnel order.", bars("Events", rows))


def _data(f: Figures) -> str:
    return "" if f.data is None else data_section(f.data, f.advice, f.target)


def _tables(f: Figures) -> str:
    rows = [[name, ds, f"{count:,}", warnings or "all hold"] for name, ds, count, warnings in f.tables]
    lead = "Every table behind this bundle, and the checks of severity `warn` that did not hold."
    return section("Tables", lead, table(["table", "ds", "rows", "checks"], rows, (3,))) if rows else ""
