"""Users who hardly act like people, day by day: what training may leave out (ranking.exclude_suspicious_users).

Grain: one row per (ds, user_id, reason). Both reasons are about the events of ds alone, the counted ones
(jobs/lib/roles.py), so a day costs what a day holds. Thresholds: `diagnostics:` in the solution file.

    burst             figure: most acts within one minute of the clock; an act is any event but the impression
    click_everything  figure: share of the items shown that day that got the target event; needs impressions
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.lib import roles
from jobs.lib.reads import Reads, input_of
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F
from jobs.lib.tables import read_days, write_days

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CONTRACT = "suspicious_users"
SETTINGS = ("diagnostics",)


def suspicious_users(events: DataFrame, solution: Solution) -> DataFrame:
    """events: from `roles.events`, of any days."""
    limits, impression = solution.diagnostics, solution.impression
    acts = events.where(F.col("event") != impression) if impression else events
    minutes = acts.groupBy("ds", "user_id", F.expr("event_time div 60").alias("minute")).count()
    bursts = (
        minutes.groupBy("ds", "user_id")
        .agg(F.max("count").cast("double").alias("figure"))
        .where(F.col("figure") >= limits.burst_acts_per_minute)
        .select("user_id", F.lit("burst").alias("reason"), "figure", "ds")
    )
    if impression is None:
        return bursts
    pairs = events.groupBy("ds", "user_id", "item_id").agg(
        F.max(F.col("event") == impression).alias("is_shown"), F.max(F.col("event") == solution.target).alias("is_hit")
    )
    shown = pairs.where("is_shown").groupBy("ds", "user_id")
    counted = shown.agg(F.count(F.lit(1)).alias("items"), F.count_if("is_hit").alias("hits"))
    everything = (
        counted.withColumn("figure", F.col("hits") / F.col("items"))
        .where((F.col("items") >= limits.click_everything_items) & (F.col("figure") >= limits.click_everything_share))
        .select("user_id", F.lit("click_everything").alias("reason"), "figure", "ds")
    )
    return bursts.unionByName(everything)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return Reads(needs=input_of(solution.tables.behavior, ds))


def main(days: list[str], solution: Solution, node: Node) -> None:
    table = solution.table("suspicious_users")
    events = roles.events(read_days(solution.tables.behavior, days, table), solution)
    write_days(suspicious_users(events, solution), table, days, CONTRACT)
