"""Trees for one label: parameters, weights, early stopping on the validation days, and a search over parameters.

The same rows give the same bytes: they come in one order, seed and thread count are fixed. The exception is a search
that its time budget cut, and then metadata says so.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np
import xgboost

from jobs.lib.days import day_number
from jobs.lib.ranking_params import Ranking, Target
from jobs.ranking.matrices import Features, Part

METRICS = {"binary:logistic": "logloss", "reg:squarederror": "rmse", "rank:ndcg": "ndcg", "rank:pairwise": "ndcg"}
SPACE = {  # of the search; around what suits a hundred features and a few million rows
    "learning_rate": (0.03, 0.05, 0.1, 0.2),
    "max_depth": (4, 5, 6, 7, 8),
    "min_child_weight": (1, 5, 20, 50, 100),
    "subsample": (0.6, 0.8, 1.0),
    "colsample_bytree": (0.3, 0.5, 0.8, 1.0),
    "reg_lambda": (1.0, 5.0, 20.0),
}


@dataclass(frozen=True)
class Sides:
    """Training and validation rows, binned, and what is known of them."""

    train: xgboost.DMatrix
    validation: xgboost.DMatrix
    of_train: Part
    of_validation: Part
    features: Features


@dataclass(frozen=True)
class Trained:
    """booster: cut to its best iteration; best: its value of the metric on the validation days."""

    booster: xgboost.Booster
    params: dict
    best: float

    @property
    def rounds(self) -> int:
        return self.booster.num_boosted_rounds()


def trained(target: Target, sides: Sides, ranking: Ranking, params: dict) -> Trained:
    """params: of the trees."""
    _tell(sides.train, sides.of_train, target, row_weights(sides.of_train, ranking))
    _tell(sides.validation, sides.of_validation, target, np.ones(sides.of_validation.rows, np.float32))
    metric, seen = METRICS[target.objective], {}
    settings = {
        "objective": target.objective,
        "eval_metric": metric,
        "tree_method": "hist",
        **params,
        **constraints(ranking.monotone, sides.features),
        "seed": ranking.seed,
        "nthread": ranking.threads,
    }
    booster = xgboost.train(
        settings, sides.train, ranking.rounds, evals=[(sides.validation, "validation")], evals_result=seen,
        early_stopping_rounds=ranking.early_stopping_rounds, verbose_eval=False,
    )  # fmt: skip
    best = booster.best_iteration
    return Trained(booster[: best + 1], settings, float(seen["validation"][metric][best]))


def refitted(target: Target, rows: xgboost.DMatrix, part: Part, ranking: Ranking, found: Trained) -> Trained:
    """As many trees as were found best, of these rows."""
    _tell(rows, part, target, row_weights(part, ranking))
    return replace(found, booster=xgboost.train(found.params, rows, found.rounds))


def _tell(rows: xgboost.DMatrix, part: Part, target: Target, weights: np.ndarray) -> None:
    """The matrix what is to be learned of its rows."""
    rows.set_label(part.labels[target.label])
    if target.is_ranked:  # a request weighs what its heaviest row does
        rows.set_group(part.requests)
        weights = np.maximum.reduceat(weights, np.cumsum(part.requests) - part.requests)
    rows.set_weight(weights)


def row_weights(part: Part, ranking: Ranking) -> np.ndarray:
    """Of the training rows, float32: by label (the weights of all labels that a row has, multiplied) and by age."""
    weights = np.ones(part.rows, np.float64)
    for label, weight in ranking.weights.items():
        weights[part.labels[label] > 0] *= weight
    if ranking.half_life_days is not None:
        last = day_number(part.days[-1])
        age = np.repeat([last - day_number(ds) for ds in part.days], part.per_day)
        weights *= 0.5 ** (age / ranking.half_life_days)
    return weights.astype(np.float32)


def constraints(monotone: dict[str, int], features: Features) -> dict[str, str]:
    """XGBoost's `monotone_constraints`; nothing where none are asked for. Patterns were checked when the solution was
    loaded."""
    signs = {name: sign for pattern, sign in monotone.items() for name in features if fnmatchcase(name, pattern)}
    return {"monotone_constraints": f"({','.join(str(signs.get(name, 0)) for name in features)})"} if signs else {}


def searched(target: Target, sides: Sides, ranking: Ranking) -> tuple[dict, dict | None]:
    """The best parameters on the validation days, and what was tried; the configured ones are the first trial.

    A seeded draw for each trial: with enough time the same trials every time.
    """
    if not ranking.search.trials:
        return ranking.params, None
    draw, sign = np.random.default_rng(ranking.seed), -1 if METRICS[target.objective] == "ndcg" else 1
    tried, started, is_cut = [], time.monotonic(), False
    for number in range(ranking.search.trials):
        drawn = {name: values[draw.integers(len(values))] for name, values in SPACE.items()} if number else {}
        params = {**ranking.params, **drawn}
        if number and time.monotonic() - started > ranking.search.seconds:
            is_cut = True
            break
        found = trained(target, sides, ranking, params)
        tried.append({"params": params, "value": found.best, "rounds": found.rounds})
    best = min(tried, key=lambda trial: sign * trial["value"] if math.isfinite(trial["value"]) else math.inf)
    about = {"metric": METRICS[target.objective], "of": target.label, "trials": tried, "cut_by_time": is_cut}
    return best["params"], about
