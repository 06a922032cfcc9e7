"""What each user did over the configured windows, and which item attributes they prefer.

Grain: one row per (ds, user_id) for every user active in the longest window. Names: windows.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.features import preferences
from jobs.features.history import window_actions, window_reads
from jobs.features.packed import Layout, packed_actions, packed_files, packed_preferences
from jobs.features.range_pass import windowed, write_windowed
from jobs.features.windows import Totals, Windows, daily_totals, longest_window, range_of, windows_of
from jobs.lib import roles
from jobs.lib.delta_files import day_files
from jobs.lib.reads import Reads, input_of
from jobs.lib.solution import Node, Solution
from jobs.lib.tables import read_snapshots

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CONTRACT = "user_features"
SETTINGS = ("features",)


def user_features(
    actions: DataFrame, spans: DataFrame | None, solution: Solution, days: list[str], present: list[str], totals: Totals
) -> DataFrame:
    """actions: actions_daily of the `present` days; spans: item attributes by day, None where there are none."""
    asked, layout = range_of(windows_of(solution, "user"), days, present, totals), Layout()
    facts = packed_actions(actions, asked.windows, layout)
    return windowed(_with_preferences(facts, actions, spans, asked.windows, layout), layout, asked)


def _with_preferences(
    facts: DataFrame, actions: DataFrame, spans: DataFrame | None, windows: Windows, layout: Layout
) -> DataFrame:
    if spans is None and not windows.recent:
        return facts
    return facts.unionByName(packed_preferences(preferences.preference_rows(actions, spans, windows), layout))


def item_spans(solution: Solution, days: list[str], needed_by: str) -> DataFrame | None:
    """Item attributes as of each of the days."""
    attributes = roles.preferred_attributes(solution)
    config = solution.tables.item
    if config is None or not attributes:
        return None
    snapshots = read_snapshots(config, days, needed_by)
    if "ds" not in snapshots.columns:
        return preferences.constant_spans(roles.items(snapshots, solution), attributes, days)
    return preferences.attribute_spans(roles.items(snapshots, solution), attributes)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    actions = window_reads(solution, ds, longest_window(solution))
    has_attributes = solution.tables.item is not None and bool(roles.preferred_attributes(solution))
    return replace(actions, needs=(*actions.needs, *(input_of(solution.tables.item, ds) if has_attributes else ())))


def main(days: list[str], solution: Solution, node: Node) -> None:
    """One pass over the partials of the days and the longest window before them."""
    table = solution.table("user_features")
    actions, present = window_actions(solution, days, table)
    files = day_files(solution.table("actions_daily"), present)
    asked, layout = range_of(windows_of(solution, "user"), days, present, daily_totals(actions)), Layout.of(files)
    facts, spans = packed_files(files, asked.windows, layout), item_spans(solution, days, table)
    write_windowed(_with_preferences(facts, actions, spans, asked.windows, layout), layout, asked, table, CONTRACT)
