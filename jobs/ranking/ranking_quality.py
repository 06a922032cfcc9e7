"""How well a model's scores order samples and predict their labels, beside what the item alone says of the same rows.

Subjects: `ranking`, the model; `ranking:item_ctr`, the item's own rate, or without impressions its count;
`ranking:popularity`, how often the item had the target event; both over the longest feature window.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jobs.lib.solution import Solution
from jobs.ranking import drift, intervals, measures
from jobs.ranking.feature_list import number_columns
from jobs.ranking.intervals import Estimate, Judged, Measured, Samples, plain
from jobs.ranking.models import Model
from jobs.ranking.pairs import places
from jobs.ranking.slices import slices
from jobs.ranking.targets import is_own_rate, target_label, targets_of

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("recflow")

MODEL, ITEM_CTR, POPULARITY = "ranking", "ranking:item_ctr", "ranking:popularity"


class Figure(NamedTuple):
    """A row of the evaluation table, without ds; slice "" is all rows."""

    subject: str
    slice: str
    measure: str
    k: int
    value: float | None
    low: float | None
    high: float | None
    n: int


def ranking_figures(
    samples: pa.Table, scores: np.ndarray, chances: np.ndarray | None, model: Model, solution: Solution
) -> list[Figure]:
    """Everything about a model's scores of a day's samples.

    samples: KEYS, label and model columns, in any order. scores: what lists are ordered by; chances: the predicted
    probability of the label, which may be the scores themselves, or None where the model predicts none.
    """
    figures = []
    shown = _ordered(samples, solution)
    prior = model.metadata["spans"]["train"]["base_rate"]
    for subject, judged in {MODEL: (scores, chances), **baselines(samples, prior, solution)}.items():
        rows, rated = _judged(shown, *judged)
        figures += [Figure(subject, "", *_flat(found)) for found in _overall(rows, rated)]
        if subject == MODEL:
            figures += [Figure(subject, "", *_flat(found)) for found in _of_model(rows, rated)]
            for name, mask in slices(samples, solution).items():
                part = [of and of.where(mask[of.row]) for of in (rows, rated)]
                figures += [Figure(subject, name, *_flat(found)) for found in _of_slice(*part)]
    return figures + drift_figures(samples, scores, model)


def differences(rows: pa.Table, scores: np.ndarray, prior: float, solution: Solution) -> list[Figure]:
    """AUC and GAUC of the scores less those of each baseline, paired by user, as the subject `ranking - <baseline>`."""
    shown = _ordered(rows, solution)
    of_model = intervals.judged(shown, scores)
    return [
        Figure(f"{MODEL} - {subject}", "", *_flat(found))
        for subject, (values, _) in baselines(rows, prior, solution).items()
        for found in intervals.differences(of_model, intervals.judged(shown, values))
    ]


def chance_of(predictions: dict[str, np.ndarray], solution: Solution) -> np.ndarray | None:
    """The prediction of the first label, where that is a probability; an older model may have learned others."""
    first = targets_of(solution)[0]
    return predictions.get(first.label) if first.is_probability else None


def drift_figures(samples: pa.Table, scores: np.ndarray, model: Model) -> list[Figure]:
    """PSI of the scores and of the features that moved most, by what the model keeps of its training rows."""
    kept, n = model.metadata.get("reference"), samples.num_rows
    if kept is None:
        log.info("the model keeps no reference of its training rows: drift is not measured")
        return []
    moved = drift.feature_psi(kept, samples)
    of_scores = Figure(MODEL, "", "psi_score", 0, drift.score_psi(kept, scores), None, None, n)
    return [of_scores, *(Figure("drift", name, "psi", 0, value, None, None, n) for name, value in moved)]


def baselines(rows: pa.Table, prior: float, solution: Solution) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """Subject -> (scores, chances if they are such); prior stands in where the item has no rate yet."""
    name, is_rate = baseline_column(solution)
    values = _known(rows, name, prior if is_rate else 0.0)
    found: dict = {ITEM_CTR: (values, values if is_rate and is_own_rate(solution) else None)}
    if (counted := count_column(solution)) in rows.column_names:
        found[POPULARITY] = (_known(rows, counted, 0.0), None)
    return found


def baseline_column(solution: Solution) -> tuple[str, bool]:
    """The item's own rate, or without impressions its count, over the longest window; is it a probability?"""
    rate = f"item__ctr_{max(solution.features.windows)}d"
    return (rate, True) if rate in number_columns(solution) else (count_column(solution), False)


