"""Negatives where no impressions are recorded: items that were on offer and that the user did nothing with that day.

Which ones is decided by a hash of seed, request, user, item and draw: the same rows whenever and wherever it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.features.windows import day_of
from jobs.lib.columns import seeded_hash
from jobs.lib.days import day_number
from jobs.lib.roles import local_time
from jobs.lib.solution import Solution
from jobs.lib.spark import F, Window

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

KEYS = ["ds", "request_id", "user_id", "item_id"]


def sampled(
    rows: DataFrame, events: DataFrame, offered: DataFrame, labels: dict[str, Column], solution: Solution
) -> DataFrame:
    """Up to `negatives_per_positive` rows per positive, in its request and context, with the labels given.

    Fewer where draws meet or the user acted on the item that day. rows: all positives. offered: distinct (ds, item_id).
    """
    ranking = solution.ranking
    place = F.row_number().over(Window.partitionBy("ds").orderBy("item_id")) - 1
    numbered = offered.select("ds", F.col("item_id").alias("offered_id"), place.alias("place"))
    sizes = numbered.groupBy("ds").agg(F.count(F.lit(1)).alias("size"))
    draws = (
        rows.join(F.broadcast(sizes), on="ds", how="inner")
        .withColumn("draw", F.explode(F.sequence(F.lit(1), F.lit(ranking.negatives_per_positive))))
        .withColumn("place", F.pmod(seeded_hash(ranking.seed, *KEYS, "draw"), F.col("size")).cast("int"))
    )
    context = [c for c in rows.columns if c not in {*KEYS, *labels}]
    acted = events.select("ds", "user_id", "item_id").distinct()
    drawn = (
        draws.drop("item_id")
        .join(numbered, on=["ds", "place"], how="inner")
        .withColumnRenamed("offered_id", "item_id")
        .groupBy(*KEYS)
        .agg(F.min(F.struct(*context)).alias("context"))
        .join(acted, on=["ds", "user_id", "item_id"], how="left_anti")
    )
    return drawn.select(
        *KEYS,
        *labels.values(),
        *[F.col(f"context.{c}").alias(c) for c in context if c != "is_sampled_negative"],
        F.lit(True).alias("is_sampled_negative"),
    )


def offered_by_snapshot(items: DataFrame, days: list[str], solution: Solution) -> DataFrame:
    """(ds, item_id) of a complete item table, less what was not listed yet. Without ds it serves every day."""
    if "ds" not in items.columns:
        items = items.withColumn("ds", F.explode(F.array(*[F.lit(ds) for ds in days])))
    listed = F.date_format(local_time(F.col("listing_time"), solution), "yyyyMMdd")
    return items.where(F.coalesce(listed <= F.col("ds"), F.lit(True))).select("ds", "item_id").distinct()


def offered_by_actions(actions: DataFrame, days: list[str], window_days: int) -> DataFrame:
    """(ds, item_id) of items with an event in the window that ends at ds: on offer as far as one can see."""
    first, last = day_number(days[0]), day_number(days[-1])
    day = day_of(F.col("ds"))
    seen = actions.select("item_id", day.alias("day")).distinct()
    reach = F.sequence(F.greatest("day", F.lit(first)), F.least(F.col("day") + (window_days - 1), F.lit(last)))
    return (
        seen.where((F.col("day") + window_days > first) & (F.col("day") <= last))
        .select("item_id", F.explode(reach).alias("on"))
        .select(F.date_format(F.date_from_unix_date("on"), "yyyyMMdd").alias("ds"), "item_id")
        .distinct()
    )
