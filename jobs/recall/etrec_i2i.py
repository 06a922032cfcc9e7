"""etrec, item-based collaborative filtering: items that the same users acted on.

Grain: one row per (trigger_item_id, item_id). Source: PAI's etrec component (similarity types, min and max behaviors,
alpha, weight) and the PAI-Rec tutorial (30 training days). With Ui the users of item i, Iu the items of user u:

- jaccard |Ui n Uj| / |Ui u Uj|;  cosine |Ui n Uj| / sqrt(|Ui| |Uj|)
- asymcosine (|Ui n Uj| / (|Ui|^alpha |Uj|^(1 - alpha)))^weight, i the trigger: not symmetric unless alpha is 0.5
- wbcosine: sum over common users of 1 / ln(1 + |Iu|), over sqrt(|Ui| |Uj|). PAI does not publish it; this one is ours.

An act is any event with a weight above 0 (or the `event` that the line names), counted once per user and item. Users
with fewer than min_user_behavior or more than max_user_behavior items are left out of every figure, and logged.

The users' items are collected in coded form (4 bytes a pair), broadcast, and multiplied by blocks of items: each task
needs about 30 bytes a pair and 200 MB for its block. Sums are of integers (1e-9 units for wbcosine), hence exact.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution
from jobs.lib.solution_params import RecallParams
from jobs.recall import inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import pyarrow as pa
    from pyspark.sql import DataFrame

CONTRACT = "recall_i2i"
SETTINGS = ()
COLUMNS = "trigger_item_id string, item_id string, score double, rank int"
SCALE = 1_000_000_000
BLOCK = 4_000_000  # cells (or 16 multiplications) per block

log = logging.getLogger("recflow")


class Params(RecallParams):
    similarity: Literal["wbcosine", "asymcosine", "jaccard", "cosine"] = "wbcosine"
    window_days: int = Field(30, ge=1, le=400)
    top_n: int = Field(200, ge=1, le=10_000)
    min_user_behavior: int = Field(2, ge=1)
    max_user_behavior: int = Field(500, ge=2)
    alpha: float = Field(0.5, ge=0, le=1)
    weight: float = Field(1.0, gt=0, allow_inf_nan=False)
    event: str | None = None  # default: every event with a weight above 0

    @model_validator(mode="after")
    def _some_users_remain(self) -> Params:
        if self.min_user_behavior > self.max_user_behavior:
            raise ValueError(f"min_user_behavior {self.min_user_behavior} is above max_user_behavior")
        return self

    @property
    def events_named(self) -> list[str]:
        """The events that this line refers to; each must be declared in the solution."""
        return [self.event] if self.event else []


def etrec_i2i(acts: DataFrame, params: Params) -> DataFrame:
    """(trigger_item_id, item_id, score, rank) from the (user_id, item_id) rows of the training window."""
    import numpy as np

    from jobs.recall.sparse import blocks_of, histories

    session = acts.sparkSession
    users = histories(acts, params.min_user_behavior, params.max_user_behavior)
    log.info(
        "%s: %s users with %s pairs of %s items; left out: %s users with fewer than %d items, %s with more than %d",
        *(params.name, f"{len(users.sizes):,}", f"{len(users.codes):,}", f"{len(users.items):,}"),
        *(f"{users.too_few:,}", params.min_user_behavior, f"{users.too_many:,}", params.max_user_behavior),
    )
    products = users.matrix(np.repeat(users.sizes, users.sizes)).sum(axis=0).A1 if len(users.codes) else np.zeros(0)
    bounds = blocks_of(np.minimum(products, len(users.items)) + products // 16, BLOCK)
    count = len(bounds) - 1
    tasks = max(1, min(count, 4 * session.sparkContext.defaultParallelism))
    shared = session.sparkContext.broadcast(users)
    return session.range(0, count, 1, tasks).mapInArrow(partial(_similar, shared, bounds, params), COLUMNS)


def _similar(shared, bounds: np.ndarray, params: Params, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows of the trigger items of some blocks."""
    import numpy as np
    import pyarrow as pa
    import scipy.sparse as sp

    from jobs.recall.sparse import best_of_rows

    users = None
    for block in (number for batch in batches for number in batch.column(0).to_pylist()):
        if users is None:
            users = shared.value
            by_user = users.matrix(np.ones(len(users.codes), np.int64))
            by_item = users.matrix(_user_weights(users.sizes, params)).T.tocsr()
            actors = np.bincount(users.codes, minlength=len(users.items)).astype(np.float64)
        start, end = int(bounds[block]), int(bounds[block + 1])
        common = by_item[start:end] @ by_user
        triggers = np.repeat(np.arange(start, end), np.diff(common.indptr))
        score = _similarity(common.data, triggers, common.indices, actors, params)
        scores = sp.csr_matrix((score, common.indices, common.indptr), shape=common.shape)
        itself = sp.eye(end - start, len(users.items), start, format="csr")
        best = best_of_rows(scores, params.top_n, itself)
        trigger, item = (users.items.take(pa.array(codes)) for codes in (best.row + start, best.column))
        names = ["trigger_item_id", "item_id", "score", "rank"]
        yield pa.RecordBatch.from_arrays([trigger, item, pa.array(best.score), pa.array(best.rank)], names=names)


def _user_weights(sizes: np.ndarray, params: Params) -> np.ndarray:
    """What each pair of a user adds to an item pair, as int64: 1, or for wbcosine the user's weight in 1e-9 units."""
    import numpy as np

    if params.similarity != "wbcosine":
        return np.ones(sizes.sum(), np.int64)
    return np.repeat(np.rint(SCALE / np.log1p(sizes)).astype(np.int64), sizes)


def _similarity(
    common: np.ndarray, trigger: np.ndarray, item: np.ndarray, users: np.ndarray, params: Params
) -> np.ndarray:
    """Scores from the summed weights of common users; trigger and item are codes, users the number of users by code."""
    import numpy as np

    if params.similarity == "asymcosine":
        powers = users**params.alpha, users ** (1 - params.alpha)
        score = common / (powers[0][trigger] * powers[1][item])
        return score if params.weight == 1 else score**params.weight
    if params.similarity == "jaccard":
        return common / (users[trigger] + users[item] - common)
    score = common / np.sqrt(users[trigger] * users[item])
    return score / SCALE if params.similarity == "wbcosine" else score


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return inputs.reads_of(solution, ds, node.params.window_days, offered=False)


def recalled(at: inputs.Day, params: Params) -> DataFrame:
    weights = {params.event: 1.0} if params.event else inputs.action_weights(at.solution)
    return etrec_i2i(inputs.acted_items(at.actions(params.window_days), weights), params)


def main(days: list[str], solution: Solution, node: Node) -> None:
    inputs.make(recalled, days, solution, node)
