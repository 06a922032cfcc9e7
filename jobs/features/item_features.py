"""What happened to each item over the configured windows.

Grain: one row per (ds, item_id) for every item with an event in the longest window. Names: windows.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.features.history import window_actions, window_reads
from jobs.features.packed import Layout, packed_actions, packed_files
from jobs.features.range_pass import windowed, write_windowed
from jobs.features.windows import Totals, daily_totals, longest_window, range_of, windows_of
from jobs.lib.delta_files import day_files
from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CONTRACT = "item_features"
SETTINGS = ("features",)


def item_features(
    actions: DataFrame, solution: Solution, days: list[str], present: list[str], totals: Totals
) -> DataFrame:
    """actions: actions_daily of the `present` days."""
    asked, layout = range_of(windows_of(solution, "item"), days, present, totals), Layout()
    return windowed(packed_actions(actions, asked.windows, layout), layout, asked)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return window_reads(solution, ds, longest_window(solution))


def main(days: list[str], solution: Solution, node: Node) -> None:
    """One pass over the partials of the days and the longest window before them."""
    table = solution.table("item_features")
    actions, present = window_actions(solution, days, table)
    files = day_files(solution.table("actions_daily"), present)
    asked, layout = range_of(windows_of(solution, "item"), days, present, daily_totals(actions)), Layout.of(files)
    write_windowed(packed_files(files, asked.windows, layout), layout, asked, table, CONTRACT)
