"""The gate: may a new model serve?

It must beat the baseline (the item's own rate) on its test days, and must not be worse there than the model that serves
now by more than a margin. The current model may have been trained on some of these days: then only the days after its
own ds count. What cannot be shown lets nothing through: where a measure is undefined, and where no days are left, the
current model stays. One that learned another label is compared by its order; it has no log-loss of this label and, lest
it serve for ever, then stands in nobody's way.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobs.lib.ranking_params import GateParams

NAMES = {"gauc": "GAUC", "auc": "AUC", "log_loss": "log-loss"}


@dataclass(frozen=True)
class Against:
    """The current model beside the new one on the same rows, of the test days after its ds; without days no figures."""

    ds: str
    days: list[str]
    new: dict | None = None
    current: dict | None = None


def gate(params: GateParams, days: list[str], new: dict, baseline: dict, against: Against | None) -> dict:
    """What goes into the metadata: accepted, reason, and the figures of all on the same rows.

    new, baseline: measures on the test days `days`. against: None when no model serves yet.
    """
    accepted, reason = _decided(params, new, baseline, against) if params.enabled else (True, "the gate is off")
    return {
        "enabled": params.enabled,
        "measure": params.measure,
        "margin": params.margin,
        "accepted": accepted,
        "reason": reason,
        "days": days,
        "figures": {"model": new, "item_ctr": baseline},
        "current": None if against is None else _shown(against),
    }


def _decided(params: GateParams, new: dict, baseline: dict, against: Against | None) -> tuple[bool, str]:
    name, sign = NAMES[params.measure], -1 if params.measure == "log_loss" else 1
    own, of_item = new.get(params.measure), baseline.get(params.measure)
    if own is None or of_item is None:
        return False, f"{name} is undefined on the test days"
    said = f"{name} {own:.4f} on the test days, the item's own rate {of_item:.4f}"
    if not sign * own > sign * of_item:
        return False, f"{said}: it does not beat it"
    if against is None:
        return True, f"{said}; no model served before"
    if not against.days:
        return False, f"no test day is after the model of {against.ds}: nothing shows that this one is no worse"
    if params.measure not in against.current:
        return True, f"{said}; the model of {against.ds} predicts another label and has no {name} of this one"
    own, current = against.new.get(params.measure), against.current.get(params.measure)
    if own is None or current is None:
        return False, f"{name} is undefined on the test days after {against.ds}"
    beside = f"beside the model of {against.ds} {name} {own:.4f} against {current:.4f}"
    if sign * (current - own) > params.margin:
        return False, f"{beside} on the same rows: worse by more than {params.margin:g}"
    return True, f"{said}; {beside}"


def _shown(against: Against) -> dict:
    return {"ds": against.ds, "days": against.days, "figures": {"model": against.new, "current": against.current}}
