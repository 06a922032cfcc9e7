"""The day's events, counted per user, item and event: the one partial that everything windowed reads.

Grain: one row per (ds, user_id, item_id, event).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from jobs.features.history import uncounted_days
from jobs.lib import roles
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F
from jobs.lib.tables import read_days, write_days

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

log = logging.getLogger("recflow")

CONTRACT = "actions_daily"


def actions_daily(events: DataFrame) -> DataFrame:
    """events: from `roles.events`. value_micros is in millionths of the value's unit, so that sums are exact."""
    micros = F.round(F.coalesce(F.col("value"), F.lit(0.0)) * F.lit(1e6)).cast("bigint")
    return events.groupBy("user_id", "item_id", "event", "ds").agg(
        F.count(F.lit(1)).alias("cnt"),
        F.sum(micros).alias("value_micros"),
        F.max("event_time").alias("last_time"),
    )


def main(days: list[str], solution: Solution, node: Node) -> None:
    """Counts the days, and those before them that the flow looks back on and that were never counted."""
    table = solution.table("actions_daily")
    counted = sorted({*uncounted_days(solution, days[0]), *days})
    behavior = read_days(solution.tables.behavior, counted, table)
    rows = behavior.count()
    log.info("%s: %s exact duplicates dropped of %s rows", table, rows - behavior.distinct().count(), f"{rows:,}")
    write_days(actions_daily(roles.events(behavior, solution)), table, counted, CONTRACT)
