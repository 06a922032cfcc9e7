"""EASE^R item-to-item recall: the linear model that best foretells each item of a user from the user's other items.

Grain: one row per (trigger_item_id, item_id). Source: Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse
Data": with X the users x items matrix of distinct acts, P = (X'X + regularization I)^-1 and B = -P / diag(P) by
columns, the score of (trigger i, item j) is B[i, j]: what an act on i adds for j beyond what the other items tell.

Only positive weights are similarities, so only they are listed; the paper's sum over a whole history uses negative ones
too. With 10 to 20 triggers that costs nothing (MovieLens); with whole histories 2 to 8 % of Recall@10. Let the u2i line
say `attenuation: 0` and 10 to 20 triggers. Scores are rounded to 1e-9, so that items alike to the last bit of rounding
errors are a tie, which the lower id wins.

The inverse is dense: catalogs above max_items keep the items acted on by most users, and how many are left out is
logged. One task holds 8 bytes per pair of items (10,000 items: 0.8 GB) and works for about half a minute at that size.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from jobs.lib.errors import RecflowError
from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution
from jobs.lib.solution_params import RecallParams
from jobs.recall import inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from jobs.recall.histories import Catalog, Histories

CONTRACT = "recall_i2i"
SETTINGS = ()
COLUMNS = "trigger_item_id string, item_id string, score double, rank int"
DECIMALS = 9
BLOCK = 512  # items

log = logging.getLogger("recflow")


class Params(RecallParams):
    window_days: int = Field(30, ge=1, le=400)
    regularization: float = Field(300.0, gt=0, allow_inf_nan=False)
    max_items: int = Field(10_000, ge=2, le=40_000)
    top_n: int = Field(200, ge=1, le=10_000)
    min_user_behavior: int = Field(2, ge=1)
    max_user_behavior: int = Field(500, ge=2)

    @model_validator(mode="after")
    def _some_users_remain(self) -> Params:
        if self.min_user_behavior > self.max_user_behavior:
            raise ValueError(f"min_user_behavior {self.min_user_behavior} is above max_user_behavior")
        return self


def ease_i2i(acts: DataFrame, params: Params) -> DataFrame:
    """(trigger_item_id, item_id, score, rank) from the (user_id, item_id) rows of the training window."""
    from jobs.recall.histories import histories
    from jobs.recall.packed_acts import Limits

    session = acts.sparkSession
    limits = Limits(params.min_user_behavior, params.max_user_behavior, False, None, 0)
    found, catalog = histories(acts, limits, params.name)
    kept = most_acted_on(catalog.users, params.max_items)
    if len(kept) < len(catalog.items):
        pairs, left = int(catalog.users.sum()), int(catalog.users[kept].sum())
        log.warning(
            "%s: the catalog does not fit: %s of %s items, with %s of %s pairs, are left out (max_items %s)",
            *(params.name, f"{len(catalog.items) - len(kept):,}", f"{len(catalog.items):,}"),
            *(f"{pairs - left:,}", f"{pairs:,}", f"{params.max_items:,}"),
        )
    return session.range(0, 1, 1, 1).mapInArrow(partial(_weights, found, kept, params), COLUMNS)


def most_acted_on(users: np.ndarray, at_most: int) -> np.ndarray:
    """The codes of the `at_most` items with the most users, ascending; ties keep the lower id."""
    import numpy as np

    return np.sort(np.argsort(-users, kind="stable")[:at_most])


def _weights(
    found: Histories, kept: np.ndarray, params: Params, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """The rows of every trigger item: the whole model is one task's work."""
    import pyarrow as pa

    from jobs.recall.dense import best_of_dense
    from jobs.recall.histories import once

    count = len(kept)
    if sum(batch.num_rows for batch in batches) == 0 or count == 0:
        return
    catalog = once(found.shared)
    items = catalog.items.take(pa.array(kept))
    inverse = _inverse(_gram(found, catalog, kept), params.regularization)
    diagonal = inverse.diagonal().copy()
    for start in range(0, count, BLOCK):
        weight = inverse[start : start + BLOCK] / -diagonal
        best = best_of_dense(weight.round(DECIMALS), params.top_n, is_allowed=weight > 0.5 * 10.0**-DECIMALS)
        trigger, item = (items.take(pa.array(codes)) for codes in (best.row + start, best.column))
        names = ["trigger_item_id", "item_id", "score", "rank"]
        yield pa.RecordBatch.from_arrays([trigger, item, pa.array(best.score), pa.array(best.rank)], names=names)


def _gram(found: Histories, catalog: Catalog, kept: np.ndarray) -> np.ndarray:
    """X'X of the kept items, whole numbers: the same in any order of the groups."""
    import numpy as np
    import scipy.sparse as sp

    code = np.full(len(catalog.items), -1, np.int32)
    code[kept] = np.arange(len(kept), dtype=np.int32)
    gram = np.zeros((len(kept), len(kept)), order="F")
    for group in found.loaded(catalog):
        is_kept = code[group.codes] >= 0
        ends = np.concatenate([[0], np.cumsum(is_kept)])[group.ends]
        by_user = sp.csr_matrix((np.ones(is_kept.sum()), code[group.codes[is_kept]], ends), (len(ends) - 1, len(kept)))
        by_item = by_user.T.tocsr()
        for start in range(0, len(kept), BLOCK):  # by columns, which lie together; X'X is symmetric
            gram[:, start : start + BLOCK] += (by_item[start : start + BLOCK] @ by_user).toarray().T
    return gram


def _inverse(gram: np.ndarray, regularization: float) -> np.ndarray:
    """(X'X + regularization I)^-1, in the place of X'X. LAPACK in one thread: PySpark gives a task's BLAS one."""
    import numpy as np
    from scipy.linalg.lapack import dpotrf, dpotri

    count = len(gram)
    gram[np.diag_indices(count)] += regularization
    gram, not_positive = dpotrf(gram, lower=1, overwrite_a=1)
    gram, singular = dpotri(gram, lower=1, overwrite_c=1)
    if not_positive or singular:
        raise RecflowError(f"X'X + {regularization} I cannot be inverted: raise regularization")
    for start in range(0, count, BLOCK):  # dpotri fills the lower half
        end = min(start + BLOCK, count)
        corner = np.tril(gram[start:end, start:end])
        gram[start:end, start:end] = corner + np.tril(corner, -1).T
        gram[start:end, end:] = gram[end:, start:end].T
    return gram


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return inputs.reads_of(solution, ds, node.params.window_days, offered=False)


def recalled(at: inputs.Day, params: Params) -> DataFrame:
    weights = inputs.action_weights(at.solution)
    return ease_i2i(inputs.acted_items(at.actions(params.window_days), weights), params)


def main(days: list[str], solution: Solution, node: Node) -> None:
    inputs.make(recalled, days, solution, node)