def count_column(solution: Solution) -> str:
    return f"item__{solution.target}_cnt_{max(solution.features.windows)}d"


def compared(
    rows: pa.Table, scores: np.ndarray, chances: np.ndarray | None, prior: float, solution: Solution
) -> dict[str, dict]:
    """{'model': measures, 'item_ctr': measures} of the same rows; prior stands in where the item has no rate yet."""
    shown = _ordered(rows, solution)
    of_item = ranking_measures(*_judged(shown, *baselines(rows, prior, solution)[ITEM_CTR]))
    return {
        "model": ranking_measures(*_judged(shown, scores, chances)),
        "item_ctr": of_item | {"column": baseline_column(solution)[0]},
    }


def ranking_measures(rows: Judged, rated: Judged | None) -> dict:
    """AUC, GAUC and, where there is a probability, log-loss and NE; None where undefined."""
    gauc, skipped = intervals.gauc(rows)
    result = {"auc": intervals.auc(rows).value, "gauc": gauc.value}
    if rated is not None:
        result |= {"log_loss": intervals.log_loss(rated).value, "ne": intervals.ne(rated).value}
    result["null_auc_se"] = _null_auc_se(rows).value
    positives = int(np.count_nonzero(rows.positive))
    return result | {"rows": rows.n, "positives": positives, "gauc_users": gauc.n, "gauc_users_skipped": skipped}


def _judged(shown: Samples, scores: np.ndarray, chances: np.ndarray | None) -> tuple[Judged, Judged | None]:
    """The rows by score, and by predicted probability."""
    rows = intervals.judged(shown, scores)
    if chances is None:
        return rows, None
    return rows, rows if chances is scores else intervals.judged(shown, chances)


def _ordered(rows: pa.Table, solution: Solution) -> Samples:
    positive = rows.column(target_label(solution)).to_numpy() > 0
    return intervals.ordered(places(rows.column("user_id")), places(rows.column("request_id")), positive)


def _overall(rows: Judged, rated: Judged | None) -> Measured:
    gauc, skipped = intervals.gauc(rows)
    yield "auc", 0, intervals.auc(rows)
    yield "gauc", 0, gauc
    yield "gauc_users_skipped", 0, plain(float(skipped), gauc.n + skipped)
    yield from intervals.by_request(rows)
    if rated is not None:
        yield "log_loss", 0, intervals.log_loss(rated)
        yield "ne", 0, intervals.ne(rated)
        yield "calibration", 0, intervals.calibration(rated)


def _of_model(rows: Judged, rated: Judged | None) -> Measured:
    yield "null_auc_se", 0, _null_auc_se(rows)
    yield "base_rate", 0, intervals.base_rate(rows)
    if rated is not None:
        yield from intervals.deciles(rated)


def _of_slice(rows: Judged, rated: Judged | None) -> Measured:
    yield "auc", 0, intervals.auc(rows)
    yield "gauc", 0, intervals.gauc(rows)[0]
    yield "base_rate", 0, intervals.base_rate(rows)
    if rated is not None:
        yield "log_loss", 0, intervals.log_loss(rated)
        yield "calibration", 0, intervals.calibration(rated)


def _null_auc_se(rows: Judged) -> Estimate:
    positives = int(np.count_nonzero(rows.positive))
    return plain(measures.null_auc_se(positives, rows.n - positives), rows.n)


def _flat(found: tuple[str, int, Estimate]) -> tuple:
    measure, k, estimate = found
    return (measure, k, *estimate)


def _known(rows: pa.Table, name: str, otherwise: float) -> np.ndarray:
    values = rows.column(name).to_numpy(zero_copy_only=False).astype(np.float64)
    return np.where(np.isnan(values), otherwise, values)
