"""The model card: what a trained model is, in Markdown, from its metadata alone (so the same for the same model)."""

from __future__ import annotations

from typing import Any


def card(ds: str, about: dict) -> str:
    """about: the metadata of a model that was trained."""
    sections = [
        (f"# Model of {ds}", _summary(about)),
        ("## Data", _table(("part", "days", "rows", "positives", "base rate"), _spans(about))),
        ("## Targets", _table(("label", "objective", "trees", "validation", "test"), map(_target, about["targets"]))),
        ("## Test days", _table(("measure", "model", "item's own rate"), _measures(about["metrics"]))),
        ("## Gate", _gate(about["gate"])),
        ("## Parameters", _table(("parameter", "value"), _parameters(about))),
        (f"## Features ({len(about['features'])}, version {about['features_version']})", _features(about)),
        ("## Versions", _table(("of", "version"), sorted(about["versions"].items()))),
    ]
    return "\n\n".join(f"{title}\n\n{text}" for title, text in sections) + "\n"


def _summary(about: dict) -> str:
    said = [f"Orders lists by `{about['score']}`."]
    said += [f"`{label}` is `{text}`." for label, text in about.get("labels", {}).items()]  # older models say nothing
    if excluded := about.get("excluded"):
        said.append(f"{excluded['rows']:,} rows of {excluded['suspicious_users']:,} suspicious users were left out.")
    if about.get("refit"):
        said.append("Validation chose how many trees; they were then grown anew on training and validation days.")
    if sampling := about["negative_sampling"]:
        said.append(
            f"Negatives were sampled, {sampling['rate']:.3g} of those on offer; chances are corrected for it and mean: "
            "of a request in which the user acts, the chance that this item is it."
        )
    return " ".join(said)


def _spans(about: dict) -> list[tuple]:
    spans = [(name, about["spans"][name]) for name in ("train", "validation", "test")]
    return [(n, _days(span["days"]), span["rows"], span["positives"], span["base_rate"]) for n, span in spans]


def _days(days: list[str]) -> str:
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)})"


def _target(target: dict) -> tuple:
    metrics = ", ".join(f"{name} {_shown(value)}" for name, value in sorted(target["metrics"].items()))
    return target["label"], target["objective"], target["rounds"]["best"], target["validation"], metrics


def _measures(metrics: dict) -> list[tuple]:
    names = ("auc", "gauc", "log_loss", "ne", "rows", "positives", "gauc_users", "gauc_users_skipped")
    model, item = metrics["model"], metrics["item_ctr"]
    return [(name, model.get(name), item.get(name)) for name in names if name in model]


def _gate(gate: dict) -> str:
    return f"{'Accepted' if gate['accepted'] else 'Held back'}: {gate['reason']} (margin {gate['margin']:g})."


def _parameters(about: dict) -> list[tuple]:
    weights = about["weights"]
    more = {"rounds at most": about["rounds"]["limit"], "half-life, days": weights["half_life_days"]}
    more |= {f"weight of {label}": weight for label, weight in sorted(weights["labels"].items())}
    rows = [*sorted(about["params"].items()), *((name, value) for name, value in more.items() if value is not None)]
    if search := about["search"]:
        cut = ", cut by time" if search["cut_by_time"] else ""
        rows.append(("search", f"{len(search['trials'])} trials by {search['metric']} on validation{cut}"))
    return rows


def _features(about: dict) -> str:
    gain = about["importance"]
    rows = [(f["name"], f["type"], len(f["categories"] or []) or None, gain.get(f["name"])) for f in about["features"]]
    return _table(("feature", "kind", "categories", "share of gain"), rows)


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, tuple("---" for _ in head), *(tuple(map(_shown, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value).replace("|", "\\|")
