"""Cold start: candidates for users and items without a history, from their attributes.

Grain: one row per (user_id, item_id). Source: DropoutNet (Volkovs et al. 2017): a model for the cold must work where
histories are masked. Here a ridge regression from attributes to the vectors of a recall_vectors table stands in for the
vectors that a history would have given (jobs/recall/attributes.py), for users and for items. Score: the inner product.

- A user who has no vector gets recall_count of the items on offer: who is active within publish.active_days, and of
  the snapshot the max_users that registered last (by id where no time is known). Without telling attributes the vector
  is that of the average user, whose products are how popular items are.
- A user with a vector gets new_items of the items on offer that have none.

Left out are items that the user acted on (publish.seen_days), items not on offer, and scores of 0 or less. Without a
user table everyone cold is the average user; without an item table no item is new; without both there is no recall.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field

from jobs.lib.errors import SolutionError
from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution
from jobs.lib.solution_params import Name, RecallParams
from jobs.lib.spark import F
from jobs.recall import inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

    from jobs.recall.attributes import Attributes
    from jobs.recall.dense import Vectors

CONTRACT = "recall_u2i"
SOURCE_CONTRACT = "recall_vectors"
SETTINGS = ("publish.active_days", "publish.seen_days")
COLUMNS = "user_id string, item_id string, score double, rank int"
VECTORS = "side string, id string, vector array<double>"

log = logging.getLogger("recflow")


class Params(RecallParams):
    source: Name
    recall_count: int = Field(200, ge=1, le=10_000)
    new_items: int = Field(50, ge=0, le=10_000)
    max_users: int = Field(100_000, ge=0, le=10_000_000)
    regularization: float = Field(10.0, gt=0, allow_inf_nan=False)
    max_features: int = Field(1000, ge=1, le=4000)
    exclude_seen: bool = True


def cold_start(
    vectors: DataFrame,
    users: DataFrame | None,
    items: DataFrame | None,
    active: DataFrame,
    seen: DataFrame | None,
    offered: DataFrame | None,
    params: Params,
    newest: DataFrame | None = None,
) -> DataFrame:
    """(user_id, item_id, score, rank).

    vectors: a recall_vectors table; users and items: (id, tokens), None where there is no such table; active: (user_id)
    who get a list whether they are in `users` or not; seen: (user_id, item_id) to leave out; offered: (item_id) that
    may be recalled, None for any; newest: (id) of the users who get one without being active, None for all. Duplicates
    in active and seen are welcome.
    """
    from jobs.recall.attributes import fitted

    session = vectors.sparkSession
    warm, known = (vectors.where(F.col("side") == side).select("id", "vector") for side in ("user", "item"))
    if users is None:  # nothing is known of anyone
        users = warm.select("id", _no_tokens().alias("tokens"))
    options = (params.max_features, params.regularization)
    taught = users.join(warm, on="id", how="right").withColumn("tokens", F.coalesce("tokens", _no_tokens()))
    of_users = fitted(taught, *options, f"{params.name}: users")
    if of_users is None:
        log.warning("%s: no user has a vector: nothing to learn from", params.name)
        return session.createDataFrame([], COLUMNS)
    of_items = None
    if items is not None:
        of_items = fitted(items.join(known, on="id", how="inner"), *options, f"{params.name}: items")
    catalog, is_new = _catalog(known, items, of_items, offered, params)
    log.info("%s: %s items on offer, %s of them new", params.name, f"{len(catalog.ids):,}", f"{is_new.sum():,}")
    shared = session.sparkContext.broadcast((of_users, catalog, is_new))
    cold = _cold(users, active, newest, warm)
    rows = cold.unionByName(_renamed(warm), allowMissingColumns=True) if is_new.any() else cold
    if seen is not None:
        left_out = seen.join(rows, on="user_id", how="semi").select("user_id", "item_id").distinct()
        rows = rows.unionByName(left_out, allowMissingColumns=True)
    rows = rows.select("user_id", "vector", "tokens", "item_id").repartition("user_id")
    return rows.mapInArrow(partial(_best, shared, params), COLUMNS)


def _catalog(
    known: DataFrame, items: DataFrame | None, of_items: Attributes | None, offered: DataFrame | None, params: Params
) -> tuple[Vectors, np.ndarray]:
    """The vectors of the items on offer, and which of them have no history."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from jobs.recall.dense import Vectors, vectors_of

    def on_offer(rows: DataFrame) -> DataFrame:
        wanted = rows if offered is None else rows.join(offered.select(F.col("item_id").alias("id")), "id", "semi")
        return wanted.withColumn("side", F.lit("item"))

    advice = f"lower factors of {params.source}"
    old = vectors_of(on_offer(known), "item", advice)
    if of_items is None:
        return old, np.zeros(len(old.ids), bool)
    without = on_offer(items.join(known, on="id", how="anti"))
    new = vectors_of(without.mapInArrow(partial(_foretold, of_items), VECTORS), "item", advice)
    ids = pa.concat_arrays([old.ids, new.ids])
    order = pc.sort_indices(ids).to_numpy()
    matrix = np.concatenate([part.matrix for part in (old, new) if len(part.ids)] or [old.matrix])
    return Vectors(ids.take(pa.array(order)), matrix[order]), order >= len(old.ids)


