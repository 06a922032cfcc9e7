"""Vectors of users and items by implicit alternating least squares: the inner product foretells an act.

Grain: one row per (side, id); side is user or item. Source: Hu, Koren and Volinsky 2008, "Collaborative Filtering for
Implicit Feedback Datasets": minimise the sum over all pairs of (1 + a) (p - x.y)^2, plus l times that of |x|^2 and
|y|^2; p is 1 for an act and else 0, a = alpha log2(1 + strength) for an act and else 0, strength the summed event
weights of the window. l = regularization * sqrt(acts per user * acts per item), the scale of the matrix' singular
values: so one default serves dense and sparse data. (Spark's own ALS took 50 s where this takes 2, for equal quality.)

Item vectors are learned from every act of the users with min_user_behavior..max_user_behavior items. A user's vector is
the best one for the user_items items they acted on last (by time, then id), whoever the user is: on MovieLens a fifth
better than one for a whole history. Who acted on no item that has a vector gets none.

One task learns the item vectors: 100 bytes per pair, at most MAX_PAIRS of them, and 8 per number of a vector. Rows are
coded by id and each vector is solved for itself in a fixed order, so no order, partition or thread changes a bit.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from jobs.lib.columns import exact_sum
from jobs.lib.errors import RecflowError
from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution
from jobs.lib.solution_params import RecallParams
from jobs.lib.spark import F, Window
from jobs.recall import inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from jobs.recall.dense import Vectors

CONTRACT = "recall_vectors"
SETTINGS = ()
COLUMNS = "side string, id string, vector array<double>"
MAX_PAIRS = 30_000_000
ROWS = 10_000  # of vectors in a batch

log = logging.getLogger("recflow")


class Params(RecallParams):
    window_days: int = Field(30, ge=1, le=400)
    factors: int = Field(40, ge=1, le=512)
    iterations: int = Field(12, ge=1, le=100)
    regularization: float = Field(0.2, gt=0, allow_inf_nan=False)
    alpha: float = Field(1.0, gt=0, allow_inf_nan=False)
    min_user_behavior: int = Field(2, ge=1)
    max_user_behavior: int = Field(500, ge=1)
    user_items: int = Field(20, ge=1, le=10_000)
    seed: int = Field(7, ge=0)
    threads: int = Field(2, ge=1)

    @model_validator(mode="after")
    def _some_users_remain(self) -> Params:
        if self.min_user_behavior > self.max_user_behavior:
            raise ValueError(f"min_user_behavior {self.min_user_behavior} is above max_user_behavior")
        return self


def strengths(actions: DataFrame, weights: dict[str, float]) -> DataFrame:
    """(user_id, item_id, strength DOUBLE, last_time) of actions_daily: the summed weights of a user's acts."""
    weight = F.coalesce(*[F.when(F.col("event") == event, F.lit(float(w))) for event, w in weights.items()])
    return (
        actions.where(F.col("event").isin(list(weights)))
        .groupBy("user_id", "item_id")
        .agg(exact_sum(weight * F.col("cnt")).alias("strength"), F.max("last_time").alias("last_time"))
    )


def vectors(acts: DataFrame, params: Params) -> DataFrame:
    """(side, id, vector) from the (user_id, item_id, strength, last_time) rows of the window, one a pair."""
    from jobs.recall.dense import vectors_of

    session = acts.sparkSession
    pairs = acts.select("user_id", "item_id", "strength")
    sizes = pairs.groupBy("user_id").count().persist()
    users, count = _said_and_checked(sizes, params)
    teaching = sizes.where(F.col("count").between(params.min_user_behavior, params.max_user_behavior))
    in_one_task = (
        pairs.join(teaching.select("user_id"), on="user_id", how="semi")
        .repartition(1)
        .mapInArrow(partial(_item_vectors, params), COLUMNS)
    )
    items = vectors_of(in_one_task, "item", "lower factors or window_days")
    shared, shrinkage = session.sparkContext.broadcast(items), _shrinkage(count, users, len(items.ids), params)
    of_items = session.range(0, 1, 1, 1).mapInArrow(lambda _: _rows("item", shared.value), COLUMNS)
    last_first = Window.partitionBy("user_id").orderBy(F.col("last_time").desc(), F.col("item_id").asc())
    latest = acts.withColumn("place", F.row_number().over(last_first)).where(F.col("place") <= params.user_items)
    by_user = latest.select("user_id", "item_id", "strength").repartition("user_id")
    return of_items.unionByName(by_user.mapInArrow(partial(_user_vectors, shared, shrinkage, params), COLUMNS))


