"""An evaluation as a table for the terminal, and as a page."""

from __future__ import annotations

from jobs.evaluate.judge import Figure
from jobs.evaluate.recall import FUSED, OVERLAP_K, POPULARITY, RANDOM, Evaluation
from jobs.publish.page import bars, page, section, table

MEASURES = (
    ("hit_rate", 10), ("recall", 10), ("ndcg", 10), ("hit_rate", 50), ("recall", 50), ("ndcg", 50),
    ("hit_rate", 200), ("recall", 200), ("ndcg", 200), ("mrr", 25),
    ("coverage", 10), ("coverage", 50), ("coverage", 200), ("novelty", 10), ("novelty", 50), ("novelty", 200),
    ("served", 0), ("cold_users_served", 0), ("cold_items_served", 200),
)  # fmt: skip
IN_TERMINAL = (
    ("hit_rate", 10),
    ("recall", 10),
    ("ndcg", 10),
    ("recall", 50),
    ("ndcg", 50),
    ("recall", 200),
    ("mrr", 25),
)
BESIDE = (("coverage", 50), ("novelty", 10), ("served", 0), ("cold_users_served", 0), ("cold_items_served", 200))
REFERENCES = (POPULARITY, RANDOM)


def text(evaluation: Evaluation) -> str:
    found = {(f.subject, f.measure, f.k): f for f in evaluation.figures}
    subjects = _subjects(evaluation)
    parts = [_about(evaluation), "", "Half of a 95% interval behind each figure:"]
    parts += aligned(
        [
            ("", *[_name(*m) for m in IN_TERMINAL]),
            *[(s, *[shown(found.get((s, *m))) for m in IN_TERMINAL]) for s in subjects],
        ]
    )
    parts += [
        "",
        *aligned(
            [
                ("", *[_name(*m) for m in BESIDE]),
                *[(s, *[shown(found.get((s, *m)), False) for m in BESIDE]) for s in subjects],
            ]
        ),
    ]
    for difference in dict.fromkeys(f.subject for f in evaluation.figures if " - " in f.subject):
        parts += ["", f"{difference}, paired by user: difference and its 95% interval"]
        parts += aligned([(_name(*m), between(found[difference, *m])) for m in MEASURES if (difference, *m) in found])
    parts += ["", f"Share of a list's first {OVERLAP_K} that stand in the other's (row in column)"]
    return "\n".join(parts + aligned(_overlaps(evaluation, subjects)) + ["", _weights(evaluation)])


def html(evaluation: Evaluation, scenario: str) -> str:
    found = {(f.subject, f.measure, f.k): f for f in evaluation.figures}
    subjects = _subjects(evaluation)
    plots = []
    for measure, k in (("ndcg", 10), ("recall", 50), ("recall", 200)):
        values = [(s, found[s, measure, k]) for s in subjects]
        drawn = [(s, f.value, f"{f.value:.3f} ({f.low:.3f} to {f.high:.3f})", s in REFERENCES) for s, f in values]
        plots.append(bars(f"{_name(measure, k)}, with its 95% interval", sorted(drawn, key=lambda row: -row[1])))
    every = [[s, *[shown(found.get((s, *m))) for m in MEASURES]] for s in subjects]
    differences = [
        [subject, _name(*m), between(found[subject, *m])]
        for subject in dict.fromkeys(f.subject for f in evaluation.figures if " - " in f.subject)
        for m in MEASURES
        if (subject, *m) in found
    ]
    heads, *overlaps = _overlaps(evaluation, subjects)
    parts = [
        section("Which recall finds what users want next?", _weights(evaluation), *plots),
        section(
            "All measures", "Each with half of its 95% interval.", table(["", *[_name(*m) for m in MEASURES]], every)
        ),
        section(
            "Differences",
            "Paired by user, with the 95% interval.",
            table(["", "measure", "difference"], differences, (1,)),
        ),
        section(
            "Overlap", f"Share of a list's first {OVERLAP_K} that stand in the other's.", table(list(heads), overlaps)
        ),
    ]
    return page(f"{scenario}: recalls judged", _about(evaluation), parts)


def _about(e: Evaluation) -> str:
    sample = f" (a sample of {e.sampled_from:,})" if e.users < e.sampled_from else ""
    return (
        f"Learned from events up to {e.ds}, judged by what {e.users:,} users{sample} acted on afterwards; "
        f"{e.cold_users:,} more users of the test part had no history."
    )


def _weights(e: Evaluation) -> str:
    shown = ", ".join(f"{name} {weight:.2g}" for name, weight in sorted(e.weights.items(), key=lambda w: (-w[1], w[0])))
    return f"{FUSED} blends with these weights: {shown}. The best single recall is {e.best}."


def _subjects(e: Evaluation) -> list[str]:
    names = dict.fromkeys(f.subject for f in e.figures if f.measure == "cold_users_served")
    return sorted(names, key=lambda name: (name in REFERENCES, name != FUSED, name))


def _overlaps(e: Evaluation, subjects: list[str]) -> list[tuple[str, ...]]:
    shares = {f.subject: f.value for f in e.figures if f.measure == "overlap"}
    rows = [
        (one, *["" if one == other else _number(shares.get(f"{one} in {other}")) for other in subjects])
        for one in subjects
    ]
    return [("", *subjects), *rows]


def _name(measure: str, k: int) -> str:
    return f"{measure}@{k}" if k else measure


def shown(figure: Figure | None, with_interval: bool = True) -> str:
    if figure is None or figure.value is None:
        return "-"
    half = f" ±{(figure.high - figure.low) / 2:.3f}" if with_interval and figure.low is not None else ""
    return _number(figure.value) + half


def between(figure: Figure) -> str:
    if figure.value is None:
        return "-"
    return f"{figure.value:+.4f}" + ("" if figure.low is None else f"  ({figure.low:+.4f} to {figure.high:+.4f})")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(w) if n == 0 else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
