"""What happened to each item over the configured windows.

Grain: one row per (ds, item_id) for every item with an event in the longest window. Names: windows.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.features.history import window_actions, window_reads
from jobs.features.windows import Totals, action_rows, daily_totals, longest_window, windowed, windows_of
from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution
from jobs.lib.tables import write_days

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CONTRACT = "item_features"
SETTINGS = ("features",)


def item_features(
    actions: DataFrame, solution: Solution, days: list[str], present: list[str], totals: Totals
) -> DataFrame:
    """actions: actions_daily of the `present` days."""
    windows = windows_of(solution, "item")
    return windowed(action_rows(actions, windows), windows, days, present, totals)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return window_reads(solution, ds, longest_window(solution))


def main(days: list[str], solution: Solution, node: Node) -> None:
    """One pass over the partials of the days and the longest window before them."""
    table = solution.table("item_features")
    actions, present = window_actions(solution, days, table)
    write_days(item_features(actions, solution, days, present, daily_totals(actions)), table, days, CONTRACT)
