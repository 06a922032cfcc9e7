"""What the ranking model learns, and how the predictions of several labels become the one score of a pair.

Each label has its booster, trained on all rows: of a label that is 0 where nothing happened (ln_playtime) it predicts
the mean over what was shown. `ranking.score` is an expression over the labels, evaluated in float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.features.windows import windows_of
from jobs.lib.errors import DataError
from jobs.lib.ranking_params import Target
from jobs.lib.solution import Solution
from jobs.ranking import labels
from jobs.ranking.labels import GRADES, YES_OR_NO, label_columns, label_texts, label_trees
from jobs.recall.formula import Names, check_formula, evaluate

if TYPE_CHECKING:
    import numpy as np

LEARNABLE = {"binary:logistic": YES_OR_NO, "rank:ndcg": GRADES, "rank:pairwise": GRADES}


def targets_of(solution: Solution) -> list[Target]:
    return solution.ranking.targets or [Target(label=f"is_{solution.target}")]


def target_label(solution: Solution) -> str:
    """The label that a model is judged by: the first one."""
    return targets_of(solution)[0].label


def is_own_rate(solution: Solution) -> bool:
    """Is an item's own rate (`item__ctr_*`) the rate of the label that models are judged by?"""
    label = f"is_{solution.target}"
    return target_label(solution) == label and label not in solution.ranking.labels


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
    """What is wrong with labels, targets, score, weights or gate, in words, or None."""
    if problem := labels.problem_in(solution):
        return problem
    ranking, known, targets = solution.ranking, label_columns(solution), targets_of(solution)
    named = [("targets", t.label) for t in targets] + [("weights", label) for label in ranking.weights]
    if unknown := [(where, label) for where, label in named if label not in known]:
        return f"{unknown[0][0]}: {unknown[0][1]!r} is no label of the samples; there are: {', '.join(known)}"
    learned = [t.label for t in targets]
    if twice := [label for label in learned if learned.count(label) > 1]:
        return f"targets: {twice[0]!r} is there twice"
    for target in targets:
        if why := _not_learnable(target, solution):
            text = label_texts(solution)[target.label]
            return f"targets: {target.objective} cannot learn {target.label}, {text}: {why}; reg:squarederror can"
    has_rate = "ctr" in [name for name, *_ in windows_of(solution, "item").rates]
    is_held_against = has_rate and is_own_rate(solution) and targets[0].is_probability
    if ranking.gate.measure == "log_loss" and not is_held_against:
        return (
            "gate.measure: log_loss needs impressions among features.events, and as the first target a probability of "
            f"is_{solution.target} as it is by default: that is what an item's own rate is held against"
        )
    try:
        score_of(solution)
    except ValueError as error:
        return f"score: {error}"
    return None


def check_values(target: Target, values: np.ndarray, days: list[str]) -> None:
    """Raises DataError naming the label and a value that its objective cannot learn."""
    import numpy as np

    if (allowed := LEARNABLE.get(target.objective)) is None:
        return
    if len(others := values[~np.isin(values, list(allowed))]):
        raise DataError(
            f"ranking.targets: {target.objective} cannot learn {target.label}, which is {others[0]:g} in samples of "
            f"{days[0]} to {days[-1]}"
        )


def _not_learnable(target: Target, solution: Solution) -> str | None:
    allowed = LEARNABLE.get(target.objective)
    return labels.problem_as(label_trees(solution)[target.label], allowed) if allowed else None


def _names(targets: list[Target]) -> Names:
    return Names(tuple(t.label for t in targets), windows=())
