"""What each user did over the configured windows, and which item attributes they prefer.

Grain: one row per (ds, user_id) for every user active in the longest window. Names: windows.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.features import preferences
from jobs.features.history import window_actions, window_reads
from jobs.features.windows import Totals, action_rows, daily_totals, longest_window, windowed, windows_of
from jobs.lib import roles
from jobs.lib.reads import Reads, input_of
from jobs.lib.solution import Node, Solution
from jobs.lib.tables import read_snapshots, write_days

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CONTRACT = "user_features"
SETTINGS = ("features",)


def user_features(
    actions: DataFrame, spans: DataFrame | None, solution: Solution, days: list[str], present: list[str], totals: Totals
) -> DataFrame:
    """actions: actions_daily of the `present` days; spans: item attributes by day, None where there are none."""
    windows = windows_of(solution, "user")
    rows = action_rows(actions, windows)
    if spans is not None:
        rows = rows.unionByName(preferences.preference_rows(actions, spans, windows))
    return windowed(rows, windows, days, present, totals)


def item_spans(solution: Solution, days: list[str], needed_by: str) -> DataFrame | None:
    """Item attributes as of each of the days."""
    attributes = roles.item_attributes(solution)
    config = solution.tables.item
    if config is None or not attributes:
        return None
    snapshots = read_snapshots(config, days, needed_by)
    if "ds" not in snapshots.columns:
        return preferences.constant_spans(roles.items(snapshots, solution), attributes, days)
    return preferences.attribute_spans(roles.items(snapshots, solution), attributes)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    actions = window_reads(solution, ds, longest_window(solution))
    has_attributes = bool(roles.item_attributes(solution))
    return replace(actions, needs=(*actions.needs, *(input_of(solution.tables.item, ds) if has_attributes else ())))


def main(days: list[str], solution: Solution, node: Node) -> None:
    """One pass over the partials of the days and the longest window before them."""
    table = solution.table("user_features")
    actions, present = window_actions(solution, days, table)
    spans = item_spans(solution, days, table)
    features = user_features(actions, spans, solution, days, present, daily_totals(actions))
    write_days(features, table, days, CONTRACT)
