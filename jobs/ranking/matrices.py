"""Samples as XGBoost's matrices: binned day by day, in memory or, above a threshold, in files.

One day is held at a time. The bins of training serve validation too. What is in memory and what is in files gives the
same trees (a test holds it).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xgboost

from jobs.lib.errors import DataError
from jobs.ranking.model_input import model_frame
from jobs.ranking.training_rows import IS_FLAGGED, IS_SAMPLED, Samples, without_flagged

MAX_BIN = 256  # XGBoost's default

# name -> categories; of a number None, or mean and deviation where it is taken as a z-score
Features = dict[str, list[str] | tuple[float, float] | None]


@dataclass
class Part:
    """What is known of the rows of some days, in their order, beside their model columns."""

    days: list[str]
    labels: dict[str, np.ndarray]
    per_day: list[int]
    requests: np.ndarray  # rows of each
    offered: float = 0.0  # pairs that sampled negatives were drawn from
    sampled: int = 0
    flagged_users: set[str] = field(default_factory=set)
    flagged_rows: int = 0
    has_flags: bool = False

    @property
    def rows(self) -> int:
        return sum(self.per_day)


def part_of(samples: Samples, days: list[str], labels: list[str], looked_at=None, is_training: bool = False) -> Part:
    """looked_at: called with each day's rows. is_training: flagged rows are left out."""
    part, values, requests = Part(days, {}, [], np.empty(0, np.int64)), {name: [] for name in labels}, []
    for ds, read in samples.each(days):
        rows = _kept(read, part) if is_training else read
        for name in labels:
            if rows.column(name).null_count:
                raise DataError(
                    f"samples of ds={ds} were made before there was a label {name}: `recflow backfill run --nodes "
                    "rank_samples` makes them anew"
                )
            values[name].append(rows.column(name).to_numpy().astype(np.float32))
        part.per_day.append(rows.num_rows)
        sizes, request = _requests(rows)
        requests.append(sizes)
        _count_sampled(rows, request, samples.on_offer.get(ds), part)
        if looked_at is not None:
            looked_at(rows)
    part.labels = {name: np.concatenate(arrays) for name, arrays in values.items()}
    part.requests = np.concatenate(requests)
    return part


def matrix(
    samples: Samples,
    days: list[str],
    features: Features,
    max_bin: int = MAX_BIN,
    reference: xgboost.DMatrix | None = None,
    cache: Path | None = None,
) -> xgboost.DMatrix:
    """The days' model columns, binned, without labels. reference: of training, whose bins serve; without one these are
    the training days, and flagged rows are left out. cache: a folder for them; None keeps them in memory."""
    in_files = str(cache / f"{days[0]}_{days[-1]}") if cache else None
    batches = _Days(samples, days, features, in_files, is_training=reference is None)
    of = xgboost.ExtMemQuantileDMatrix if cache else xgboost.QuantileDMatrix
    return of(batches, ref=reference, max_bin=max_bin, enable_categorical=True)


class _Days(xgboost.DataIter):
    def __init__(
        self, samples: Samples, days: list[str], features: Features, cache: str | None, is_training: bool
    ) -> None:
        self._samples, self._days, self._features, self._at = samples, days, features, 0
        self._is_training = is_training
        super().__init__(cache_prefix=cache, release_data=True)

    def reset(self) -> None:
        self._at = 0

    def next(self, input_data) -> bool:
        while self._at < len(self._days):
            read = self._samples.of(self._days[self._at])
            rows, self._at = _kept(read) if self._is_training else read, self._at + 1
            if rows.num_rows:
                input_data(data=model_frame(rows, self._features))
                return True
        return False


def _kept(rows: pa.Table, part: Part | None = None) -> pa.Table:
    if IS_FLAGGED not in rows.column_names:
        return rows
    kept, users = without_flagged(rows)
    if part is not None:
        part.has_flags = True
        part.flagged_users |= set(users.unique().to_pylist())
        part.flagged_rows += len(users)
    return kept


def _requests(rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each request, and the number of each row's: the rows of a request lie together."""
    is_first = np.zeros(rows.num_rows, bool)
    for name in ("request_id", "user_id"):  # a request is of one user
        ids = rows.column(name).combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
        is_first |= np.diff(ids, prepend=-1) != 0
    starts = np.flatnonzero(is_first)
    sizes = np.diff(np.append(starts, rows.num_rows))
    return sizes, np.repeat(np.arange(len(sizes)), sizes)


def _count_sampled(rows: pa.Table, request: np.ndarray, on_offer: int | None, part: Part) -> None:
    """Negatives are drawn in requests with a positive, from the items on offer but those that the user acted on."""
    if on_offer is None or IS_SAMPLED not in rows.column_names or not rows.num_rows:
        return
    is_sampled = pc.fill_null(rows.column(IS_SAMPLED), False).to_numpy(zero_copy_only=False).astype(bool)
    own = np.bincount(request, weights=~is_sampled)
    drawn = np.bincount(request, weights=is_sampled)
    part.sampled += int(is_sampled.sum())
    part.offered += float(np.maximum(on_offer - own[drawn > 0], drawn[drawn > 0]).sum())
