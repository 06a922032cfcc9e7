"""What a day's data look like, before anybody believes a model built on them: the figures behind advice and report.

Grain: one row per (ds, area, subject, measure). What each area holds is said where it is measured: table_figures.py
(the input tables of ds), window_figures.py (the daily partials of a window), skew.py (training against scoring), and
here `suspicious`, the flagged users of ds by reason. What follows from them is in advice.py.

It needs the input tables only: partials and flags that are not there yet are made first (`wanted`), and skew is left
out until a model and candidates are there. It holds nothing up but `publish`, whose report shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.diagnostics import skew, table_figures, window_figures
from jobs.diagnostics.figure import Figure, share
from jobs.features.history import window_reads
from jobs.lib import roles
from jobs.lib.days import window
from jobs.lib.reads import Reads, input_of, on_days
from jobs.lib.session import at_once, spark
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F
from jobs.lib.tables import present_days, read_days, read_snapshot, write_days
from jobs.ranking.rank_samples import list_reads

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CONTRACT = "diagnostics"
SETTINGS = ("features", "diagnostics", "publish.active_days", "ranking.features", "ranking.seed", "ranking.targets")
SCHEMA = "area string, subject string, measure string, value double, n bigint, ds string"
SIDES = ("user", "item")


def figures_of_day(ds: str, solution: Solution) -> list[Figure]:
    """Every figure of ds: a few per column, per model feature, per event and per window."""
    table = solution.table("diagnostics")
    days = present_days(solution.table("actions_daily"), window(ds, window_figures.reach_days(solution)))
    actions = read_days(solution.table("actions_daily"), days, table)
    flagged = read_days(solution.table("suspicious_users"), [ds], table)
    parts = at_once(
        lambda: input_figures(ds, solution),
        lambda: windowed_figures(actions, ds, days, solution),
        lambda: flagged_figures(flagged, actions.where(F.col("ds") == ds)),
        lambda: skew.skew_of_day(solution, ds),
    )
    return [figure for part in parts for figure in part]


def input_figures(ds: str, solution: Solution) -> list[Figure]:
    """Of the three input tables, read once each."""
    behavior = read_days(solution.tables.behavior, [ds], solution.table("diagnostics")).persist()
    try:
        figures = table_figures.behavior_figures(behavior, solution)
        figures += table_figures.column_figures(behavior, "behavior")
    finally:
        behavior.unpersist()
    for side in SIDES:
        if (config := getattr(solution.tables, side)) is not None:
            figures += table_figures.column_figures(read_snapshot(config, ds), side)
            figures += table_figures.snapshot_figures(_ids(ds, side, solution), side)
    return figures


def windowed_figures(actions: DataFrame, ds: str, days: list[str], solution: Solution) -> list[Figure]:
    """actions: actions_daily of `days`, ds among them."""
    figures: list[Figure] = []
    for side in SIDES:
        snapshot = _ids(ds, side, solution) if getattr(solution.tables, side) is not None else None
        groups = window_figures.groups(actions, snapshot, ds, solution.target, side)
        figures += window_figures.join_figures(groups, side) + window_figures.head_figures(groups, side)
        if len(days) > 1:
            figures += window_figures.new_figures(groups, side)
        if side == "user":
            figures += window_figures.window_figures(groups, solution, len(days))
    return figures + window_figures.funnel_figures(window_figures.daily_counts(actions), ds, days, solution)


def flagged_figures(flagged: DataFrame, actions: DataFrame) -> list[Figure]:
    """Users by reason, and the share of the day's events that all of them made."""
    figures = [
        Figure("suspicious", row["reason"], "users", float(row["count"]), row["count"])
        for row in flagged.groupBy("reason").count().collect()
    ]
    marks = flagged.select("user_id").distinct().withColumn("is_flagged", F.lit(True))
    theirs = F.sum(F.when(F.col("is_flagged"), F.col("cnt")).otherwise(0)).alias("theirs")
    counted = actions.join(marks, on="user_id", how="left").agg(F.sum("cnt").alias("events"), theirs).first()
    events = counted["events"] or 0
    return [*figures, Figure("suspicious", "all", "events_share", share(counted["theirs"] or 0, events), events)]


def _ids(ds: str, side: str, solution: Solution) -> DataFrame:
    snapshot = read_snapshot(getattr(solution.tables, side), ds)
    return {"user": roles.users, "item": roles.items}[side](snapshot, solution).select(f"{side}_id")


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    tables, learned_from = solution.tables, solution.ranking.training_days + solution.cadence.rank_model
    actions = window_reads(solution, ds, window_figures.reach_days(solution))
    scored = [solution.table(name) for name in ("candidates", *solution.feature_nodes)]
    return Reads(
        needs=tuple(p for config in (tables.behavior, tables.item, tables.user) for p in input_of(config, ds)),
        wanted=(*actions.wanted, *actions.needs, (solution.table("suspicious_users"), ds)),
        found=(
            *((t, ds) for t in scored),
            *list_reads(solution, ds),
            *on_days(solution.table("rank_samples"), window(ds, learned_from)),
        ),
        model_up_to=ds,
    )


def main(days: list[str], solution: Solution, node: Node) -> None:
    rows = [(*figure, ds) for ds in days for figure in figures_of_day(ds, solution)]
    write_days(spark().createDataFrame(rows, SCHEMA), solution.table(node.name), days, CONTRACT)
