"""What the daily partials say of a window: id joins, new ids, head-heaviness, how far windows reach, and the funnel.

Spark counts, once per side; everything after that is plain arithmetic on groups of ids that are alike.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from jobs.diagnostics.figure import Figure, share
from jobs.features.windows import day_of, longest_window
from jobs.lib.days import day_number
from jobs.lib.solution import Solution
from jobs.lib.spark import F

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

HEADS = (1, 5, 10, 20, 50)  # percent of the ids
SPARSE_WINDOW = 21  # days: the window for sparse data, of which every solution hears what it would bring


class Group(NamedTuple):
    """Users, or items, that are alike in everything that is measured.

    is_listed: in the snapshot of ds (None: there is no snapshot). age: days since the last target event, None without
    one. events: those of ds. Groups are few: n events cannot make more than a multiple of sqrt(n) different ones.
    """

    is_listed: bool | None
    is_active: bool  # any event on ds
    is_known: bool  # any event before ds
    age: int | None
    target_cnt: int
    ids: int
    events: int


def reach_days(solution: Solution) -> int:
    """Days up to and including ds that are looked at."""
    return max(SPARSE_WINDOW, longest_window(solution), solution.publish.active_days)


def groups(actions: DataFrame, snapshot: DataFrame | None, ds: str, target: str, side: str) -> list[Group]:
    """actions: actions_daily of the window; snapshot: of `side` ('user' or 'item') through its roles, or None."""
    key, on_day, is_target = f"{side}_id", F.col("ds") == ds, F.col("event") == target
    nothing = F.lit(0).cast("bigint")
    per_id = actions.groupBy(key).agg(
        F.max(on_day).alias("is_active"),
        F.max(~on_day).alias("is_known"),
        (F.lit(day_number(ds)) - F.max(F.when(is_target, day_of(F.col("ds"))))).alias("age"),
        F.sum(F.when(is_target, F.col("cnt")).otherwise(nothing)).alias("target_cnt"),
        F.sum(F.when(on_day, F.col("cnt")).otherwise(nothing)).alias("events"),
    )
    if snapshot is None:
        listed = per_id.withColumn("is_listed", F.lit(None).cast("boolean"))
    else:
        ids = snapshot.select(key).distinct().withColumn("is_listed", F.lit(True))
        listed = per_id.join(ids, on=key, how="full").fillna({"is_listed": False})
    alike = listed.fillna({"is_active": False, "is_known": False, "target_cnt": 0, "events": 0})
    counted = alike.groupBy("is_listed", "is_active", "is_known", "age", "target_cnt").agg(
        F.count(F.lit(1)).alias("ids"), F.sum("events").alias("events")
    )
    return [Group(**row.asDict()) for row in counted.collect()]


def join_figures(groups: Sequence[Group], side: str) -> list[Figure]:
    """How much of the day's behavior finds its user, or item, in the snapshot; and what of the snapshot is idle."""
    acting = [g for g in groups if g.is_active]
    listed = [g for g in groups if g.is_listed]
    if all(g.is_listed is None for g in groups):
        return []
    ids, events, all_listed = sum(g.ids for g in acting), sum(g.events for g in acting), sum(g.ids for g in listed)
    found = [g for g in acting if g.is_listed]
    return [
        Figure("join", side, "ids_found_share", share(sum(g.ids for g in found), ids), ids),
        Figure("join", side, "events_found_share", share(sum(g.events for g in found), events), events),
        Figure("cold", side, "idle_share", share(sum(g.ids for g in listed if g.age is None), all_listed), all_listed),
    ]


def new_figures(groups: Sequence[Group], side: str) -> list[Figure]:
    """Of the ids active on ds, those without any event in the days before: no window feature describes them yet."""
    acting = [g for g in groups if g.is_active]
    new = [g for g in acting if not g.is_known]
    ids, events = sum(g.ids for g in acting), sum(g.events for g in acting)
    return [
        Figure("cold", side, "new_share", share(sum(g.ids for g in new), ids), ids),
        Figure("cold", side, "new_events_share", share(sum(g.events for g in new), events), events),
    ]


def head_figures(groups: Sequence[Group], side: str) -> list[Figure]:
    """Share of the target events that the busiest 1, 5, … percent of the ids hold, of all ids with any event."""
    counts: Counter[int] = Counter()
    for g in groups:
        if g.is_active or g.is_known:
            counts[g.target_cnt] += g.ids
    ids, total = sum(counts.values()), sum(cnt * n for cnt, n in counts.items())
    figures = []
    for percent in HEADS:
        left, held = math.ceil(ids * percent / 100), 0
        for cnt in sorted(counts, reverse=True):
            taken = min(left, counts[cnt])
            left, held = left - taken, held + taken * cnt
        figures.append(Figure("head", side, f"top_{percent}_percent", share(held, total), ids))
    return figures


def window_figures(users: Sequence[Group], solution: Solution, present: int) -> list[Figure]:
    """Of the users active in the window, those whose features of the target would not be empty, by window.

    present: days of the window that there are.
    """
    active = [g for g in users if g.is_active or g.is_known]
    n = sum(g.ids for g in active)
    windows = sorted({*solution.features.windows, SPARSE_WINDOW})
    figures = [
        Figure("window", f"{w}d", "reached_share", share(_reached(active, w), n), n) for w in windows if w <= present
    ]
    total = sum(g.target_cnt * g.ids for g in active)
    return [
        Figure("window", "history", "days", float(present), present),
        Figure("window", "user", "target_cnt_mean", share(total, n), n),
        *figures,
    ]


def _reached(groups: Sequence[Group], days: int) -> int:
    return sum(g.ids for g in groups if g.age is not None and g.age < days)


class Daily(NamedTuple):
    """One event of one day."""

    ds: str
    event: str
    events: int
    users: int
    with_value: int


def daily_counts(actions: DataFrame) -> list[Daily]:
    """A few rows per day."""
    has_value = F.when(F.col("value_micros") > 0, F.col("cnt")).otherwise(0)
    counted = actions.groupBy("ds", "event").agg(
        F.sum("cnt").alias("events"), F.countDistinct("user_id").alias("users"), F.sum(has_value).alias("with_value")
    )
    return [Daily(**row.asDict()) for row in counted.collect()]


def funnel_figures(counts: Iterable[Daily], ds: str, days: Sequence[str], solution: Solution) -> list[Figure]:
    """Events and users of ds by event, the rate to the event before it, and events of ds beside a usual day's."""
    of_day = {c.event: c for c in counts if c.ds == ds}
    earlier = [day for day in days if day < ds]
    figures, before = [], None
    for event in solution.events:
        events, users, with_value = of_day[event][2:] if event in of_day else (0, 0, 0)
        figures.append(Figure("funnel", event, "events", float(events), events))
        figures.append(Figure("funnel", event, "users", float(users), users))
        if before is not None:
            figures.append(Figure("funnel", event, "rate", share(events, before), before))
        if solution.tables.behavior.roles.value:
            figures.append(Figure("funnel", event, "with_value_share", share(with_value, events), events))
        usual = sum(c.events for c in counts if c.event == event and c.ds < ds)
        if earlier:
            figures.append(Figure("funnel", event, "of_usual_day", share(events * len(earlier), usual), usual))
        before = events
    return figures