def _foretold(of_items: Attributes, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The vectors that items should have by their tokens."""
    import pyarrow as pa

    for batch in batches:
        matrix = of_items.vectors(batch.column("tokens"))
        vectors = pa.array(list(matrix), pa.list_(pa.float64()))
        yield pa.RecordBatch.from_arrays([batch.column("side"), batch.column("id"), vectors], ["side", "id", "vector"])


def _cold(users: DataFrame, active: DataFrame, newest: DataFrame | None, warm: DataFrame) -> DataFrame:
    """(user_id, tokens, vector NULL, item_id NULL) of everyone without a vector; no tokens for who is not described."""
    known = (users if newest is None else newest).select("id")
    everyone = known.union(active.select(F.col("user_id").alias("id"))).distinct()
    told = everyone.join(warm, on="id", how="anti").join(users, on="id", how="left")
    return told.select(
        F.col("id").alias("user_id"),
        F.coalesce("tokens", _no_tokens()).alias("tokens"),
        F.lit(None).cast("array<double>").alias("vector"),
        F.lit(None).cast("string").alias("item_id"),
    )


def _no_tokens() -> Column:
    return F.array().cast("array<string>")


def _renamed(warm: DataFrame) -> DataFrame:
    return warm.withColumnRenamed("id", "user_id")


def _best(shared, params: Params, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The recalled items of a partition that holds every row of its users: one with a vector for who has a history,
    one with tokens for who has none, and one for each item that is left out."""
    import numpy as np
    import pyarrow.compute as pc

    from jobs.recall.dense import best_items, matrix_of
    from jobs.recall.sparse import coded, place

    present = [batch for batch in batches if batch.num_rows]
    if not present:
        return
    of_users, catalog, is_new = shared.value
    rows, codes = coded(present, ["user_id"])
    users, user = codes["user_id"]
    is_warm, is_cold, is_seen = (pc.is_valid(rows.column(name)).to_numpy() for name in ("vector", "tokens", "item_id"))
    item = place(rows.column("item_id").filter(is_seen).combine_chunks(), catalog.ids)
    barred = user[is_seen][item >= 0], item[item >= 0]
    for chosen, count, listed in ((is_cold, params.recall_count, None), (is_warm, params.new_items, is_new)):
        if not chosen.any() or not count:
            continue
        given = rows.filter(chosen)
        matrix = of_users.vectors(given.column("tokens")) if listed is None else matrix_of(given.column("vector"))
        place_of = np.full(len(users), -1)
        place_of[user[chosen]] = np.arange(chosen.sum())
        theirs = place_of[barred[0]] >= 0
        out = place_of[barred[0][theirs]], barred[1][theirs]
        yield from best_items(users.take(user[chosen]), matrix, catalog, out, count, listed)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    days = max(solution.publish.seen_days, solution.publish.active_days)
    return inputs.reads_of(solution, ds, days, node.params.source, users=True)


def recalled(at: inputs.Day, params: Params) -> DataFrame:
    from jobs.recall.attributes import described

    tables, publish = at.solution.tables, at.solution.publish
    if tables.user is None and tables.item is None:
        raise SolutionError(
            f"{at.solution.path or 'solution'}: recalls ({params.name}): cold_start recalls by attributes, and "
            "there is neither a user nor an item table"
        )
    return cold_start(
        at.made(params.source),
        described(at.users(), tables.user, "user_id") if tables.user else None,
        described(at.items(), tables.item, "item_id") if tables.item else None,
        at.actions(publish.active_days).select("user_id"),
        at.acted(publish.seen_days) if params.exclude_seen else None,
        at.offered(),
        params,
        _newest(at, params),
    )


def _newest(at: inputs.Day, params: Params) -> DataFrame | None:
    """(id) of the users who registered last."""
    if at.solution.tables.user is None:
        return None
    newest = at.users().orderBy(F.desc_nulls_last("registration_time"), "user_id").limit(params.max_users)
    return newest.select(F.col("user_id").alias("id"))


def main(days: list[str], solution: Solution, node: Node) -> None:
    inputs.make(recalled, days, solution, node)
