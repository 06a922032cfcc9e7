"""The best cells of the rows of a dense matrix."""

from __future__ import annotations

import numpy as np

from jobs.recall.sparse import Best


def best_of_dense(scores: np.ndarray, top_n: int, is_allowed: np.ndarray) -> Best:
    """The top_n allowed cells of each row by score descending, then column. What is not allowed is overwritten."""
    scores[~is_allowed] = -np.inf
    lengths = np.minimum(is_allowed.sum(axis=1), top_n)
    columns, values = [], []
    for row, length in zip(scores, lengths, strict=True):
        least = np.partition(row, len(row) - length)[len(row) - length] if length else np.inf
        column = np.flatnonzero(row >= least)
        column = column[np.argsort(-row[column], kind="stable")][:length]
        columns.append(column)
        values.append(row[column])
    starts = np.cumsum(lengths) - lengths
    return Best(
        row=np.repeat(np.arange(len(scores)), lengths),
        column=np.concatenate([np.empty(0, np.int64), *columns]),
        score=np.concatenate([np.empty(0), *values]),
        rank=(np.arange(lengths.sum()) - np.repeat(starts, lengths) + 1).astype(np.int32),
    )
