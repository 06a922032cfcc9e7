"""What each filter of `publish` removes from the candidates; the lists are made of the rest.

Grain: one row per (ds, user_id, item_id, filter): a pair that two filters remove has two rows. In the flow where the
solution has filters or banned items (filter `banned`). A filter is a condition of jobs/lib/expression.py and removes a
pair only when it is true of it: one that names a missing value removes nothing, unless it says so itself. Users, items
and events are those of ds, context is that of the expected request (serving_context.py).
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from jobs.lib import list_params
from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F
from jobs.lib.tables import read_days, write_days
from jobs.ranking import filters
from jobs.ranking.filters import context_of, needs_model
from jobs.ranking.pieces import PAIR, Lookup, Piece
from jobs.recall import inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from pyspark.sql import DataFrame

log = logging.getLogger("recflow")

CONTRACT = "filtered"
SETTINGS = ("publish.filters", "publish.rerank.banned", "publish.seen_days")
COLUMNS = "user_id string, item_id string, filter string"
PIECE = 200_000  # rows that a task judges at a time


class Removal(NamedTuple):
    filter: str
    pairs: int
    users: int
    items: int


def filtered(candidates: DataFrame, at: inputs.Day, found: Lookup) -> DataFrame:
    """(user_id, item_id, filter): the pairs that each filter removes. candidates: (user_id, item_id)."""
    users = filters.user_rows(candidates, at, found) if found.of("user") else None
    parts = (filters.marked(candidates, PAIR), users, filters.own_rows(at, found))
    shared = candidates.sparkSession.sparkContext.broadcast(found)
    return filters.by_user(*parts).mapInArrow(partial(_removed, shared), COLUMNS)


def _removed(shared, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    import numpy as np
    import pyarrow as pa

    from jobs.recall.fusion import whole_users

    for rows in whole_users(batches, PIECE):
        piece = Piece.of(rows, shared.value)
        pairs = np.flatnonzero(piece.mark == PAIR)
        user, item = piece.user[pairs], piece.item[pairs]
        for name, is_removed in piece.removed(user, item).items():
            ids = (codes.take(pa.array(at[is_removed])) for codes, at in ((piece.users, user), (piece.items, item)))
            names = pa.repeat(pa.scalar(name), int(is_removed.sum()))
            yield pa.RecordBatch.from_arrays([*ids, names], names=["user_id", "item_id", "filter"])


def removals(solution: Solution, ds: str) -> list[Removal]:
    """What each filter removed, in the order of the solution file; filters that removed nothing too."""
    rows = read_days(solution.table("filtered"), [ds]).groupBy("filter")
    counts = [F.count(F.lit(1)), F.countDistinct("user_id"), F.countDistinct("item_id")]
    counted = {row[0]: Removal(*row) for row in rows.agg(*counts).collect()}
    return [counted.get(rule.name, Removal(rule.name, 0, 0, 0)) for rule in list_params.rules(solution)]


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    leaves = {leaf for rule in list_params.rules(solution) for leaf in rule.condition.leaves()}
    names_user = any(leaf.side == "user" for leaf in leaves)
    days = max(1, list_params.look_back_days(solution))
    found = inputs.reads_of(solution, ds, days, "candidates", users=names_user)
    return replace(found, model_up_to=ds if needs_model(solution) else None)


def main(days: list[str], solution: Solution, node: Node) -> None:
    """Day by day: each has its own items and context."""
    table = solution.table(node.name)
    for ds in days:
        at, rules = inputs.Day(solution, ds), list_params.rules(solution)
        candidates = read_days(solution.table("candidates"), [ds], table).select("user_id", "item_id")
        found = filters.lookup(at, [], rules, context_of(solution, ds))
        write_days(filtered(candidates, at, found).withColumn("ds", F.lit(ds)), table, [ds], CONTRACT)
        for removal in removals(solution, ds):
            log.info("%s ds=%s: %s removes %s pairs (%s users, %s items)", table, ds, *_shown(removal))


def _shown(removal: Removal) -> tuple[str, ...]:
    return (removal.filter, *(f"{count:,}" for count in removal[1:]))
