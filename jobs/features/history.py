"""How far the flow looks back, and which of those days are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.features.windows import longest_window
from jobs.lib import partitions
from jobs.lib.days import add_days, day_range, window
from jobs.lib.reads import Reads, on_days
from jobs.lib.solution import Solution
from jobs.lib.tables import present_days, read_days

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def history_days(solution: Solution) -> int:
    """Days up to and including ds that some node of the flow reads.

    Training looks back furthest as a rule: the features of its first day stand on a window of their own.
    """
    training = solution.ranking.training_days + longest_window(solution)
    return max(
        training, solution.publish.active_days, solution.publish.seen_days, *(r.reach_days for r in solution.recalls)
    )


def window_reads(solution: Solution, ds: str, days: int) -> Reads:
    """actions_daily of ds, and of a window of so many days that ends there."""
    table = solution.table("actions_daily")
    return Reads(needs=((table, ds),), wanted=on_days(table, window(ds, days)[:-1]))


def window_actions(solution: Solution, days: list[str], needed_by: str) -> tuple[DataFrame, list[str]]:
    """actions_daily for the features of consecutive days, and which days of it there are.

    The days themselves must be there; of the days before them, those that are.
    """
    table = solution.table("actions_daily")
    reach = day_range(add_days(days[0], 1 - longest_window(solution)), days[-1])
    present = present_days(table, reach)
    if absent := sorted(set(days) - set(present)):
        raise partitions.missing(table, absent, needed_by)
    return read_days(table, present), present
