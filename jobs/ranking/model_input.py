"""Brings pairs of user and item together with what is known of both, for the model.

A pair is described as of one day, its `feature_ds`: the day before a sample's events, and for candidates their own ds.
So a list made at T is scored with what a sample of T+1 would see. What the columns are stands in feature_list.py, how
they are computed in pair_columns.py. The items of a day are broadcast; users come along with their pairs, and each pair
meets both inside a Spark task: joined as wide rows, a hundred columns would travel for every pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.lib.days import day_number
from jobs.lib.solution import Solution
from jobs.lib.spark import F
from jobs.ranking.feature_list import FeatureList, feature_list
from jobs.ranking.known import USER, Sources, hot, item_rows, neighbours, user_rows

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyspark import Broadcast
    from pyspark.sql import Column, DataFrame


KEYS = ("ds", "request_id", "user_id", "item_id")
PAIRS_AT_ONCE = 100_000
MAP = "map<string,double>"

Finish = Callable[["pa.Table", "pa.Table"], "pa.Table"]


@dataclass(frozen=True)
class Shared:
    """What every task needs. items, neighbours and hot: by feature_ds, then as in `Described`."""

    features: FeatureList
    items: dict[str, pa.Table]
    neighbours: dict[str, dict[str, Any]]
    hot: dict[str, dict[str, Any]]
    packed: dict[str, list[str]]  # the columns of a user by type, see `_packed`
    maps: list[str]
    context: dict[str, str]


def with_features(pairs: DataFrame, sources: Sources, solution: Solution) -> DataFrame:
    """The pairs with every model column, numbers as FLOAT; a number that the pairs bring keeps its own type.

    pairs: feature_ds, user_id, item_id, the context, and what the caller wants to keep;
    feature_ds is dropped.
    """
    features = feature_list(solution)
    kept = [c for c in pairs.columns if c != "feature_ds"]
    made = [c for c in (*features.numbers, *features.categories) if c not in kept]
    types = [f"`{f.name}` {f.dataType.simpleString()}" for f in pairs.select(*kept).schema.fields]
    types += [f"`{c}` {'float' if c in features.numbers else 'string'}" for c in made]
    finish = partial(_with_columns, kept=kept, made=made)
    return in_tasks(pairs, sources, solution, finish, ", ".join(types))


def _with_columns(pairs: pa.Table, columns: pa.Table, kept: list[str], made: list[str]) -> pa.Table:
    import pyarrow as pa

    return pa.table({name: pairs.column(name) for name in kept} | {name: columns.column(name) for name in made})


def in_tasks(pairs: DataFrame, sources: Sources, solution: Solution, finish: Finish, schema: str) -> DataFrame:
    """What `finish` makes of whole users' pairs (the rows, and the model's columns of each), as rows of `schema`."""
    features = feature_list(solution)
    users = user_rows(pairs, sources, features, solution)
    packed = {kind: [c for c, of in users.dtypes if of == kind and c not in USER] for kind in ("double", "string")}
    maps = [name for name, kind in users.dtypes if kind == MAP]
    shared = pairs.sparkSession.sparkContext.broadcast(
        Shared(
            features=features,
            items=item_rows(sources, features, solution),
            neighbours=neighbours(sources, features),
            hot=hot(sources, features),
            packed=packed,
            maps=maps,
            context=dict.fromkeys(features.context_numbers, "double") | dict.fromkeys(features.context, "string"),
        )
    )
    rows = pairs.withColumn("is_pair", F.lit(True)).unionByName(_packed(users, packed), allowMissingColumns=True)
    grouped = rows.withColumn("day_user", F.concat_ws("/", "feature_ds", "user_id")).repartition("day_user")
    return grouped.sortWithinPartitions("day_user").mapInArrow(partial(_task, shared, finish), schema)


def _task(shared: Broadcast, finish: Finish, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    from jobs.recall.fusion import whole_users

    for rows in whole_users(batches, PAIRS_AT_ONCE, "day_user"):
        for ds in sorted(rows.column("feature_ds").unique().to_pylist()):
            yield from _of_day(rows, ds, shared.value, finish).to_batches()


def _of_day(rows: pa.Table, ds: str, shared: Shared, finish: Finish) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    from jobs.ranking.pair_columns import pair_columns
    from jobs.ranking.pairs import Described

    of_day = rows.filter(pc.equal(rows.column("feature_ds"), ds)).combine_chunks()
    is_pair = pc.is_valid(of_day.column("is_pair"))
    pairs, users = of_day.filter(is_pair), of_day.filter(pc.invert(is_pair))
    known = Described(day_number(ds), _unpacked(users, shared), shared.items[ds], shared.neighbours[ds], shared.hot[ds])
    kinds = {"double": pa.float64(), "string": pa.string()}
    context = {c: _one(pairs, c).cast(kinds[kind]) for c, kind in shared.context.items()}
    return finish(pairs, pair_columns(shared.features, known, _one(pairs, "user_id"), _one(pairs, "item_id"), context))


def _one(table: pa.Table, name: str) -> pa.Array:
    return table.column(name).combine_chunks()


def _packed(users: DataFrame, packed: dict[str, list[str]]) -> DataFrame:
    """The columns of a type as one array: a pair has a NULL for each column here, and Arrow writes down every one."""
    arrays = [F.array(*names).cast(f"array<{kind}>").alias(f"{kind}s") for kind, names in packed.items()]
    return users.select(*USER, *arrays, *[c for c, kind in users.dtypes if kind == MAP])


def _unpacked(users: pa.Table, shared: Shared) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = {"user_id": _one(users, "user_id"), **{name: _one(users, name) for name in shared.maps}}
    for kind, names in shared.packed.items():
        values = pc.list_flatten(_one(users, f"{kind}s")) if names else None
        for number, name in enumerate(names):
            columns[name] = values.take(pa.array(np.arange(number, len(values), len(names))))
    return pa.table(columns)


def model_select(solution: Solution, prefix: tuple[str, ...] = ()) -> list[Column]:
    """The model columns as they travel to Python: numbers as FLOAT, which is what XGBoost computes with."""
    features = feature_list(solution)
    numbers = [F.col(c).cast("float").alias(c) for c in features.numbers]
    return [*[F.col(c) for c in prefix], *numbers, *[F.col(c) for c in features.categories]]


def model_frame(table: pa.Table, features: dict[str, list[str] | tuple[float, float] | None]) -> pd.DataFrame:
    """The frame that XGBoost reads, in the order of `features`: name -> its categories; None for a number, or the mean
    and deviation that make it a z-score.

    A category that is not listed is a missing value: new cities and sections don't stop a day.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = {}
    for name, categories in features.items():
        column = table.column(name)
        if not isinstance(categories, list):
            mean, deviation = categories or (0.0, 1.0)
            values = column.to_numpy(zero_copy_only=False).astype("float32", copy=False)
            columns[name] = values if categories is None else ((values - mean) / deviation).astype("float32")
        else:
            codes = pc.fill_null(pc.index_in(column, value_set=pa.array(categories, pa.string()), skip_nulls=True), -1)
            columns[name] = pd.Categorical.from_codes(codes.to_numpy(zero_copy_only=False), categories=categories)
    return pd.DataFrame(columns)
