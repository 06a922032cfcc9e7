"""The day's events, counted per user, item and event: the one partial that everything windowed reads.

Grain: one row per (ds, user_id, item_id, event).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from jobs.lib import roles
from jobs.lib.reads import Reads, input_of
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F
from jobs.lib.tables import read_days, write_days

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

log = logging.getLogger("recflow")

CONTRACT = "actions_daily"
SETTINGS = ()


def actions_daily(events: DataFrame) -> DataFrame:
    """events: from `roles.events`. value_micros is in millionths of the value's unit, so that sums are exact."""
    micros = F.round(F.coalesce(F.col("value"), F.lit(0.0)) * F.lit(1e6)).cast("bigint")
    return events.groupBy("user_id", "item_id", "event", "ds").agg(
        F.count(F.lit(1)).alias("cnt"),
        F.sum(micros).alias("value_micros"),
        F.max("event_time").alias("last_time"),
    )


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return Reads(needs=input_of(solution.tables.behavior, ds))


def main(days: list[str], solution: Solution, node: Node) -> None:
    table = solution.table("actions_daily")
    behavior = read_days(solution.tables.behavior, days, table)
    rows = behavior.count()
    log.info("%s: %s exact duplicates dropped of %s rows", table, rows - behavior.distinct().count(), f"{rows:,}")
    write_days(actions_daily(roles.events(behavior, solution)), table, days, CONTRACT)
