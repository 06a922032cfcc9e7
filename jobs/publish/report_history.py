"""The report's section about the last weeks: lists and ranking by day, each beside what it has to beat."""

from __future__ import annotations

from jobs.publish.page import section
from jobs.publish.plots import Series, lines
from jobs.publish.report_figures import Figures, Measured
from jobs.publish.report_lists import list_name

HISTORY_DAYS = 28
RECALLS_DRAWN = 3


def history_section(f: Figures) -> str:
    """Nothing where fewer than two days were judged."""
    if len(f.history) < 2:
        return ""
    k = f.shown_k
    lists = [("list", False), *[(name, False) for name in _best_recalls(f, k)], ("popularity", True)]
    plots = [
        lines(f"Hit rate @{k} of lists", _series(f, lists, "hit_rate", k, list_name), "{:.1%}"),
        *(
            lines(
                name,
                _series(f, [("ranking", False), ("ranking:item_ctr", True)], measure, 0, _ranking_name),
                "{:.3f}",
            )
            for measure, name in (
                ("auc", "AUC of the ranking model"),
                ("gauc", "GAUC of the ranking model: the order within each user"),
            )
        ),
    ]
    lead = (
        f"Up to {HISTORY_DAYS} days, each judged by what happened on it. The shade is the 95% interval: a step within "
        "it is no news. Days that were not judged are gaps."
    )
    return section("The last weeks", lead, *plots) if any(plots) else ""


def _best_recalls(f: Figures, k: int) -> list[str]:
    """Those that hit most on the newest day."""
    hits = [(-(m.value or 0.0), s) for (s, _, name, at), m in f.measures.items() if (name, at) == ("hit_rate", k)]
    return [s for _, s in sorted(hits) if s.startswith("recall:")][:RECALLS_DRAWN]


def _series(f: Figures, subjects: list[tuple[str, bool]], measure: str, k: int, name_of) -> list[Series]:
    found = []
    for subject, is_reference in subjects:
        points: dict[str, Measured] = {}
        for ds, measures in f.history.items():
            measured = measures.get((subject, "", measure, k))
            if measured is not None and measured.value is not None:
                points[ds] = measured
        if points:
            found.append(Series(name_of(subject), points, is_reference))
    return found


def _ranking_name(subject: str) -> str:
    return {"ranking": "Ranking model", "ranking:item_ctr": "Item CTR alone"}[subject]
