"""Lists by a model's score, without a wide row per pair: each pair meets its user and its item inside a Spark task.

`with_features` joins a hundred columns to every pair, and each of them travels to Python. Here the items of the day are
broadcast, the users come along with their pairs, and the model's columns are put together chunk by chunk. They are the
same to the bit, so the scores are (a test holds it).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.lib.spark import F
from jobs.ranking.model_input import Sources, category_columns, cross_name, described, number_columns
from jobs.ranking.models import Model, load_booster, model_features, predict

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from jobs.lib.solution import Solution

MOST_ITEMS = 200_000  # that are broadcast: about 400 bytes each
PAIRS_AT_ONCE = 100_000
KINDS = ("float", "double", "string")
LISTS = (
    "user_id string, item_id string, score double, rank int, sources array<struct<recall:string,score:double,rank:int>>"
)


@dataclass(frozen=True)
class Scoring:
    """What every task needs: the model, the items (sorted by id), what is the same for all pairs."""

    booster: bytes
    features: dict[str, list[str] | None]
    items: pa.Table
    context: dict[str, Any]
    crosses: dict[str, tuple[str, str]]  # item attribute -> its columns: count, share
    packed: dict[str, list[str]]  # the columns of a user by kind, see `_packed`
    categories: frozenset[str]
    top_n: int


def best_lists(
    pairs: DataFrame, sources: Sources, model: Model, context: dict[str, Any], ds: str, solution: Solution, top_n: int
) -> DataFrame | None:
    """(user_id, item_id, score, rank, sources): the top_n pairs of each user, equal scores by item_id.

    pairs: user_id, item_id, sources; context: as `serving_context` gives it. None when there are too many items to be
    broadcast: then pairs are joined with what describes them.
    """
    items = described(sources, solution, "item", ds).limit(MOST_ITEMS + 1).toArrow()
    if items.num_rows > MOST_ITEMS:
        return None
    attributes = [name.removeprefix("at_") for name in items.column_names if name.startswith("at_")]
    crosses = {a: tuple(cross_name(solution, a, stat) for stat in ("cnt", "share")) for a in attributes}
    made = {*number_columns(solution), *category_columns(solution)}
    users = described(sources, solution, "user", ds)
    packed = {kind: [name for name, of in users.dtypes[1:] if of == kind] for kind in KINDS}
    scoring = Scoring(
        booster=model.booster,
        features={name: of for name, of in model_features(model).items() if name in made},
        items=items.combine_chunks(),
        context=context,
        crosses=crosses,
        packed=packed,
        categories=frozenset(category_columns(solution)),
        top_n=top_n,
    )
    rows = pairs.select("user_id", "item_id", "sources").unionByName(_packed(users, packed), allowMissingColumns=True)
    shared = pairs.sparkSession.sparkContext.broadcast(scoring)
    return rows.repartition("user_id").sortWithinPartitions("user_id").mapInArrow(partial(_task, shared), LISTS)


def _packed(users: DataFrame, packed: dict[str, list[str]]) -> DataFrame:
    """The columns of a kind as one array: a pair has a NULL for each column here, and Arrow writes down every one."""
    arrays = [F.array(*names).cast(f"array<{kind}>").alias(kind) for kind, names in packed.items()]
    return users.select("user_id", *arrays, *[c for c in users.columns if c.startswith("kv_")])


def _unpacked(users: pa.Table, packed: dict[str, list[str]]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = {name: users.column(name) for name in users.column_names if name.startswith("kv_")}
    for kind, names in packed.items():
        values = pc.list_flatten(users.column(kind)).combine_chunks() if names else None
        for number, name in enumerate(names):
            columns[name] = values.take(pa.array(np.arange(number, len(values), len(names))))
    return pa.table(columns)


def _task(shared, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    from jobs.recall.fusion import whole_users

    scoring = shared.value
    booster = load_booster(scoring.booster)
    for rows in whole_users(batches, PAIRS_AT_ONCE):
        yield from _lists(rows, scoring, booster).to_batches()


def _lists(rows: pa.Table, scoring: Scoring, booster) -> pa.Table:
    """rows: whole users, each as its pairs and at most one row that describes it (without item_id)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_pair = pc.is_valid(rows.column("item_id"))
    pairs, users = rows.filter(is_pair).combine_chunks(), rows.filter(pc.invert(is_pair)).combine_chunks()
    at_user = pc.index_in(pairs.column("user_id"), value_set=users.column("user_id").combine_chunks())
    at_item = pc.index_in(pairs.column("item_id"), value_set=scoring.items.column("item_id").combine_chunks())
    table = _model_table(_unpacked(users, scoring.packed), at_user, at_item, scoring)
    score = predict(booster, table, scoring.features).astype("float64")
    user, item = (_places(pairs.column(name)) for name in ("user_id", "item_id"))
    order = np.lexsort((item, -score, user))
    starts = np.flatnonzero(np.diff(user[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order)))) + 1
    best = order[rank <= scoring.top_n]
    return (
        pairs.select(["user_id", "item_id", "sources"])
        .take(pa.array(best))
        .add_column(2, "score", pa.array(score[best]))
        .add_column(3, "rank", pa.array(rank[rank <= scoring.top_n].astype(np.int32)))
    )


