"""The report of a published day: one self-contained page that a product manager can read.

A pure function from figures to HTML: the same figures give the same bytes. No script, no font, no request leaves the
page; it follows the reader's light or dark setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from jobs.diagnostics.figure import Figures as DataFigures
from jobs.publish.data_section import data_section
from jobs.publish.page import bars, page, section, table, tile

Measures = dict[tuple[str, str, int], tuple[float | None, int]]

RANKING_MEASURES = (("auc", "AUC"), ("gauc", "GAUC"), ("log_loss", "Log-loss"), ("ne", "NE"))
RANKING_NAMES = {"ranking": "Ranking model", "ranking:item_ctr": "Item CTR alone"}
LIST_MEASURES = (("hit_rate", "Hit rate"), ("recall", "Recall"), ("ndcg", "NDCG"))
LIST_NAMES = {"list": "Published list", "popularity": "Popularity (reference)"}


@dataclass(frozen=True)
class Step:
    """One event of the day's funnel."""

    event: str
    count: int
    users: int


@dataclass(frozen=True)
class Recommended:
    """One line of a sample list. sources: (recall, rank there)."""

    rank: int
    item_id: str
    title: str
    score: float
    sources: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Sample:
    """One user's list, and the newest items that this user acted on."""

    user_id: str
    acted_on: Sequence[str]
    items: Sequence[Recommended]


@dataclass(frozen=True)
class Figures:
    """All that the report shows. measures: (subject, measure, k) -> (value, users or rows behind it)."""

    scenario: str
    ds: str
    target: str
    users: int
    items: int
    catalog: int | None = None
    notes: Sequence[str] = ()
    funnel: Sequence[Step] = ()
    measures: Measures = field(default_factory=dict)
    sources: Sequence[tuple[str, int]] = ()  # recall, rows of the lists that it proposed
    list_rows: int = 0
    model: Sequence[tuple[str, str]] = ()  # label, shown value
    importance: Sequence[tuple[str, float]] = ()  # feature, share of gain
    tables: Sequence[tuple[str, str, int, str]] = ()  # table, ds, rows, warnings
    samples: Sequence[Sample] = ()
    data: DataFigures | None = None
    advice: Sequence[str] = ()


def report(figures: Figures) -> str:
    """The page as text."""
    day = f"{figures.ds[:4]}-{figures.ds[4:6]}-{figures.ds[6:]}"
    title = f"{figures.scenario}: lists of {day}"
    parts = [_tiles(figures), _funnel(figures), _data(figures), _lists(figures), _ranking(figures), _sources(figures)]
    parts += [_model(figures), _samples(figures), _tables(figures)]
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
    if (auc := _value(f, "ranking", "auc", 0)) is not None:
        base = _value(f, "ranking:item_ctr", "auc", 0)
        tiles.append(tile(f"{auc:.3f}", "ranking AUC", f"item CTR alone: {base:.3f}" if base is not None else ""))
    k = _shown_k(f)
    if (hit := _value(f, "list", "hit_rate", k)) is not None:
        base = _value(f, "popularity", "hit_rate", k)
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


def _lists(f: Figures) -> str:
    """Recalls and the final list, beside popularity."""
    title = "Do the lists hit?"
    lead = (
        f"The lists of the day before, judged by this day's {f.target}s. Hit rate @K: the share of users with at least "
        f"one {f.target} on something in their first K. Popularity is the same top list for everyone: a recall that "
        "stays below it adds little by itself."
    )
    subjects = sorted({s for s, m, _ in f.measures if s in LIST_NAMES or s.startswith("recall:")}, key=_list_order)
    if not subjects:
        return section(title, lead, "<p>Nothing to judge yet: the day before has no lists.</p>")
    k = _shown_k(f)
    hits = [(s, _value(f, s, "hit_rate", k)) for s in subjects]
    drawn = [(_list_name(s), v, f"{v:.1%}", s == "popularity") for s, v in hits if v is not None]
    ks = sorted({k for s, m, k in f.measures if s in subjects and m in dict(LIST_MEASURES)})
    wanted = [(m, f"{name} @{k}", k) for m, name in LIST_MEASURES for k in ks]
    wanted += [("coverage", "Coverage" + (f" @{k}" if k else ""), k) for k in _ks(f, subjects, "coverage")]
    rows = [[_list_name(s), *[_percent(_value(f, s, m, k)) for m, _, k in wanted], _users(f, s)] for s in subjects]
    heads = ["", *[name for _, name, _ in wanted], "users judged"]
    return section(title, lead, bars(f"Hit rate @{k}", drawn), table(heads, rows))


