"""Lists by a model's score: each user's pairs are described, scored and ordered inside one Spark task."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from jobs.ranking.known import Sources
from jobs.ranking.model_input import in_tasks
from jobs.ranking.models import Model, Scorer
from jobs.ranking.pairs import places

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from jobs.lib.solution import Solution

LISTS = (
    "user_id string, item_id string, score double, rank int, sources array<struct<recall:string,score:double,rank:int>>"
)


def best_lists(pairs: DataFrame, sources: Sources, model: Model, solution: Solution, top_n: int) -> DataFrame:
    """(user_id, item_id, score, rank, sources): the top_n pairs of each user, equal scores by item_id.

    pairs: as `with_features` takes them, of one feature_ds, and sources.
    """
    finish = partial(_lists, model=model, top_n=top_n)
    return in_tasks(pairs, sources, solution, finish, LISTS)


def _lists(pairs: pa.Table, columns: pa.Table, model: Model, top_n: int) -> pa.Table:
    import pyarrow as pa

    score, _ = Scorer(model).score(columns)
    user, item = (places(pairs.column(name)) for name in ("user_id", "item_id"))
    order = np.lexsort((item, -score, user))
    starts = np.flatnonzero(np.diff(user[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order)))) + 1
    best = order[rank <= top_n]
    return (
        pairs.select(["user_id", "item_id", "sources"])
        .take(pa.array(best))
        .add_column(2, "score", pa.array(score[best]))
        .add_column(3, "rank", pa.array(rank[rank <= top_n].astype(np.int32)))
    )
