"""Personal recall by way of an item-to-item table: what is similar to the user's triggers.

Grain: one row per (user_id, item_id). Source: the PAI-Rec tutorial,
score(i) = sum over the user's triggers t of weight(t) * similarity(t, i); attenuation 0.05 and 10 triggers are ours,
as are two options: rank_discount (jobs/recall/triggers.py), and balance, which divides each trigger's similarities by
their sum, so that a trigger does not outweigh others by being similar to much.

Items that the user acted on are left out by default (the solution's publish.seen_days), as are items not on offer.
Sums run over the triggers by item id, one user at a time, so they have the same bits however users are partitioned.
The i2i table is broadcast in coded form: 12 bytes a row in each task.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field

from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution
from jobs.lib.solution_params import Name, RecallParams
from jobs.lib.spark import F
from jobs.recall import inputs
from jobs.recall.triggers import triggers

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from pyspark.sql import DataFrame

CONTRACT = "recall_u2i"
SOURCE_CONTRACT = "recall_i2i"
SETTINGS = ("publish.seen_days",)
COLUMNS = "user_id string, item_id string, score double, rank int"
BLOCK = 2_000_000  # products per block


class Params(RecallParams):
    source: Name
    trigger_window_days: int = Field(15, ge=1, le=400)
    triggers: int = Field(10, ge=1, le=1000)
    attenuation: float = Field(0.05, ge=0, lt=1)
    rank_discount: float = Field(0.5, ge=0, le=5)
    balance: bool = True
    recall_count: int = Field(200, ge=1, le=10_000)
    exclude_seen: bool = True


def u2i(
    triggers: DataFrame, similar: DataFrame, seen: DataFrame | None, offered: DataFrame | None, params: Params
) -> DataFrame:
    """(user_id, item_id, score, rank), at most recall_count rows a user.

    triggers: user_id, item_id, weight; similar: a recall_i2i table; seen: (user_id, item_id) to leave out, duplicates
    welcome; offered: (item_id) that may be recalled, None for any.
    """
    from jobs.recall.sparse import balanced, similarities

    on_offer = similar if offered is None else similar.join(offered, on="item_id", how="semi")
    context = similar.sparkSession.sparkContext
    matrix = similarities(on_offer.select("trigger_item_id", "item_id", "score"))
    shared = context.broadcast(balanced(matrix) if params.balance else matrix)
    rows = triggers.select("user_id", "item_id", "weight")
    if seen is not None:
        with_triggers = triggers.select("user_id").distinct()
        left_out = seen.join(with_triggers, on="user_id", how="semi").select("user_id", "item_id").distinct()
        rows = rows.unionByName(left_out.withColumn("weight", F.lit(None).cast("double")))
    return rows.repartition("user_id").mapInArrow(partial(_best, shared, params.recall_count), COLUMNS)


def _best(shared, count: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The recalled items of a partition that holds every row of its users; a row without weight is an item left out."""
    import numpy as np
    import pyarrow as pa
    import scipy.sparse as sp

    from jobs.recall.sparse import best_of_rows, blocks_of, coded, place

    present = [batch for batch in batches if batch.num_rows]
    if not present:
        return
    similar = shared.value
    rows, codes = coded(present, ["user_id", "item_id"])
    (users, user), (ids, item) = codes["user_id"], codes["item_id"]
    item = place(ids, similar.items)[item]
    weight = rows.column("weight").to_numpy(zero_copy_only=False)  # NaN where null
    shape = (len(users), len(similar.items))
    known, is_trigger = item >= 0, ~np.isnan(weight)
    wanted, barred = known & is_trigger, known & ~is_trigger
    interests = sp.csr_matrix((weight[wanted], (user[wanted], item[wanted])), shape=shape)
    excluded = sp.csr_matrix((np.ones(barred.sum(), bool), (user[barred], item[barred])), shape=shape)
    interests.sort_indices()
    products = (interests != 0) @ np.diff(similar.scores.indptr)
    bounds = blocks_of(products, BLOCK)
    for start, end in zip(bounds[:-1], bounds[1:], strict=True):
        best = best_of_rows(interests[start:end] @ similar.scores, count, excluded[start:end])
        yield pa.RecordBatch.from_arrays(
            [users.take(pa.array(best.row + start)), similar.items.take(pa.array(best.column)), best.score, best.rank],
            names=["user_id", "item_id", "score", "rank"],
        )


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    days = max(node.params.trigger_window_days, solution.publish.seen_days)
    return inputs.reads_of(solution, ds, days, node.params.source)


def recalled(at: inputs.Day, params: Params) -> DataFrame:
    weights = inputs.action_weights(at.solution)
    return u2i(
        triggers(
            at.actions(params.trigger_window_days),
            at.ds,
            weights,
            params.attenuation,
            params.triggers,
            params.rank_discount,
        ),
        at.made(params.source),
        at.acted(at.solution.publish.seen_days) if params.exclude_seen else None,
        at.offered(),
        params,
    )


def main(days: list[str], solution: Solution, node: Node) -> None:
    inputs.make(recalled, days, solution, node)
