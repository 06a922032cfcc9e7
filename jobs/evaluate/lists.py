"""Everybody's lists in coded form, for the users that are judged: at most MAX_USERS users times DEPTH items each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from jobs.evaluate.judge import KS, Lists
from jobs.lib.errors import RecflowError
from jobs.lib.spark import F, Window
from jobs.recall.sparse import place, sorted_ids

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DEPTH = max(KS)
GIVEN = ("user_id", "item_id", "score")


@dataclass(frozen=True)
class Codes:
    """Ids in byte order; a code is a place in them."""

    users: pa.Array
    items: pa.Array

    def lists(self, rows: pa.Table) -> Lists:
        """From (user_id, item_id, rank) rows; users and items without a code are left out."""
        user, item = self.pairs(rows)
        rank = rows["rank"].to_numpy().astype(np.int64)
        kept = (user >= 0) & (item >= 0)
        order = np.lexsort((rank[kept], user[kept]))
        return Lists(user[kept][order], item[kept][order], rank[kept][order])

    def everyones(self, rows: pa.Table, seen: set[tuple[int, int]]) -> Lists:
        """From (item_id, rank) rows, the same for everyone: each user's first DEPTH of them that they have not seen."""
        item = self.items_of(rows)[np.argsort(rows["rank"].to_numpy(), kind="stable")]
        return self.without_seen(np.broadcast_to(item, (len(self.users), len(item))), seen)

    def random(self, items: np.ndarray, seen: set[tuple[int, int]], seed: int) -> Lists:
        """Items on offer (codes) in an order of chance, another one for each user."""
        rng = np.random.default_rng(seed)
        most_seen = max(np.bincount([user for user, _ in seen], minlength=1)) if seen else 0
        length = min(len(items), DEPTH + most_seen)
        if len(items) > 20 * length:  # distinct with a few draws more than needed
            drawn = rng.integers(0, len(items), (len(self.users), 2 * length))
            drawn = np.array([row[np.sort(np.unique(row, return_index=True)[1])[:length]] for row in drawn])
        else:
            drawn = np.array([rng.permutation(len(items))[:length] for _ in range(len(self.users))])
        return self.without_seen(items[drawn], seen)

    def without_seen(self, item: np.ndarray, seen: set[tuple[int, int]]) -> Lists:
        """item: users x places, best first."""
        cell = np.arange(len(self.users))[:, None] * len(self.items) + item
        left_out = np.array([user * len(self.items) + code for user, code in seen], np.int64)
        is_open = ~np.isin(cell, left_out) & (item >= 0)
        rank = np.cumsum(is_open, axis=1)
        user, column = np.nonzero(is_open & (rank <= DEPTH))
        return Lists(user, item[user, column], rank[user, column])

    def pairs(self, rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """Codes of user_id and item_id; -1 where there is none."""
        return place(_plain(rows["user_id"]), self.users), self.items_of(rows)

    def items_of(self, rows: pa.Table) -> np.ndarray:
        """Codes of item_id; -1 where there is none."""
        return place(_plain(rows["item_id"]), self.items)


def codes_of(users: pa.Table, *with_items: pa.Table) -> Codes:
    return Codes(sorted_ids([_plain(users["user_id"])]), sorted_ids([_plain(rows["item_id"]) for rows in with_items]))


def given_lists(session: SparkSession, name: str, path: str) -> DataFrame:
    """(user_id, item_id, rank) of a Parquet that somebody else made: best score first, ties to the lower item id.

    Raises RecflowError naming the file and what is wrong with it.
    """
    try:
        rows = session.read.parquet(path)
    except Exception as error:
        raise RecflowError(f"--lists {name}: {path} cannot be read as Parquet: {str(error).splitlines()[0]}") from None
    if missing := [column for column in GIVEN if column not in rows.columns]:
        raise RecflowError(
            f"--lists {name}: {path} has no column {missing[0]}; needed: {', '.join(GIVEN)}, found: "
            f"{', '.join(rows.columns)}"
        )
    rows = rows.select(
        F.col("user_id").cast("string"), F.col("item_id").cast("string"), F.col("score").cast("double").alias("score")
    )
    wrong = rows.where("user_id IS NULL OR item_id IS NULL OR score IS NULL OR isnan(score)").count()
    if wrong:
        raise RecflowError(f"--lists {name}: {path} has {wrong:,} rows without user_id, item_id or a score")
    best = rows.groupBy("user_id", "item_id").agg(F.max("score").alias("score"))
    order = Window.partitionBy("user_id").orderBy(F.col("score").desc(), F.col("item_id").asc())
    return best.withColumn("rank", F.row_number().over(order)).select("user_id", "item_id", "rank")


def _plain(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks().cast(pa.string()) if len(column) else pa.array([], pa.string())
