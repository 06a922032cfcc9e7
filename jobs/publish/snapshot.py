"""What is known of users and items on a day, as it is published: all that the model's columns of a pair are made from.

The rows are those of jobs/ranking/known.py, of every user and item that has features or stands in the snapshot. What
a user has many of is text here (KV strings, `value:count,...`); a reader of the bundle parses it
(jobs/serve/described.py). Recalls that operators read stand beside them as they were on the day that counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.features.windows import windows_of
from jobs.lib.feature_operators import Listed
from jobs.lib.solution import Solution
from jobs.lib.spark import F
from jobs.ranking.feature_list import feature_list, list_day
from jobs.ranking.known import Sources, item_columns, listed, user_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

TAGS, OFFERED = "tags", "is_offered"


def published_users(sources: Sources, solution: Solution) -> DataFrame:
    """One row per user_id: features with their KV strings, snapshot columns, ages, `total_{attribute}` (events of all
    values, also those that the KV string leaves out), and `tags` as a list."""
    features = feature_list(solution)
    without_lists = tuple(o for o in features.operators if not isinstance(o, Listed))
    ids = sources.user_features.select("user_id")
    if sources.users is not None:
        ids = ids.union(sources.users.select("user_id"))
    pairs = ids.distinct().withColumn("feature_ds", F.lit(sources.days[0]))
    known = user_rows(pairs, sources, replace(features, operators=without_lists), solution)
    texts = sources.user_features.select("user_id", *windows_of(solution, "user").kv_names)
    kept = [
        F.map_keys(name).alias(name) if name == TAGS else F.col(name)
        for name, kind in known.drop("feature_ds", "user_id").dtypes
        if name == TAGS or not kind.startswith("map<")
    ]
    return known.select("user_id", *kept).join(texts, on="user_id", how="left")


def published_items(sources: Sources, solution: Solution) -> DataFrame:
    """One row per item_id: features, snapshot columns, ages, `at_{attribute}` (the values that KV strings count), and
    title and author where the item table has them; `is_offered` where that table lists all that is on offer."""
    items = item_columns(sources, feature_list(solution), solution).drop("feature_ds")
    config = solution.tables.item
    if config is None:
        return items
    if config.complete:
        offered = sources.items.select("item_id", F.lit(True).alias(OFFERED))
        items = items.join(offered, on="item_id", how="left").fillna(False, [OFFERED])
    said = [name for name in ("title", "author") if getattr(config.roles, name) and name not in items.columns]
    return items.join(sources.items.select("item_id", *said), on="item_id", how="left") if said else items


def published_lists(sources: Sources, solution: Solution) -> Iterator[tuple[str, DataFrame]]:
    """(recall, its rows of the day that counts for features of the day) of each recall that an operator reads."""
    for name, operator in listed(feature_list(solution)).items():
        day = list_day(sources.days[0], operator)
        yield name, sources.lists[name].where(F.col("ds") == day).drop("ds")
