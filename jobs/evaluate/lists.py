"""Everybody's lists in coded form, for the users that are judged: at most MAX_USERS users times DEPTH items each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset

from jobs.evaluate.judge import KS, Lists
from jobs.lib.errors import RecflowError
from jobs.recall.sparse import place, plain, sorted_ids

DEPTH = max(KS)
CELLS = 4_000_000  # users x items that are looked at at a time
NONE = np.empty(0, np.int64)
GIVEN = ("user_id", "item_id", "score")


@dataclass(frozen=True)
class Codes:
    """Ids in byte order; a code is a place in them. seen: cells (user * items + item) that no list may hold, sorted."""

    users: pa.Array
    items: pa.Array
    seen: np.ndarray

    def lists(self, rows: pa.Table) -> Lists:
        """From (user_id, item_id, rank) rows, without what users have seen; users and items without a code are left
        out."""
        user, item = self.pairs(rows)
        kept = (user >= 0) & (item >= 0)
        user, item, rank = user[kept], item[kept], rows["rank"].to_numpy()[kept]
        is_new = ~np.isin(user.astype(np.int64) * len(self.items) + item, self.seen)
        user, item, rank = user[is_new], item[is_new], rank[is_new]
        order = np.lexsort((rank, user))
        user, item = user[order].astype(np.int64), item[order].astype(np.int64)
        return Lists(user, item, np.arange(len(user)) - np.searchsorted(user, user) + 1)

    def everyones(self, rows: pa.Table) -> Lists:
        """From (item_id, rank) rows, the same for everyone: each user's first DEPTH of them that they have not seen."""
        item = self.items_of(rows)[np.argsort(rows["rank"].to_numpy(), kind="stable")]
        item = item[item >= 0][: DEPTH + self.most_seen]
        return self._without_seen(lambda users: np.broadcast_to(item, (users, len(item))), len(item))

    def random(self, items: np.ndarray, seed: int) -> Lists:
        """Items on offer (codes) in an order of chance, another one for each user."""
        rng = np.random.default_rng(seed)
        length = min(len(items), DEPTH + self.most_seen)

        def drawn(users: int) -> np.ndarray:
            if len(items) <= 20 * length:
                return items[np.array([rng.permutation(len(items))[:length] for _ in range(users)])]
            places = rng.integers(0, len(items), (users, 2 * length))  # twice as many: enough of them are distinct
            return items[np.array([row[np.sort(np.unique(row, return_index=True)[1])[:length]] for row in places])]

        return self._without_seen(drawn, length)

    @property
    def most_seen(self) -> int:
        """The most items that a judged user has seen."""
        return int(np.bincount(self.seen // len(self.items)).max()) if len(self.seen) else 0

    def _without_seen(self, items_for: Callable[[int], np.ndarray], length: int) -> Lists:
        """items_for: of so many users, their items, best first (users x length). By blocks of users."""
        block, parts = max(1, CELLS // max(1, length)), []
        for start in range(0, len(self.users), block):
            users = np.arange(start, min(start + block, len(self.users)))
            item = items_for(len(users))
            is_open = ~np.isin(users[:, None] * len(self.items) + item, self.seen)
            rank = np.cumsum(is_open, axis=1)
            row, column = np.nonzero(is_open & (rank <= DEPTH))
            parts.append((users[row], item[row, column].astype(np.int64), rank[row, column]))
        return Lists(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def pairs(self, rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """Codes of user_id and item_id; -1 where there is none."""
        return place(plain(rows["user_id"]), self.users), self.items_of(rows)

    def items_of(self, rows: pa.Table) -> np.ndarray:
        """Codes of item_id; -1 where there is none."""
        return place(plain(rows["item_id"]), self.items)


def codes_of(users: pa.Table, seen: pa.Table | None, *with_items: pa.Table) -> Codes:
    codes = Codes(sorted_ids([plain(users["user_id"])]), sorted_ids([plain(r["item_id"]) for r in with_items]), NONE)
    if seen is None:
        return codes
    user, item = codes.pairs(seen)
    return replace(codes, seen=np.unique((user.astype(np.int64) * len(codes.items) + item)[(user >= 0) & (item >= 0)]))


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
