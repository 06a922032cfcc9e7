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
from jobs.ranking.slices import slices
from jobs.ranking.targets import target_label

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
    samples: pa.Table, scores: np.ndarray, predictions: dict[str, np.ndarray], model: Model, solution: Solution
) -> list[Figure]:
    """Everything about a model on a day's samples: their order by its scores, and its prediction of the first label.

    samples: KEYS, labels and model columns, in any order; scores and predictions: as `Scorer.on_samples` gives them.
    """
    figures = []
    shown = _ordered(samples, solution)
    prior = model.metadata["spans"]["train"]["base_rate"]
    subjects = {MODEL: (scores, chance_of(predictions, solution))}
    subjects |= {
        name: (v, v if is_rate else None) for name, (v, is_rate) in baselines(samples, prior, solution).items()
    }
    for subject, (values, chance) in subjects.items():
        rows = intervals.judged(shown, values)
        chances = rows if chance is values else intervals.judged(shown, chance) if chance is not None else None
        figures += [Figure(subject, "", *_flat(found)) for found in _overall(rows, chances)]
        if subject == MODEL:
            figures += [Figure(subject, "", *_flat(found)) for found in _of_model(rows, chances)]
            for name, mask in slices(samples, solution).items():
                part = None if chances is None else chances.where(mask[chances.row])
                figures += [Figure(subject, name, *_flat(f)) for f in _of_slice(rows.where(mask[rows.row]), part)]
    return figures + drift_figures(samples, scores, model)


def chance_of(predictions: dict[str, np.ndarray], solution: Solution) -> np.ndarray | None:
    """The prediction of the first label, where that is a probability."""
    label = target_label(solution)
    return predictions[label] if label.startswith("is_") else None


def drift_figures(samples: pa.Table, model_scores: np.ndarray, model: Model) -> list[Figure]:
    """PSI of the scores and of the features that moved most, by what the model keeps of its training rows."""
    kept, n = model.metadata.get("reference"), samples.num_rows
    if kept is None:
        log.info("the model keeps no reference of its training rows: drift is not measured")
        return []
    moved = drift.feature_psi(kept, samples)
    scores = Figure(MODEL, "", "psi_score", 0, drift.score_psi(kept, model_scores), None, None, n)
    return [scores, *(Figure("drift", name, "psi", 0, value, None, None, n) for name, value in moved)]


def baselines(rows: pa.Table, prior: float, solution: Solution) -> dict[str, tuple[np.ndarray, bool]]:
    """Subject -> (scores, are they probabilities?); prior stands in where the item has no rate yet."""
    name, is_probability = baseline_column(solution)
    found = {ITEM_CTR: (_known(rows, name, prior if is_probability else 0.0), is_probability)}
    counted = count_column(solution)
    if counted in rows.column_names:
        found[POPULARITY] = (_known(rows, counted, 0.0), False)
    return found


def baseline_column(solution: Solution) -> tuple[str, bool]:
    """The item's own rate, or without impressions its count, over the longest window; is it a probability?"""
    rate = f"item__ctr_{max(solution.features.windows)}d"
    return (rate, True) if rate in number_columns(solution) else (count_column(solution), False)


def count_column(solution: Solution) -> str:
    return f"item__{solution.target}_cnt_{max(solution.features.windows)}d"


def compare(
    rows: pa.Table, scores: np.ndarray, predictions: dict[str, np.ndarray], prior: float, solution: Solution
) -> dict:
    """{'model': measures, 'item_ctr': measures} by the first label; prior stands in where the item has no rate yet."""
    shown = _ordered(rows, solution)
    baseline, is_probability = baselines(rows, prior, solution)[ITEM_CTR]
    of_item, chance = intervals.judged(shown, baseline), chance_of(predictions, solution)
    return {
        "model": ranking_measures(
            intervals.judged(shown, scores), None if chance is None else intervals.judged(shown, chance)
        ),
        "item_ctr": ranking_measures(of_item, of_item if is_probability else None)
        | {"column": baseline_column(solution)[0]},
    }


def ranking_measures(rows: Judged, chances: Judged | None) -> dict:
    """AUC and GAUC by score and, where there is a probability, its log-loss and NE; None where undefined."""
    gauc, skipped = intervals.gauc(rows)
    result = {"auc": intervals.auc(rows).value, "gauc": gauc.value}
    if chances is not None:
        result |= {"log_loss": intervals.log_loss(chances).value, "ne": intervals.ne(chances).value}
    result["null_auc_se"] = _null_auc_se(rows).value
    positives = int(np.count_nonzero(rows.positive))
    return result | {"rows": rows.n, "positives": positives, "gauc_users": gauc.n, "gauc_users_skipped": skipped}


def _ordered(rows: pa.Table, solution: Solution) -> Samples:
    positive = rows.column(target_label(solution)).to_numpy() > 0
    return intervals.ordered(_codes(rows, "user_id"), _codes(rows, "request_id"), positive)


def _overall(rows: Judged, chances: Judged | None) -> Measured:
    gauc, skipped = intervals.gauc(rows)
    yield "auc", 0, intervals.auc(rows)
    yield "gauc", 0, gauc
    yield "gauc_users_skipped", 0, plain(float(skipped), gauc.n + skipped)
    yield from intervals.by_request(rows)
    if chances is not None:
        yield "log_loss", 0, intervals.log_loss(chances)
        yield "ne", 0, intervals.ne(chances)
        yield "calibration", 0, intervals.calibration(chances)


def _of_model(rows: Judged, chances: Judged | None) -> Measured:
    yield "null_auc_se", 0, _null_auc_se(rows)
    yield "base_rate", 0, intervals.base_rate(rows)
    if chances is not None:
        yield from intervals.deciles(chances)


def _of_slice(rows: Judged, chances: Judged | None) -> Measured:
    yield "auc", 0, intervals.auc(rows)
    yield "gauc", 0, intervals.gauc(rows)[0]
    yield "base_rate", 0, intervals.base_rate(rows)
    if chances is not None:
        yield "log_loss", 0, intervals.log_loss(chances)
        yield "calibration", 0, intervals.calibration(chances)


def _null_auc_se(rows: Judged) -> Estimate:
    positives = int(np.count_nonzero(rows.positive))
    return plain(measures.null_auc_se(positives, rows.n - positives), rows.n)


def _flat(found: tuple[str, int, Estimate]) -> tuple:
    measure, k, estimate = found
    return (measure, k, *estimate)


def _codes(rows: pa.Table, name: str) -> np.ndarray:
    """The place of each id among the sorted ids, so that codes don't follow the order of rows."""
    import pyarrow.compute as pc

    encoded = rows.column(name).combine_chunks().dictionary_encode()
    place = np.empty(len(encoded.dictionary), np.int64)
    place[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(place))
    return place[encoded.indices.to_numpy(zero_copy_only=False)]


def _known(rows: pa.Table, name: str, otherwise: float) -> np.ndarray:
    values = rows.column(name).to_numpy(zero_copy_only=False).astype(np.float64)
    return np.where(np.isnan(values), otherwise, values)
