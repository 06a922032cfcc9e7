"""A trained model on its test days: measures beside the item's own rate and the current model, and the gate."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.lib.solution import Solution
from jobs.ranking.drift import reference
from jobs.ranking.gate import Against, gate
from jobs.ranking.matrices import Part
from jobs.ranking.measures import auc
from jobs.ranking.models import HELD_BACK, TRAINED, Model, Scorer, model_features
from jobs.ranking.ranking_quality import baseline_column, chance_of, compared
from jobs.ranking.targets import target_label, targets_of
from jobs.ranking.training_rows import Samples, Split

Current = tuple[str, Model]
REFERENCE_ROWS = 200_000


def judged(
    model: Model,
    samples: Samples,
    split: Split,
    parts: dict[str, Part],
    solution: Solution,
    current: Current | None,
) -> Model:
    """The model with its measures on the test days and what the gate says; held back where it must not serve."""
    label, about = target_label(solution), dict(model.metadata)
    others = [current[1]] if current is not None else []
    rows, made = _test_rows([model, *others], samples, split.test, solution)
    of_parts = {name: _counts(part.labels[label]) | {"days": part.days} for name, part in parts.items()}
    about["spans"] = of_parts | {"test": _counts(rows.column(label).to_numpy()) | {"days": split.test}}
    prior = about["spans"]["train"]["base_rate"]
    about["metrics"] = _compared(rows, *made[0], prior, solution)
    about["reference"] = reference(_newest(samples, split.train), made[0][0], model_features(model))
    about["targets"] = [t | {"metrics": _target_metrics(t, rows, made[0][1][t["label"]])} for t in model.targets]
    against = None
    if current is not None:
        against = _against(current, rows, made, prior, split.test, solution)
    measured = about["metrics"]
    about["gate"] = gate(solution.ranking.gate, split.test, measured["model"], measured["item_ctr"], against)
    about["status"] = TRAINED if about["gate"]["accepted"] else HELD_BACK
    return Model(model.boosters, about)


def _test_rows(models: list[Model], samples: Samples, days: list[str], solution: Solution):
    """The test rows (ds, request, user, labels, baseline), and of each model its scores and predictions on them."""
    wanted = list(dict.fromkeys(["ds", "request_id", "user_id", *(t.label for t in targets_of(solution))]))
    wanted += [name for name in [baseline_column(solution)[0]] if name not in wanted]
    scorers, tables = [Scorer(model, solution.ranking.threads) for model in models], []
    made: list[list] = [[] for _ in models]
    for _, rows in samples.each(days):
        tables.append(rows.select(wanted))
        for scorer, results in zip(scorers, made, strict=True):
            results.append(scorer.on_samples(rows))
    joined = [
        (np.concatenate([s for s, _ in of]), {k: np.concatenate([p[k] for _, p in of]) for k in of[0][1]})
        for of in made
    ]
    return pa.concat_tables(tables), joined


def _compared(rows: pa.Table, scores: np.ndarray, predictions: dict, prior: float, solution: Solution) -> dict:
    return compared(rows, scores, chance_of(predictions, solution), prior, solution)


def _newest(samples: Samples, days: list[str]) -> pa.Table:
    """Training rows of the last days, as many as say how values are distributed."""
    found: list[pa.Table] = []
    for ds in reversed(days):
        found.append(samples.of(ds))
        if sum(rows.num_rows for rows in found) >= REFERENCE_ROWS:
            break
    return pa.concat_tables(found)


def _against(
    current: Current, rows: pa.Table, made: list, prior: float, days: list[str], solution: Solution
) -> Against:
    ds, _ = current
    later = [day for day in days if day > ds]
    if not later:
        return Against(ds, [])
    is_later = pc.greater(rows.column("ds"), ds).to_numpy()
    kept = rows.filter(pa.array(is_later))
    new, old = (
        _compared(kept, scores[is_later], {k: p[is_later] for k, p in predictions.items()}, prior, solution)["model"]
        for scores, predictions in made
    )
    return Against(ds, later, new, old)


def _target_metrics(target: dict, rows: pa.Table, predictions: np.ndarray) -> dict:
    """AUC of having the label at all; of a number also the root mean squared error, beside that of its mean."""
    labels = rows.column(target["label"]).to_numpy().astype(np.float64)
    value = auc(labels, predictions)
    about = {"auc": None if math.isnan(value) else value}
    if target["objective"] == "reg:squarederror":
        about["rmse"] = float(np.sqrt(np.mean((labels - predictions) ** 2)))
        about["rmse_of_mean"] = float(labels.std())
    return about


def _counts(labels: np.ndarray) -> dict:
    positives = int((labels > 0).sum())
    return {"rows": len(labels), "positives": positives, "base_rate": positives / max(len(labels), 1)}
