"""Item-to-item recall by vectors: items whose vectors point the same way.

Grain: one row per (trigger_item_id, item_id). Score: the cosine of two item vectors of a recall_vectors table, or their
inner product, which also favours items that many act on. Items that do not point the same way at all (0 or less) are
not similar and not listed.

The item vectors are broadcast (8 bytes a number in each task) and compared block by block.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution
from jobs.lib.solution_params import Name, RecallParams
from jobs.recall import inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import pyarrow as pa
    from pyspark.sql import DataFrame

CONTRACT = "recall_i2i"
SOURCE_CONTRACT = "recall_vectors"
SETTINGS = ()
COLUMNS = "trigger_item_id string, item_id string, score double, rank int"
BLOCK = 4_000_000  # products per block


class Params(RecallParams):
    source: Name
    similarity: Literal["cosine", "inner"] = "cosine"
    top_n: int = Field(200, ge=1, le=10_000)


def vector_i2i(vectors: DataFrame, params: Params) -> DataFrame:
    """(trigger_item_id, item_id, score, rank) from a recall_vectors table."""
    import numpy as np

    from jobs.recall.dense import vectors_of
    from jobs.recall.sparse import blocks_of

    session = vectors.sparkSession
    items = vectors_of(vectors, "item", f"lower factors of {params.source}")
    bounds = blocks_of(np.full(len(items.ids), len(items.ids)), BLOCK)
    count = len(bounds) - 1
    tasks = max(1, min(count, 4 * session.sparkContext.defaultParallelism))
    shared = session.sparkContext.broadcast(items)
    return session.range(0, count, 1, tasks).mapInArrow(partial(_similar, shared, bounds, params), COLUMNS)


def _similar(shared, bounds: np.ndarray, params: Params, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows of the trigger items of some blocks."""
    import numpy as np
    import pyarrow as pa

    from jobs.recall.dense import best_of_dense
    from jobs.recall.vector_kernels import inner_products

    items, matrix = shared.value.ids, shared.value.matrix
    if params.similarity == "cosine":
        length = np.sqrt((matrix * matrix).sum(axis=1, keepdims=True))
        matrix = matrix / np.where(length > 0, length, 1)
    transposed = np.ascontiguousarray(matrix.T)
    for block in (number for batch in batches for number in batch.column(0).to_pylist()):
        start, end = int(bounds[block]), int(bounds[block + 1])
        scores = inner_products(matrix[start:end], transposed)
        is_similar = scores > 0
        is_similar[np.arange(end - start), np.arange(start, end)] = False
        best = best_of_dense(scores, params.top_n, is_similar)
        trigger, item = (items.take(pa.array(codes)) for codes in (best.row + start, best.column))
        names = ["trigger_item_id", "item_id", "score", "rank"]
        yield pa.RecordBatch.from_arrays([trigger, item, pa.array(best.score), pa.array(best.rank)], names=names)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return Reads(needs=((solution.table(node.params.source), ds),))


def recalled(at: inputs.Day, params: Params) -> DataFrame:
    return vector_i2i(at.made(params.source), params)


def main(days: list[str], solution: Solution, node: Node) -> None:
    inputs.make(recalled, days, solution, node)