def _said_and_checked(sizes: DataFrame, params: Params) -> tuple[int, int]:
    """The users and pairs that are learned from; sizes: (user_id, count) of all."""
    few, many = F.col("count") < params.min_user_behavior, F.col("count") > params.max_user_behavior
    learned = F.coalesce(F.sum(F.when(~few & ~many, F.col("count"))), F.lit(0))
    users, too_few, too_many, count = sizes.agg(
        F.count_if(~few & ~many), F.count_if(few), F.count_if(many), learned
    ).first()
    log.info(
        "%s: learned from %s users with %s pairs; not from %s users with fewer than %d items, %s with more than %d",
        *(params.name, f"{users:,}", f"{count:,}", f"{too_few:,}", params.min_user_behavior),
        *(f"{too_many:,}", params.max_user_behavior),
    )
    if count > MAX_PAIRS:
        raise RecflowError(
            f"{params.name}: {count:,} pairs are to be learned from in one task, at most {MAX_PAIRS:,}: "
            "lower max_user_behavior or window_days, or raise min_user_behavior"
        )
    return users, count


def _shrinkage(pairs: int, users: int, items: int, params: Params) -> float:
    return params.regularization * pairs / (users * items) ** 0.5 if pairs else params.regularization


def _item_vectors(params: Params, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The item vectors, by one task that is given every pair."""
    import numpy as np

    from jobs.recall.dense import Vectors
    from jobs.recall.sparse import coded

    present = [batch for batch in batches if batch.num_rows]
    if not present:
        return
    rows, codes = coded(present, ["user_id", "item_id"])
    (_, user), (items, item) = codes["user_id"], codes["item_id"]
    extra = _confidence(rows, params)
    sizes = np.bincount(user)
    learns = ((sizes >= params.min_user_behavior) & (sizes <= params.max_user_behavior))[user]
    (users, user), (kept, item) = (np.unique(code[learns], return_inverse=True) for code in (user, item))
    if len(users):
        matrix = _learned(user, item, extra[learns], (len(users), len(kept)), params)
        yield from _rows("item", Vectors(items.take(kept), matrix))


def _learned(
    user: np.ndarray, item: np.ndarray, extra: np.ndarray, shape: tuple[int, int], params: Params
) -> np.ndarray:
    """The item vectors after so many steps; a step is the users' vectors from the items', then the other way."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from jobs.recall.vector_kernels import gram_of, solve_rows

    by_user = _grouped(user, item, extra, shape[0])
    by_item = _grouped(item, user, extra, shape[1])
    x = np.zeros((shape[0], params.factors))
    y = np.random.default_rng(params.seed).standard_normal((shape[1], params.factors)) / (10 * params.factors**0.5)
    with ThreadPoolExecutor(params.threads) as pool:
        shrinkage = _shrinkage(len(user), *shape, params)

        def solve(groups: tuple, others: np.ndarray, solved: np.ndarray) -> None:
            gram, cuts = gram_of(others), np.linspace(0, len(solved), 4 * params.threads + 1).astype(np.int64)
            shares = [(int(a), int(b)) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
            list(pool.map(lambda s: solve_rows(*groups, others, gram, shrinkage, solved, *s), shares))

        for _ in range(params.iterations):
            solve(by_user, y, x)
            solve(by_item, x, y)
    return y


def _user_vectors(
    shared, shrinkage: float, params: Params, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """The vectors of a partition that holds every row of its users."""
    import numpy as np

    from jobs.recall.dense import Vectors
    from jobs.recall.sparse import coded, place
    from jobs.recall.vector_kernels import gram_of, solve_rows

    present = [batch for batch in batches if batch.num_rows]
    if not present:
        return
    rows, codes = coded(present, ["user_id", "item_id"])
    (ids, user), (found, item) = codes["user_id"], codes["item_id"]
    item = place(found, shared.value.ids)[item]
    known = item >= 0
    users, user = np.unique(user[known], return_inverse=True)
    groups = _grouped(user, item[known], _confidence(rows, params)[known], len(users))
    items = shared.value.matrix
    solved = np.zeros((len(users), params.factors))
    if len(users):
        solve_rows(*groups, items, gram_of(items), shrinkage, solved, 0, len(users))
    yield from _rows("user", Vectors(ids.take(users), solved))


def _confidence(rows: pa.Table, params: Params) -> np.ndarray:
    import numpy as np

    return params.alpha * np.log2(1 + rows.column("strength").to_numpy())


def _grouped(row: np.ndarray, entry: np.ndarray, extra: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """ends, codes and extra as `solve_rows` wants them: the entries of row r are those of ends[r]:ends[r + 1]."""
    import numpy as np

    order = np.lexsort((entry, row))
    ends = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=count))]).astype(np.int64)
    return ends, entry[order].astype(np.int32), extra[order]


def _rows(side: str, found: Vectors) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    for start in range(0, len(found.ids), ROWS):
        ids = found.ids.slice(start, ROWS)
        part = found.matrix[start : start + ROWS]
        lists = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), part.shape[1]).cast(pa.list_(pa.float64()))
        sides = pa.array([side] * len(ids), pa.string())
        yield pa.RecordBatch.from_arrays([sides, ids, lists], names=["side", "id", "vector"])


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return inputs.reads_of(solution, ds, node.params.window_days, offered=False)


def recalled(at: inputs.Day, params: Params) -> DataFrame:
    return vectors(strengths(at.actions(params.window_days), inputs.action_weights(at.solution)), params)


def main(days: list[str], solution: Solution, node: Node) -> None:
    inputs.make(recalled, days, solution, node)
