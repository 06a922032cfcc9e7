"""What the ranking model learns, and how the predictions of several labels become the one score of a pair.

Each label has its booster, trained on all rows: of a label that is 0 where nothing happened (ln_playtime) it predicts
the mean over what was shown. `ranking.score` is an expression over the labels, evaluated in float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.lib.errors import DataError
from jobs.lib.ranking_params import Target
from jobs.lib.solution import Solution
from jobs.ranking.rank_samples import label_columns
from jobs.recall.formula import Names, check_formula, evaluate

if TYPE_CHECKING:
    import numpy as np


def targets_of(solution: Solution) -> list[Target]:
    return solution.ranking.targets or [Target(label=f"is_{solution.target}")]


def target_label(solution: Solution) -> str:
    """The label that a model is judged by: the first one."""
    return targets_of(solution)[0].label


def score_of(solution: Solution) -> str:
    """The expression whose value orders the lists."""
    return check_formula(solution.ranking.score or target_label(solution), _names(targets_of(solution)))


def fused(score: str, predictions: dict[str, np.ndarray]) -> np.ndarray:
    """The score of each row, float64. Raises DataError where it is no finite number (a division by 0, ln of 0)."""
    import numpy as np

    values = evaluate(score, predictions)
    if bad := int((~np.isfinite(values)).sum()):
        raise DataError(f"ranking.score {score!r} is not a finite number on {bad:,} of {len(values):,} rows")
    return values


def problem_in(solution: Solution) -> str | None:
    """What is wrong with targets, score, weights or gate, in words, or None."""
    ranking, labels, targets = solution.ranking, label_columns(solution), targets_of(solution)
    named = [("targets", t.label) for t in targets] + [("weights", label) for label in ranking.weights]
    if unknown := [(where, label) for where, label in named if label not in labels]:
        return f"{unknown[0][0]}: {unknown[0][1]!r} is no label of the samples; there are: {', '.join(labels)}"
    learned = [t.label for t in targets]
    if twice := [label for label in learned if learned.count(label) > 1]:
        return f"targets: {twice[0]!r} is there twice"
    for target in targets:
        if target.is_probability and not target.label.startswith("is_"):
            return f"targets: {target.label} is no yes or no, {target.objective} cannot learn it; reg:squarederror can"
    if ranking.gate.measure == "log_loss" and (solution.impression is None or not targets[0].is_probability):
        return "gate.measure: log_loss needs impressions, and a first target that is a probability"
    try:
        score_of(solution)
    except ValueError as error:
        return f"score: {error}"
    return None


def _names(targets: list[Target]) -> Names:
    return Names(tuple(t.label for t in targets), windows=())
