"""Training rows: what was shown on ds and what came of it, described as of the day before.

Grain: one row per (ds, request_id, user_id, item_id). Labels are expressions over the row's events (labels.py). A row
needs an impression or the target event. A missing request id counts as one request per user and day. Context is that of
the row's first impression, else of its first event. Without impressions in the data, negatives are drawn from what was
on offer (negatives.py); their labels are those of no event at all.

Features and snapshots are those of ds - 1, through `model_input`. A day whose day before has none, as the first one of
all data, becomes an empty partition.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from jobs.features.history import window_reads
from jobs.features.windows import longest_window
from jobs.lib import partitions, roles
from jobs.lib.days import add_days, day_range
from jobs.lib.input_tables import TableConfig
from jobs.lib.reads import Reads, input_of
from jobs.lib.session import spark
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F
from jobs.lib.tables import present_days, read_days, read_present, read_snapshots, write_days
from jobs.ranking import negatives
from jobs.ranking.feature_list import POSITION, context_categories, context_numbers, feature_list, list_day
from jobs.ranking.known import Sources, listed
from jobs.ranking.labels import columns_of, label_columns, of_nothing
from jobs.ranking.model_input import with_features

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

log = logging.getLogger("recflow")

CONTRACT = "rank_samples"
SETTINGS = ("features", "ranking.features", "ranking.labels", "ranking.negatives_per_positive", "ranking.seed")


def request_id() -> Column:
    """A missing one counts as one request per user and day."""
    return F.coalesce("request_id", F.concat_ws("@", "user_id", "ds"))


def labelled(events: DataFrame, solution: Solution) -> DataFrame:
    """Exposures and positives with labels and context; KEYS, labels, hour, weekday, context categories."""
    counts = F.col("event").isin([e for e in (solution.impression, solution.target) if e])
    positions = [c for c in context_numbers(solution) if c == POSITION]
    context = ["scene", *positions, *solution.tables.behavior.roles.categorical]
    # Of the same second the exposure counts first: what only a click has would give its label away.
    is_later = F.col("event") != solution.impression if solution.impression else F.lit(False)
    rows = (
        events.groupBy("ds", request_id().alias("request_id"), "user_id", "item_id")
        .agg(
            F.min(F.struct(is_later.alias("is_later"), "event_time", *context)).alias("first"),
            *columns_of(solution).values(),
            F.max(counts).alias("is_counted"),
        )
        .where("is_counted")
    )
    local = roles.local_time(F.col("first.event_time"), solution)
    return rows.select(
        *("ds", "request_id", "user_id", "item_id"),
        *label_columns(solution),
        F.hour(local).alias("hour"),
        F.weekday(local).alias("weekday"),
        *[F.col(f"first.{c}").cast("float").alias(c) for c in positions],
        *[F.col(f"first.{c}").alias(c) for c in context_categories(solution)],
    )


def rank_samples(events: DataFrame, offered: DataFrame | None, sources: Sources, solution: Solution) -> DataFrame:
    """Samples of the days of `events`. offered: (ds, item_id) on offer, given when there are no impressions."""
    rows = labelled(events, solution).withColumn("is_sampled_negative", F.lit(False))
    if offered is not None:
        rows = rows.unionByName(negatives.sampled(rows, events, offered, of_nothing(solution), solution))
    day_before = F.date_format(F.date_sub(F.to_date("ds", "yyyyMMdd"), 1), "yyyyMMdd")
    return with_features(rows.withColumn("feature_ds", day_before), sources, solution)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    before, tables, behavior = add_days(ds, -1), solution.tables, input_of(solution.tables.behavior, ds)
    features = [(solution.table(name), before) for name in solution.feature_nodes] + list_reads(solution, before)
    snapshots = [p for config in (tables.user, tables.item) for p in input_of(config, before)]
    if solution.impression is not None:
        return Reads(needs=behavior, wanted=tuple(features), found=tuple(snapshots))
    if tables.item is not None and tables.item.complete:
        return Reads(needs=(*behavior, *input_of(tables.item, ds)), wanted=tuple(features), found=tuple(snapshots))
    actions = window_reads(solution, ds, longest_window(solution))
    return Reads((*behavior, *actions.needs), (*features, *actions.wanted), tuple(snapshots))


def list_reads(solution: Solution, feature_ds: str) -> list[tuple[str, str]]:
    """The partitions of recalls that operators read for features of a day."""
    used = listed(feature_list(solution)).items()
    return [(solution.table(name), list_day(feature_ds, operator)) for name, operator in used]


def main(days: list[str], solution: Solution, node: Node) -> None:
    """The days in one pass."""
    table, behavior = solution.table("rank_samples"), solution.tables.behavior
    described = _described(days, solution)
    if undescribed := sorted(set(days) - set(described)):
        shown = ", ".join(undescribed[:5]) + (f" and {len(undescribed) - 5} more" if len(undescribed) > 5 else "")
        log.warning("%s ds=%s: no features of the day before, so no samples", table, shown)
    events = roles.events(read_days(behavior, days, table), solution).where(F.col("ds").isin(described))
    if described:
        sources = read_sources(solution, [add_days(ds, -1) for ds in described], table)
        samples = rank_samples(events, _offered(described, solution), sources, solution)
    else:
        samples = _no_samples(events, solution)
    write_days(samples, table, days, CONTRACT)


def _no_samples(events: DataFrame, solution: Solution) -> DataFrame:
    """The columns that samples have, for days of which there are none."""
    features = feature_list(solution)
    rows = labelled(events, solution).withColumn("is_sampled_negative", F.lit(False)).limit(0)
    made = {c: "float" for c in features.numbers} | {c: "string" for c in features.categories}
    return rows.withColumns({c: F.lit(None).cast(kind) for c, kind in made.items() if c not in rows.columns})


def _described(days: list[str], solution: Solution) -> list[str]:
    """Those whose day before has features and snapshots. The first day of all data has none."""
    before = {ds: add_days(ds, -1) for ds in days}
    there = set(before.values())
    for name in solution.feature_nodes:
        there &= set(present_days(solution.table(name), list(before.values())))
    for config in (solution.tables.user, solution.tables.item):
        if config is not None:
            present = partitions.present_days(config)
            there = {ds for ds in there if partitions.as_of_day(config, ds, present) is not None}
    return [ds for ds in days if before[ds] in there]


def read_sources(solution: Solution, days: list[str], needed_by: str) -> Sources:
    """Features and snapshots of these feature days. Raises MissingPartition naming table and ds."""
    return Sources(
        days=days,
        user_features=read_days(solution.table("user_features"), days, needed_by),
        item_features=read_days(solution.table("item_features"), days, needed_by),
        users=_snapshots(solution.tables.user, roles.users, solution, days, needed_by),
        items=_snapshots(solution.tables.item, roles.items, solution, days, needed_by),
        biases=read_days(solution.table("biases"), days, needed_by) if solution.features.biases else None,
        lists=_lists(solution, days, needed_by),
    )


def _lists(solution: Solution, days: list[str], needed_by: str) -> dict[str, DataFrame]:
    """A day without lists has none: as on the first days of all data, when nothing had been recalled yet."""
    lists = {}
    for name, operator in listed(feature_list(solution)).items():
        table, wanted = solution.table(name), sorted({list_day(ds, operator) for ds in days})
        if partitions.present_days(table):
            lists[name] = read_present(table, wanted)
        else:
            line = next(recall for recall in solution.recalls if recall.name == name)
            key = {"recall_i2i": "trigger_item_id", "recall_u2i": "user_id"}.get(line.module.CONTRACT, "group_key")
            lists[name] = spark().createDataFrame([], f"ds string, {key} string, item_id string, score double")
    return lists


def _snapshots(
    config: TableConfig | None, by_role: Callable, solution: Solution, days: list[str], needed_by: str
) -> DataFrame | None:
    """Snapshots of the days; one that serves them all comes without ds."""
    if config is None:
        return None
    return by_role(read_snapshots(config, days, needed_by), solution)


def _offered(days: list[str], solution: Solution) -> DataFrame | None:
    """(ds, item_id) on offer on these days, or None when impressions say what was shown."""
    if solution.impression or not days:
        return None
    config = solution.tables.item
    if config is not None and config.complete:
        listed = _snapshots(config, roles.items, solution, days, solution.table("rank_samples"))
        return negatives.offered_by_snapshot(listed, days, solution)
    reach = day_range(add_days(days[0], 1 - longest_window(solution)), days[-1])
    return negatives.offered_by_actions(
        read_present(solution.table("actions_daily"), reach), days, longest_window(solution)
    )
