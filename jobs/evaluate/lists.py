"""Everybody's lists in coded form, for the users that are judged: at most MAX_USERS users times DEPTH items each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset

from jobs.evaluate.judge import KS, Lists
from jobs.lib.errors import RecflowError
from jobs.recall.sparse import place, sorted_ids

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


def given_lists(name: str, path: str, users: pa.Array) -> pa.Table:
    """(user_id, item_id, rank) of some users in a Parquet that somebody else made: best score first, ties to the lower
    item id. Raises RecflowError naming the file and what is wrong with it."""
    try:
        rows = dataset.dataset(path, format="parquet")
        if missing := [column for column in GIVEN if column not in rows.schema.names]:
            found = f"needed: {', '.join(GIVEN)}, found: {', '.join(rows.schema.names)}"
            raise RecflowError(f"--lists {name}: {path} has no column {missing[0]}; {found}")
        score = pc.field("score").cast("double")
        wrong = pc.field("user_id").is_null() | pc.field("item_id").is_null() | score.is_null() | score.is_nan()
        if count := rows.count_rows(filter=wrong):
            raise RecflowError(f"--lists {name}: {path} has {count:,} rows without user_id, item_id or a score")
        theirs = rows.to_table(columns=list(GIVEN), filter=pc.field("user_id").cast("string").isin(users))
    except (OSError, pa.ArrowException) as error:
        raise RecflowError(f"--lists {name}: {path} cannot be read: {str(error).splitlines()[0]}") from None
    frame = theirs.to_pandas().astype({"user_id": str, "item_id": str, "score": float})
    frame = frame.sort_values(["user_id", "score", "item_id"], ascending=[True, False, True])
    frame = frame.drop_duplicates(["user_id", "item_id"])
    frame["rank"] = frame.groupby("user_id").cumcount() + 1
    return pa.Table.from_pandas(frame[["user_id", "item_id", "rank"]], preserve_index=False)


def _plain(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks().cast(pa.string()) if len(column) else pa.array([], pa.string())
