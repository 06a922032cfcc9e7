"""The filters of a solution at work: what pairs of user and item are looked up in, and which of them each removes.

The items of the day are collected with the columns that the filters name, bounded by the catalog. Users and what they
did with items travel to their pairs: rows (user_id, item_id, mark, and the columns named), one shuffle by user_id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.lib import list_params
from jobs.lib.expression_tree import COUNT, DAYS_SINCE, Expression, Leaf
from jobs.lib.list_params import AGES, Rule
from jobs.lib.spark import F
from jobs.ranking.models import newest_model
from jobs.ranking.pieces import OWN, USER, Lookup, Piece
from jobs.ranking.serving_context import serving_context

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

    from jobs.lib.solution import Solution
    from jobs.recall.inputs import Day


def lookup(
    at: Day,
    conditions: Iterable[Expression],
    rules: list[Rule],
    context: dict[str, Any],
    always: DataFrame | None = None,
) -> Lookup:
    """What these rules and conditions name, as of a day. always: (item_id, ...) more that is to be known of items."""
    leaves = sorted({leaf for condition in (*conditions, *(r.condition for r in rules)) for leaf in condition.leaves()})
    columns = {leaf: f"leaf{number}" for number, leaf in enumerate(leaves)}
    named = [leaf for leaf in leaves if leaf.side == "item" and leaf.name != "item_id"]
    if not named and always is None:
        import pyarrow as pa

        return Lookup(rules, columns, pa.table({"item_id": pa.array([], pa.string())}), context)
    items = None
    if at.solution.tables.item is not None:
        items = at.items().select("item_id", *[_column(leaf, at).alias(columns[leaf]) for leaf in named])
    if always is not None:
        items = always if items is None else always.join(items, on="item_id", how="left")
    return Lookup(rules, columns, items.orderBy("item_id").toArrow().combine_chunks(), context)


def user_rows(users: DataFrame, at: Day, found: Lookup) -> DataFrame:
    """(user_id, mark USER, columns): what is known of these users."""
    wanted = {leaf: name for leaf, name in found.of("user").items() if leaf.name != "user_id"}
    known = users.select("user_id").distinct()
    if wanted:
        snapshot = at.users().select("user_id", *[_column(leaf, at).alias(name) for leaf, name in wanted.items()])
        known = known.join(snapshot, on="user_id", how="left")
    return known.withColumn("mark", F.lit(USER))


def own_rows(at: Day, found: Lookup, users: DataFrame | None = None) -> DataFrame | None:
    """(user_id, item_id, mark OWN, columns): what users did with items; None when nothing of it is named."""
    wanted = found.of(DAYS_SINCE, COUNT)
    if not wanted:
        return None
    reach = max(leaf.days + (leaf.side == DAYS_SINCE) for leaf in wanted)
    actions = at.actions(reach).where(F.col("event").isin(sorted({leaf.name for leaf in wanted})))
    if users is not None:
        actions = actions.join(users.select("user_id"), on="user_id", how="semi")
    ago = F.date_diff(F.to_date(F.lit(at.ds), "yyyyMMdd"), F.to_date("ds", "yyyyMMdd"))
    figures = []
    for leaf, name in wanted.items():
        is_meant = F.col("event") == leaf.name
        if leaf.side == DAYS_SINCE:
            figures.append(F.min(F.when(is_meant & (ago <= leaf.days), ago)).cast("double").alias(name))
        else:
            figures.append(F.sum(F.when(is_meant & (ago < leaf.days), F.col("cnt"))).cast("double").alias(name))
    return actions.groupBy("user_id", "item_id").agg(*figures).withColumn("mark", F.lit(OWN))


def marked(pairs: DataFrame, mark: int) -> DataFrame:
    return pairs.select("user_id", "item_id", F.lit(mark).alias("mark"))


def by_user(*parts: DataFrame | None) -> DataFrame:
    """The rows of all parts, each user's in one task and side by side."""
    rows = reduce(
        lambda some, more: some.unionByName(more, allowMissingColumns=True),
        [part for part in parts if part is not None],
    )
    return rows.repartition("user_id").sortWithinPartitions("user_id")


def _column(leaf: Leaf, at: Day) -> Column:
    """A column of a snapshot seen through its roles."""
    if leaf.name == "tags":
        words = F.transform(F.split("tags", ","), lambda word: F.trim(word))
        return F.filter(words, lambda word: word != "")
    if leaf.name == AGES[leaf.side]:
        return age(leaf.side, at)
    return F.col(f"`{leaf.name}`")


def age(side: str, at: Day) -> Column:
    """Days from the local day of registration or listing to ds, DOUBLE; below 0 when it was announced ahead."""
    from jobs.lib import roles

    since = {"user": "registration_time", "item": "listing_time"}[side]
    born = F.to_date(roles.local_time(F.col(since), at.solution))
    return F.date_diff(F.to_date(F.lit(at.ds), "yyyyMMdd"), born).cast("double")


def context_of(solution: Solution, ds: str) -> dict:
    """The expected request; read from the newest model where an expression needs to know more than the weekday."""
    found = newest_model(solution, ds) if needs_model(solution) else None
    return serving_context(found[1] if found else None, ds, solution)


def needs_model(solution: Solution) -> bool:
    conditions = [rule.condition for rule in list_params.rules(solution)]
    conditions += [condition for _, condition in list_params.pins(solution) if condition is not None]
    leaves = {leaf for condition in conditions for leaf in condition.leaves()}
    return any(leaf.side == "context" and leaf.name != "weekday" for leaf in leaves)


def removed_everywhere(items: DataFrame, at: Day) -> set[str]:
    """Those of some (item_id) that no user is to be shown: what filters about items alone remove. Of the request only
    the weekday is known."""
    rules = [rule for rule in list_params.rules(at.solution) if rule.is_about_items]
    if not rules:
        return set()
    found = lookup(at, [], rules, serving_context(None, at.ds, at.solution), items.select("item_id").distinct())
    return set(found.items.column("item_id").filter(removed_items(found)).to_pylist())


def removed_items(found: Lookup) -> pa.Array:
    """Which items of a Lookup its rules about items alone remove."""
    import pyarrow as pa

    everyone = pa.table({"user_id": [""], "item_id": pa.array([None], pa.string()), "mark": [USER]})
    rules = [rule for rule in found.rules if rule.is_about_items]
    piece = Piece.of(everyone, replace(found, rules=rules))
    codes = np.arange(found.items.num_rows)
    return pa.array(~piece.is_kept(np.zeros(len(codes), np.int64), codes))
