"""How the rows of a day differ from those that the model learned from: the population stability index (PSI).

PSI = sum over bins of (s - t) * ln(s / t), s and t being the bin's shares that day and in training, at least
LEAST_SHARE each. A number has ten bins of equal training frequency, fewer where values repeat; a category its twenty
most frequent values and one bin for the others; both have a bin of their own for missing values. The usual reading:
below 0.1 alike, above 0.25 unlike.

A model keeps the shares of its training rows (`reference`), so nobody needs these rows again to see that data moved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

BINS, TOP_VALUES, LEAST_SHARE = 10, 20, 1e-4
BY_DESIGN = ("weekday",)  # a day has one, whatever training had
MOST_FEATURES = 20

Bins = dict[str, Any]  # {"edges": upper bounds of all bins but the last} or {"values": categories}


def psi(training: Sequence[float], scoring: Sequence[float]) -> float:
    """Of counts, or shares, over the same bins."""
    both = [[max(float(count) / math.fsum(side), LEAST_SHARE) for count in side] for side in (training, scoring)]
    return math.fsum((s - t) * math.log(s / t) for t, s in zip(*both, strict=True))


def bins_of(training: pa.Array) -> Bins:
    """The bins that a column's training values give: a string column's are categories."""
    import pyarrow as pa

    known = training.drop_null()
    if pa.types.is_string(training.type):
        counted = sorted((-row["counts"], row["values"]) for row in known.value_counts().to_pylist())
        return {"values": [value for _, value in counted[:TOP_VALUES]]}
    numbers = known.to_numpy(zero_copy_only=False)
    numbers = numbers[~np.isnan(numbers)]
    edges = np.unique(np.quantile(numbers, np.arange(1, BINS) / BINS)) if len(numbers) else np.empty(0)
    return {"edges": [float(edge) for edge in edges]}


def counts(column: pa.Array, bins: Bins) -> np.ndarray:
    """Rows in each bin, the last one being that of missing values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if "values" in bins:
        values = pa.array(bins["values"], pa.string())
        found = pc.fill_null(pc.index_in(column.drop_null(), value_set=values), len(values))
        held = np.bincount(found.to_numpy(zero_copy_only=False), minlength=len(values) + 1)
        return np.append(held, column.null_count)
    numbers = column.drop_null().to_numpy(zero_copy_only=False)
    missing = int(np.count_nonzero(np.isnan(numbers))) + column.null_count
    edges = np.asarray(bins["edges"], np.result_type(numbers.dtype, np.float32))
    up_to = [0, *(int(np.count_nonzero(numbers <= edge)) for edge in edges), len(column) - missing]
    return np.append(np.diff(up_to), missing)


def reference(train: pa.Table, scores: np.ndarray, features: dict[str, list[str] | None]) -> dict:
    """What later days are compared with, as JSON takes it: bins and shares of each feature and of the scores.

    train: the training rows. scores: the model's, of rows that it did not learn from (validation): of those that it
    knows by heart it is surer than it will ever be again. features: as the model has them, name -> categories or None.
    """
    import pyarrow as pa

    described = {name: _described(train.column(name).combine_chunks()) for name in features if name not in BY_DESIGN}
    return {"rows": train.num_rows, "features": described, "score": _described(pa.array(scores, pa.float64()))}


def _described(column: pa.Array) -> dict:
    bins = bins_of(column)
    held = counts(column, bins)
    return {**bins, "shares": [round(float(count) / max(len(column), 1), 8) for count in held]}


def score_psi(kept: dict, scores: np.ndarray) -> float:
    """kept: what `reference` gave."""
    import pyarrow as pa

    return _moved(kept["score"], pa.array(scores, pa.float64()))


def feature_psi(kept: dict, rows: pa.Table) -> list[tuple[str, float]]:
    """(feature, PSI) of the MOST_FEATURES features that moved most, the first one most."""
    there = {name: about for name, about in kept["features"].items() if name in rows.column_names}
    moved = [(name, _moved(about, rows.column(name).combine_chunks())) for name, about in there.items()]
    return sorted(moved, key=lambda pair: (-pair[1], pair[0]))[:MOST_FEATURES]


def _moved(about: dict, column: pa.Array) -> float:
    return psi(about["shares"], counts(column, about))
