"""Users who are not to come back: imports leave them out, and so does every read of an input table.

`_forgotten/<table>/<mark>` in the warehouse, one object for each user that an input table must not show. A mark is a
SHA-256 over table and id; with a key for pseudonyms there is one of the pseudonym too, since the next import may bring
either. No id can be read off a mark, but whoever can read the warehouse and guesses an id learns that it is forgotten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from jobs.lib.errors import RecflowError
from jobs.lib.input_tables import TableConfig
from jobs.lib.object_store import Store, open_store
from jobs.lib.settings import settings
from jobs.lib.spark import F

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

FOLDER = "_forgotten"
MOST = 100_000  # marks of a table: every read of it lists them, and every worker holds them


def mark(table: str, user: str) -> str:
    return hashlib.sha256(f"{table}/{user}".encode()).hexdigest()


def marks(table: str) -> frozenset[str]:
    """Of all users whom this input table must not show."""
    prefix = f"{FOLDER}/{table}/"
    found = frozenset(key.removeprefix(prefix) for key in _store().list(prefix))
    if len(found) > MOST:
        raise RecflowError(
            f"{table}: {len(found):,} users are forgotten, more than the {MOST:,} that every read can look for: remove "
            "them where the table comes from, then lift their marks (`recflow forget --lift`)"
        )
    return found


def remember(table: str, users: Iterable[str]) -> None:
    """Let a table not show these users from now on."""
    for user in users:
        _store().put(f"{FOLDER}/{table}/{mark(table, user)}", b"")


def lift(table: str, users: Iterable[str]) -> int:
    """Let a table show these users again, where it has them. Returns how many were marked."""
    keys = [f"{FOLDER}/{table}/{mark(table, user)}" for user in users]
    lifted = [key for key in keys if _store().exists(key)]
    for key in lifted:
        _store().delete(key)
    return len(lifted)


def left_out(rows: DataFrame, config: TableConfig) -> DataFrame:
    """The rows of an input table without those of forgotten users."""
    column = config.roles.user_id
    if column is None or not (hidden := marks(config.table)):
        return rows
    from jobs.lib.roles import _id  # private there: what stands in that file decides what counts as made anew

    unwanted = rows.sparkSession.createDataFrame([(one,) for one in sorted(hidden)], "_mark string")
    marked = F.sha2(F.concat(F.lit(f"{config.table}/"), _id(rows, column)), 256)
    return rows.join(F.broadcast(unwanted), on=marked == F.col("_mark"), how="left_anti")


def _store() -> Store:
    return open_store(settings().warehouse_root)
