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
from jobs.lib.expression_tree import COUNT, DAYS_SINCE, Expression, Leaf, possible
from jobs.lib.list_params import AGES, Rule
from jobs.lib.spark import F
from jobs.ranking.models import newest_model
from jobs.ranking.pieces import OWN, USER, Lookup, Piece, arrow_type
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
    found = named(rules, context, conditions)
    items = item_rows(at, found)
    if always is not None:
        items = always if items is None else always.join(items, on="item_id", how="left")
    return found if items is None else replace(found, items=items.orderBy("item_id").toArrow().combine_chunks())


def named(rules: list[Rule], context: dict[str, Any], conditions: Iterable[Expression] = ()) -> Lookup:
    """What these rules and conditions name, of no item yet."""
    import pyarrow as pa

    leaves = sorted({leaf for condition in (*conditions, *(r.condition for r in rules)) for leaf in condition.leaves()})
    columns = {leaf: f"leaf{number}" for number, leaf in enumerate(leaves)}
    return Lookup(rules, columns, pa.table({"item_id": pa.array([], pa.string())}), context)


def item_rows(at: Day, found: Lookup) -> DataFrame | None:
    """(item_id, columns): what is known of the items of the day; None when nothing of them is named."""
    wanted = {leaf: name for leaf, name in found.of("item").items() if leaf.name != "item_id"}
    if not wanted:
        return None
    return at.items().select("item_id", *[_column(leaf, at).alias(name) for leaf, name in wanted.items()])


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


def removed_for_strangers(items: DataFrame, at: Day) -> set[str]:
    """Those of some (item_id) that a user of whom nothing is known is not to be shown, on the weekday of the day after.
    Of their request nothing else is known: what a filter removes in any hour or scene counts."""
    rules = list_params.rules(at.solution)
    unknown = [leaf for rule in rules for leaf in rule.condition.leaves() if leaf.side == "context"]
    unknown = [leaf for leaf in unknown if leaf.name != "weekday"]
    rules = [rule._replace(condition=possible(rule.condition, unknown)) for rule in rules]
    if not rules:
        return set()
    found = lookup(at, [], rules, serving_context(None, at.ds, at.solution), items.select("item_id").distinct())
    return set(found.items.column("item_id").filter(removed_items(found)).to_pylist())


def removed_items(found: Lookup) -> pa.Array:
    """Which items of a Lookup its rules remove for a user of whom nothing is known."""
    import pyarrow as pa

    stranger = {"user_id": pa.array([""]), "item_id": pa.array([None], pa.string()), "mark": pa.array([USER])}
    kinds = {leaf: kind for rule in found.rules for leaf, kind in rule.condition.leaves().items()}
    for leaf, kind in kinds.items():
        if leaf.side in ("user", DAYS_SINCE, COUNT):
            stranger[found.columns[leaf]] = pa.nulls(1, arrow_type(kind))
    piece = Piece.of(pa.table(stranger), found)
    codes = np.arange(found.items.num_rows)
    return pa.array(~piece.is_kept(np.zeros(len(codes), np.int64), codes))
