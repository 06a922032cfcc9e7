"""The report's sections about lists: do they hit, where do they come from, how wide do they reach; a few of them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from jobs.publish.page import bars, section, table
from jobs.publish.report_figures import Figures, Recommended, percent

LIST_MEASURES = (("hit_rate", "Hit rate"), ("recall", "Recall"), ("ndcg", "NDCG"))
LIST_NAMES = {"list": "Published list", "popularity": "Popularity (reference)"}


def lists_section(f: Figures) -> str:
    """Recalls and the final list, beside popularity."""
    title = "Do the lists hit?"
    lead = (
        f"The lists of the day before, judged by this day's {f.target}s. Hit rate @K: the share of users with at least "
        f"one {f.target} on something in their first K. Popularity is the same top list for everyone: a recall that "
        "stays below it adds little by itself."
    )
    subjects = sorted({s for s, *_ in f.measures if s in LIST_NAMES or s.startswith("recall:")}, key=_order)
    if not subjects:
        return section(title, lead, "<p>Nothing to judge yet: the day before has no lists.</p>")
    k = f.shown_k
    hits = [(s, f.measured(s, "hit_rate", k)) for s in subjects]
    drawn = [(list_name(s), m.value, _shown(m), s == "popularity") for s, m in hits if m.value is not None]
    ks = sorted({k for s, _, m, k in f.measures if s in subjects and m in dict(LIST_MEASURES)})
    wanted = [(m, f"{name} @{k}", k) for m, name in LIST_MEASURES for k in ks]
    wanted += [("coverage", "Coverage" + (f" @{k}" if k else ""), k) for k in _ks(f, subjects, "coverage")]
    rows = [[list_name(s), *[percent(f.value(s, m, k)) for m, _, k in wanted], _users(f, s)] for s in subjects]
    heads = ["", *[name for _, name, _ in wanted], "users judged"]
    plot = bars(f"Hit rate @{k}; in brackets the 95% interval, what other users of this kind would give", drawn)
    return section(title, lead, plot, table(heads, rows))


def sources_section(f: Figures) -> str:
    if not f.sources or not f.list_rows:
        return ""
    rows = [(name, float(n), f"{n / f.list_rows:.1%}", False) for name, n in f.sources]
    lead = "Which recalls proposed what is on the lists. An item can come from several, so shares may exceed 100%."
    return section("Where recommendations come from", lead, bars("Share of recommendations", rows))


def tail_section(f: Figures) -> str:
    """Concentration of the published lists, beside that of what users act on by themselves."""
    if not f.heads or not f.list_rows:
        return ""
    lead = (
        f"How much of the lists goes to the items with the most {f.target}s of the last days. Where the lists lean on "
        f"them much more than users' own {f.target}s do, they make the popular more popular, and the rest of the "
        "catalog is hardly seen."
    )
    rows = []
    for head in f.heads:
        label = f"the busiest {head.percent}% ({head.items:,} item{'' if head.items == 1 else 's'})"
        rows.append((label, head.recommended, f"{head.recommended:.1%} of the recommendations", False))
        rows.append(("", head.acted_on, f"{head.acted_on:.1%} of the {f.target}s", True))
    reach = f"{f.items:,} different items are on the lists"
    if f.catalog:
        reach += f": {f.items / f.catalog:.1%} of the {f.catalog:,} on offer (coverage)"
    return section("How wide do the lists reach?", lead, f"<p>{escape(reach)}.</p>", bars("Long tail", rows))


def samples_section(f: Figures) -> str:
    if not f.samples:
        return ""
    cards = []
    for sample in f.samples:
        rows = [[str(i.rank), i.title or i.item_id, i.why, _proposed(i)] for i in sample.items]
        acted_on = f"Lately: {', '.join(sample.acted_on)}" if sample.acted_on else "Nothing lately."
        shown = table(["", "item", "why", "proposed by (rank there)"], rows, (1, 2, 3))
        cards.append(f'<div><h3>User {escape(sample.user_id)}</h3><p class="soft">{escape(acted_on)}</p>{shown}</div>')
    lead = "Five users, chosen by a hash of their id: who they are does not change from day to day by accident."
    return section("Sample lists", lead, f'<div class="lists">{"".join(cards)}</div>')


def list_name(subject: str) -> str:
    return LIST_NAMES.get(subject) or subject.removeprefix("recall:")


def _shown(measured) -> str:
    bounds = f" ({measured.low:.1%} to {measured.high:.1%})" if measured.low is not None else ""
    return f"{measured.value:.1%}{bounds}"


def _users(f: Figures, subject: str) -> str:
    counts = [found.n for (s, _, m, _), found in f.measures.items() if s == subject and m == "hit_rate"]
    return f"{max(counts):,}" if counts else ""


def _ks(f: Figures, subjects: Sequence[str], measure: str) -> list[int]:
    return sorted({k for s, _, m, k in f.measures if s in subjects and m == measure})


def _order(subject: str) -> tuple[int, str]:
    return (0 if subject == "list" else 2 if subject == "popularity" else 1, subject)


def _proposed(item: Recommended) -> str:
    return ", ".join(f"{recall} ({rank})" for recall, rank in item.sources)
