"""From attributes to vectors: ridge regression of the vectors of those with a history on what is known of them.

Every attribute becomes tokens: `city=Paris`; `tags:jazz` for each of the tags, which commas part; `age~9` for a number,
two buckets an octave (floor(2 log2(1 + |x|)), with its sign). A missing value is a token too (`city=`). Only the
max_features tokens that most rows have are learned from; others, seen or new, add nothing.

Sums are of integers (vectors in 1e-9 units) and learned weights are rounded to 1e-9: they follow from the rows alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from jobs.lib.spark import F
from jobs.recall.dense import matrix_of
from jobs.recall.sparse import place

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from jobs.lib.input_tables import TableConfig

SCALE = 1_000_000_000
PARTS = 8  # partial sums that are collected: 8 bytes per pair of features each

log = logging.getLogger("recflow")


@dataclass(frozen=True)
class Attributes:
    """weights[k] is what features[k] adds to a vector; the last row of weights is what everyone starts from."""

    features: pa.Array
    weights: np.ndarray

    def vectors(self, tokens: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """The vector of each list of tokens; each row is summed in its own order, whatever rows stand beside it."""
        return _matrix(tokens, self.features) @ self.weights[:-1] + self.weights[-1]


def described(snapshot: DataFrame, config: TableConfig, key: str) -> DataFrame:
    """(id, tokens) of a user or item snapshot seen through its roles; key: user_id or item_id."""
    roles, there = config.roles, snapshot.columns
    texts = [name for name in (*roles.categorical, *(["author"] if roles.author else [])) if name in there]
    tokens = [_text(name) for name in dict.fromkeys(texts)]
    tokens += [_number(name) for name in roles.numerical if name in there and name not in texts]
    listed = F.array(*tokens) if tokens else F.array().cast("array<string>")
    if roles.tags:
        named = F.filter(F.transform(F.split("tags", ","), lambda tag: F.trim(tag)), lambda tag: tag != "")
        tagged = F.transform(named, lambda tag: F.concat(F.lit("tags:"), tag))
        listed = F.concat(listed, F.when(F.size(tagged) > 0, tagged).otherwise(F.array(F.lit("tags:"))))
    return snapshot.select(F.col(key).alias("id"), F.array_distinct(listed).alias("tokens"))


def _text(name: str) -> Column:
    return F.concat(F.lit(f"{name}="), F.coalesce(F.col(f"`{name}`"), F.lit("")))


def _number(name: str) -> Column:
    value = F.col(f"`{name}`")
    bucket = F.when(F.abs(value) < float("inf"), F.signum(value) * F.floor(2 * F.log2(1 + F.abs(value))))
    return F.concat(F.lit(f"{name}~"), F.coalesce(bucket.cast("int").cast("string"), F.lit("")))


def fitted(known: DataFrame, max_features: int, regularization: float, what: str) -> Attributes | None:
    """What (id, tokens, vector) rows teach, or None where there are none. The start of everyone is not regularised."""
    held = known.select("tokens", "vector").persist()
    try:
        counted = held.select(F.explode("tokens").alias("token")).groupBy("token").count()
        best = counted.orderBy(F.col("count").desc(), "token").limit(max_features).select("token").toArrow()
        features = best.column("token").cast(pa.string()).combine_chunks()
        features = features.take(pc.sort_indices(features))
        parts = held.coalesce(PARTS).mapInArrow(partial(_sums, features), "gram binary, moments binary, n bigint")
        sums = parts.collect()
        if len(features) == max_features:
            log.info("%s: of %s attribute values the %s most frequent count", what, counted.count(), max_features)
    finally:
        held.unpersist()
    if not sums:
        return None
    size = len(features) + 1
    gram = sum(np.frombuffer(row["gram"], np.int64).reshape(size, size) for row in sums).astype(np.float64)
    moments = sum(np.frombuffer(row["moments"], np.int64).reshape(size, -1) for row in sums) / SCALE
    gram[np.diag_indices(size - 1)] += regularization
    log.info("%s: fitted on %s rows with %s attribute values", what, sum(row["n"] for row in sums), len(features))
    return Attributes(features, np.linalg.solve(gram, moments).round(9))


def _sums(features: pa.Array, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """X'X and X'V of a partition as the bytes of int64, V in 1e-9 units; X has a last column of ones."""
    gram = moments = count = 0
    for batch in batches:
        if batch.num_rows:
            tokens = _matrix(batch.column("tokens"), features)
            x = sp.hstack([tokens, sp.csr_matrix(np.ones((batch.num_rows, 1)))], format="csr").astype(np.int64)
            vectors = np.rint(matrix_of(batch.column("vector")) * SCALE).astype(np.int64)
            gram, moments, count = gram + (x.T @ x).toarray(), moments + x.T @ vectors, count + batch.num_rows
    if count:
        columns = [pa.array([gram.tobytes()]), pa.array([np.ascontiguousarray(moments).tobytes()]), pa.array([count])]
        yield pa.RecordBatch.from_arrays(columns, names=["gram", "moments", "n"])


def _matrix(tokens: pa.ChunkedArray | pa.Array, features: pa.Array) -> sp.csr_matrix:
    """Rows x features, 1 where a row has the feature."""
    rows = pc.list_parent_indices(tokens).to_numpy()
    found = pc.list_flatten(tokens)
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    code = place(found, features)
    rows, code = rows[code >= 0], code[code >= 0]
    ends = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(tokens)))])
    return sp.csr_matrix((np.ones(len(code)), code, ends), shape=(len(tokens), len(features)))
