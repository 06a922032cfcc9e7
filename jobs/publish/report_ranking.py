"""The report's sections about the ranking model: is its order right, are its rates, for whom, and what moved."""

from __future__ import annotations

from html import escape

from jobs.publish.page import bars, section, table
from jobs.publish.plots import agreement
from jobs.publish.report_figures import Figures, number, percent, with_interval

NAMES = {
    "ranking": "Ranking model", "ranking:item_ctr": "Item CTR alone", "ranking:popularity": "Popularity alone"
}  # fmt: skip
WITH_INTERVAL = (("auc", 0, "AUC"), ("gauc", 0, "GAUC"))
BESIDE = (("ndcg", 10, "NDCG @10"), ("map", 0, "MAP"), ("log_loss", 0, "Log-loss"), ("ne", 0, "NE"))
SLICES = {"user": "{} users", "item": "{} items"}
ALIKE, UNLIKE = 0.1, 0.25  # the usual marks of a PSI
FEATURES_DRAWN = 10


def ranking_section(f: Figures) -> str:
    title = "Is the order right?"
    lead = (
        f"The model of the day before, scoring what was shown on this day. AUC: the chance that a {f.target} is ranked "
        "above what was passed over (0.5 is a coin, 1 is perfect); GAUC: the same within each user. NDCG and MAP: how "
        f"far up a {f.target} stands within its request (1: on top). Log-loss and NE judge the predicted rates: lower "
        "is better, and an NE of 1 is no better than always saying the average."
    )
    rows = []
    for subject, name in NAMES.items():
        if any(f.value(subject, measure, k) is not None for measure, k, _ in (*WITH_INTERVAL, *BESIDE)):
            ranks = [with_interval(f.measured(subject, measure, k)) for measure, k, _ in WITH_INTERVAL]
            others = [number(f.value(subject, measure, k)) for measure, k, _ in BESIDE]
            rows.append([name, *ranks, *others, f"{f.measured(subject, 'auc').n:,}"])
    if not rows:
        return section(title, lead, "<p>Nothing to judge yet: no model had scored this day.</p>")
    shown = table(["", *[name for *_, name in (*WITH_INTERVAL, *BESIDE)], "rows judged"], rows)
    return section(title, lead, shown, _small_print(f), _calibration(f))


def _small_print(f: Figures) -> str:
    said = ["In brackets: the 95% interval, as other users of this kind would give it."]
    if chance := f.value("ranking", "null_auc_se"):
        said.append(f"By chance alone, AUC would lie within 0.5 ± {3 * chance:.4f}.")
    if skipped := f.value("ranking", "gauc_users_skipped"):
        users = f"{skipped:,.0f} of {f.measured('ranking', 'gauc_users_skipped').n:,} users"
        said.append(f"{users} are not in GAUC: what they were shown ended all alike for them.")
    return f'<p class="soft">{escape(" ".join(said))}</p>'


def _calibration(f: Figures) -> str:
    """Predicted against observed rates by tenth of the scores."""
    pairs = [(f.measured("ranking", "predicted", k), f.measured("ranking", "observed", k)) for k in range(1, 11)]
    points = [(p.value, o.value, o.low, o.high) for p, o in pairs if p.value is not None and o.value is not None]
    if not points:
        return ""
    ratio = f.value("ranking", "calibration")
    on_the_whole = f" On the whole, {ratio:.2f} times what happened was predicted." if ratio is not None else ""
    caption = (
        f"Are the predicted rates right? Each point is a tenth of the rows, by predicted rate: on the dashed line the "
        f"model promises what happens, below it too much, above it too little.{on_the_whole}"
    )
    return agreement(caption, points, "predicted rate", f"{f.target} rate that day")


def slices_section(f: Figures) -> str:
    parts = sorted({part for s, part, *_ in f.measures if s == "ranking" and part}, key=_slice_order)
    if not parts:
        return ""
    lead = (
        "The same measures on parts of the rows. Of a part with few rows the interval is wide: compare intervals, not "
        "figures. “New” is registered or listed less than a week ago, or without history where that is not known. "
        f"Predicted / happened: 1 is right, 2 promises twice the {f.target}s."
    )
    rows = []
    for part in ["", *parts]:
        measured = [with_interval(f.measured("ranking", measure, 0, part)) for measure in ("auc", "gauc")]
        rate, loss, ratio = (f.measured("ranking", m, 0, part) for m in ("base_rate", "log_loss", "calibration"))
        others = [percent(rate.value, 1), number(loss.value), number(ratio.value, 2)]
        rows.append([_slice_name(part), f"{rate.n:,}", *measured, *others])
    heads = ["", "rows", "AUC", "GAUC", f"{f.target} rate", "Log-loss", "predicted / happened"]
    return section("For whom is it good?", lead, table(heads, rows))


def model_section(f: Figures) -> str:
    if not f.model:
        return ""
    drawn = [(name, share, f"{share:.1%}", False) for name, share in f.importance]
    plot = bars("What the model looks at most: share of gain by feature", drawn) if drawn else ""
    return section("The model", "What ordered these lists.", _gate(f), table(["", ""], f.model, (1,)), plot)


def _gate(f: Figures) -> str:
    if "accepted" not in f.gate:
        return ""
    said = "The gate let this model in" if f.gate["accepted"] else "The gate did not let this model in"
    reason = str(f.gate.get("reason") or "no reason is given")
    return f'<p class="note">{escape(f"{said}: {reason}")}</p>'


def drift_section(f: Figures) -> str:
    """PSI of scores and features against what the model learned from."""
    moved = [(part, m.value) for (s, part, m_name, _), m in f.measures.items() if (s, m_name) == ("drift", "psi")]
    moved = sorted(((part, value) for part, value in moved if value is not None), key=lambda x: (-x[1], x[0]))
    score = f.value("ranking", "psi_score")
    if not moved and score is None:
        return ""
    lead = (
        "How far this day's rows are from those that the model learned from. PSI compares two distributions: below "
        f"{ALIKE} they are alike, from {ALIKE} to {UNLIKE} something has shifted, above {UNLIKE} the model meets what "
        "it hardly knows: look for a source that changed, or train again. On a day with few users, what describes "
        "users moves by chance."
    )
    scores = [] if score is None else [("predicted rates", score, f"{score:.3f}", True)]
    rows = scores + [(name, value, f"{value:.3f}", False) for name, value in moved[:FEATURES_DRAWN]]
    marks = ((ALIKE, f"{ALIKE}"), (UNLIKE, f"{UNLIKE}"))
    beyond = sum(value > UNLIKE for _, value in moved)
    said = f"<p>{beyond} of the {len(moved)} features that moved most are above {UNLIKE}.</p>" if moved else ""
    return section("Has the data moved?", lead, said, bars("PSI since training", rows, marks))


def _slice_order(part: str) -> tuple[int, str]:
    known = ("user=", "item=", "scene=")
    return next((n for n, start in enumerate(known) if part.startswith(start)), len(known)), part


def _slice_name(part: str) -> str:
    if not part:
        return "all rows"
    name, _, value = part.partition("=")
    return SLICES[name].format(value) if name in SLICES else f"{name.removeprefix('item_')}: {value}"
