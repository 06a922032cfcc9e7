"""Personal recall by vectors: the items whose inner product with the user's vector is the largest.

Grain: one row per (user_id, item_id), for every user with a vector. Score: the inner product, about 1 for an item the
user is sure to act on; items that the user is expected to pass by (0 or less) are not recalled.

Items that the user acted on are left out by default (the solution's publish.seen_days), as are items not on offer.
Every item is compared, none is guessed at. The item vectors are broadcast: 8 bytes a number in each task.
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

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from pyspark.sql import DataFrame

CONTRACT = "recall_u2i"
SOURCE_CONTRACT = "recall_vectors"
SETTINGS = ("publish.seen_days",)
COLUMNS = "user_id string, item_id string, score double, rank int"


class Params(RecallParams):
    source: Name
    recall_count: int = Field(200, ge=1, le=10_000)
    exclude_seen: bool = True


def vector_u2i(vectors: DataFrame, seen: DataFrame | None, offered: DataFrame | None, params: Params) -> DataFrame:
    """(user_id, item_id, score, rank), at most recall_count rows a user.

    vectors: a recall_vectors table; seen: (user_id, item_id) to leave out, duplicates welcome; offered: (item_id) that
    may be recalled, None for any.
    """
    from jobs.recall.dense import vectors_of

    on_offer = vectors.where("side = 'item'")
    if offered is not None:
        on_offer = on_offer.join(offered.select(F.col("item_id").alias("id")), on="id", how="semi")
    items = vectors_of(on_offer, "item", f"lower factors of {params.source}")
    shared = vectors.sparkSession.sparkContext.broadcast(items)
    users = vectors.where("side = 'user'").select(F.col("id").alias("user_id"), "vector")
    rows = users.withColumn("item_id", F.lit(None).cast("string"))
    if seen is not None:
        left_out = seen.join(users, on="user_id", how="semi").select("user_id", "item_id").distinct()
        rows = rows.unionByName(left_out, allowMissingColumns=True)
    return rows.repartition("user_id").mapInArrow(partial(_best, shared, params.recall_count), COLUMNS)


def _best(shared, count: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The recalled items of a partition that holds every row of its users; a row with an item is one left out."""
    import pyarrow.compute as pc

    from jobs.recall.dense import best_items, matrix_of
    from jobs.recall.sparse import coded, place

    present = [batch for batch in batches if batch.num_rows]
    if not present:
        return
    items = shared.value
    rows, codes = coded(present, ["user_id"])
    users, user = codes["user_id"]
    has_vector = pc.is_valid(rows.column("vector")).to_numpy()
    matrix = matrix_of(rows.column("vector").filter(has_vector))[user[has_vector].argsort()]
    item = place(rows.column("item_id").filter(~has_vector).combine_chunks(), items.ids)
    barred = (user[~has_vector][item >= 0], item[item >= 0])
    yield from best_items(users, matrix, items, barred, count)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return inputs.reads_of(solution, ds, solution.publish.seen_days, node.params.source)


def recalled(at: inputs.Day, params: Params) -> DataFrame:
    seen = at.acted(at.solution.publish.seen_days) if params.exclude_seen else None
    return vector_u2i(at.made(params.source), seen, at.offered(), params)


def main(days: list[str], solution: Solution, node: Node) -> None:
    inputs.make(recalled, days, solution, node)