def _ranking(f: Figures) -> str:
    title = "Is the order right?"
    lead = (
        f"The model of the day before, scoring what was shown on this day. AUC: the chance that a {f.target} is ranked "
        "above what was passed over (0.5 is a coin, 1 is perfect); GAUC: the same within each user. Log-loss and NE "
        "judge the predicted rates: lower is better, and an NE of 1 is no better than always saying the average."
    )
    rows = []
    for subject, name in RANKING_NAMES.items():
        values = [_value(f, subject, measure, 0) for measure, _ in RANKING_MEASURES]
        if any(value is not None for value in values):
            rows.append([name, *[_number(value) for value in values], _users(f, subject, "auc")])
    if not rows:
        return section(title, lead, "<p>Nothing to judge yet: no model had scored this day.</p>")
    shown = table(["", *[name for _, name in RANKING_MEASURES], "rows judged"], rows)
    chance = _value(f, "ranking", "null_auc_se", 0)
    note = f'<p class="soft">By chance alone, AUC would lie within 0.5 ± {3 * chance:.4f}.</p>' if chance else ""
    return section(title, lead, shown, note)


def _sources(f: Figures) -> str:
    if not f.sources or not f.list_rows:
        return ""
    rows = [(name, float(n), f"{n / f.list_rows:.1%}", False) for name, n in f.sources]
    lead = "Which recalls proposed what is on the lists. An item can come from several, so shares may exceed 100%."
    return section("Where recommendations come from", lead, bars("Share of recommendations", rows))


def _model(f: Figures) -> str:
    if not f.model:
        return ""
    drawn = [(name, share, f"{share:.1%}", False) for name, share in f.importance]
    plot = bars("What the model looks at most: share of gain by feature", drawn) if drawn else ""
    return section("The model", "What ordered these lists.", table(["", ""], f.model, (1,)), plot)


def _samples(f: Figures) -> str:
    if not f.samples:
        return ""
    cards = []
    for sample in f.samples:
        rows = [[str(i.rank), i.title or i.item_id, f"{i.score:.4f}", _why(i)] for i in sample.items]
        acted_on = f"Lately: {', '.join(sample.acted_on)}" if sample.acted_on else "Nothing lately."
        shown = table(["", "item", "score", "proposed by (rank there)"], rows, (1, 3))
        cards.append(f'<div><h3>User {escape(sample.user_id)}</h3><p class="soft">{escape(acted_on)}</p>{shown}</div>')
    lead = "Five users, chosen by a hash of their id: who they are does not change from day to day by accident."
    return section("Sample lists", lead, f'<div class="lists">{"".join(cards)}</div>')


def _tables(f: Figures) -> str:
    rows = [[name, ds, f"{count:,}", warnings or "all hold"] for name, ds, count, warnings in f.tables]
    lead = "Every table behind this bundle, and the checks of severity `warn` that did not hold."
    return section("Tables", lead, table(["table", "ds", "rows", "checks"], rows, (3,))) if rows else ""


def _value(f: Figures, subject: str, measure: str, k: int) -> float | None:
    return f.measures.get((subject, measure, k), (None, 0))[0]


def _users(f: Figures, subject: str, measure: str = "hit_rate") -> str:
    counts = [n for (s, m, _), (_, n) in f.measures.items() if s == subject and m == measure]
    return f"{max(counts):,}" if counts else ""


def _ks(f: Figures, subjects: Sequence[str], measure: str) -> list[int]:
    return sorted({k for s, m, k in f.measures if s in subjects and m == measure})


def _shown_k(f: Figures) -> int:
    """The K of tiles and plots: 10 where it was measured, else the smallest."""
    ks = {k for s, m, k in f.measures if m == "hit_rate"}
    return 10 if 10 in ks or not ks else min(ks)


def _list_order(subject: str) -> tuple[int, str]:
    return (0 if subject == "list" else 2 if subject == "popularity" else 1, subject)


def _list_name(subject: str) -> str:
    return LIST_NAMES.get(subject) or subject.removeprefix("recall:")


def _why(item: Recommended) -> str:
    return ", ".join(f"{recall} ({rank})" for recall, rank in item.sources)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