def _places(ids: pa.ChunkedArray) -> np.ndarray:
    """The place of each id among the ids, in byte order: the order in which Spark sorts strings."""
    import pyarrow.compute as pc

    encoded = ids.combine_chunks().dictionary_encode()
    place = np.empty(len(encoded.dictionary), np.int64)
    place[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(place))
    return place[encoded.indices.to_numpy(zero_copy_only=False)]


def _model_table(of_user: pa.Table, at_user: pa.ChunkedArray, at_item: pa.ChunkedArray, scoring: Scoring) -> pa.Table:
    """The model's columns of each pair; a user or item that nothing describes has NULLs."""
    import pyarrow as pa

    n = len(at_user)
    columns = {}
    for attribute, (count, share) in scoring.crosses.items():
        columns |= dict(zip((count, share), _crosses(attribute, of_user, at_user, at_item, scoring), strict=True))
    for name in scoring.features:
        if name in scoring.context:
            kind = pa.string() if name in scoring.categories else pa.float32()
            columns[name] = pa.repeat(pa.scalar(scoring.context[name], kind), n)
        elif name in of_user.column_names:
            columns[name] = of_user.column(name).take(at_user)
        elif name not in columns:
            columns[name] = scoring.items.column(name).take(at_item)
    return pa.table({name: columns[name] for name in scoring.features})


def _crosses(
    attribute: str, of_user: pa.Table, at_user: pa.ChunkedArray, at_item: pa.ChunkedArray, scoring: Scoring
) -> tuple[np.ndarray, np.ndarray]:
    """The user's own count at the item's attribute value, and its share of all counted; NaN where either is unknown."""
    import pyarrow as pa
    import pyarrow.compute as pc

    counts = of_user.column(f"kv_{attribute}").combine_chunks()
    values = scoring.items.column(f"at_{attribute}").combine_chunks().dictionary_encode()
    codes, size = values.dictionary, len(values.dictionary) + 1
    code = pc.fill_null(pc.index_in(counts.keys, value_set=codes), len(codes)).to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(len(counts)), np.diff(counts.offsets.to_numpy()))
    cells, number = owner * size + code, counts.items.to_numpy(zero_copy_only=False)
    order = np.argsort(cells, kind="stable")
    cells, number = cells[order], number[order]
    wanted = pc.multiply(pc.cast(at_user, pa.int64()), size)
    wanted = pc.add(wanted, pc.cast(pc.take(values.indices, at_item), pa.int64()))
    has_counts = pc.fill_null(pc.take(pc.is_valid(counts), at_user), False)
    known = pc.and_(pc.is_valid(wanted), has_counts).to_numpy(zero_copy_only=False)
    cell = pc.fill_null(wanted, -1).to_numpy(zero_copy_only=False)
    at = np.minimum(np.searchsorted(cells, cell), max(len(cells) - 1, 0))
    found = cells[at] == cell if len(cells) else np.zeros(len(cell), bool)
    count = np.where(known, np.where(found, number[at] if len(cells) else 0.0, 0.0), np.nan)
    total = pc.take(of_user.column(f"total_{attribute}"), at_user).to_numpy(zero_copy_only=False)
    return count.astype(np.float32), (count / total).astype(np.float32)
