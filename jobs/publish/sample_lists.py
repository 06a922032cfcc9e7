"""A few users' lists for the report, each item with its title and the reason why it is there."""

from __future__ import annotations

from collections import defaultdict
from functools import reduce
from typing import TYPE_CHECKING

from jobs.lib import roles, tables
from jobs.lib.columns import rank_within, seeded_hash
from jobs.lib.days import window
from jobs.lib.solution import Solution
from jobs.lib.spark import F
from jobs.publish.report_figures import Recommended, Sample
from jobs.ranking.fill_ups import PINNED

if TYPE_CHECKING:
    from pyspark.sql import Column

SAMPLE_USERS, SAMPLE_ITEMS, ACTED_ON_ITEMS, ACTED_ON_DAYS = 5, 10, 5, 30
MOST_TRIGGERS = 50  # newest items of a user that can be the reason for another
REASONS = {  # job of the recall -> why, in words
    "hot": "Popular with everyone",
    "hot_fallback": "Popular with everyone",
    "trending": "Becoming popular now",
    "grouped_hot": "Popular with people alike",
    "cold_start": "Fits what is known of a newcomer",
    "vector_u2i": "Fits their taste",
    "u2i": "Similar to what they acted on",
    "repurchase": "They had it before",
}
Triggers = dict[str, dict[str, list[tuple[float, str]]]]  # recall -> item -> (similarity, trigger), best first


def samples_of(solution: Solution, ds: str) -> list[Sample]:
    """The first items of a few users' lists, and what these users acted on last."""
    lists = tables.read_days(solution.table("recommendations"), [ds], needed_by="publish")
    chosen = lists.where("rank = 1").orderBy(seeded_hash(0, "user_id"), "user_id").limit(SAMPLE_USERS)
    users = [row.user_id for row in chosen.select("user_id").collect()]
    if not users:
        return []
    theirs = F.col("user_id").isin(users)
    listed = lists.where(theirs & (F.col("rank") <= SAMPLE_ITEMS)).orderBy("rank").collect()
    acted_on = _acted_on(solution, ds, theirs)
    triggers = _triggers(
        solution, ds, {row.item_id for row in listed}, {item for of in acted_on.values() for item in of}
    )
    titles = _titles(solution, ds, {row.item_id for row in listed} | {item for of in acted_on.values() for item in of})

    def recommended(row) -> Recommended:
        sources = [(source.recall, source["rank"]) for source in row.sources]
        why = reason(row.item_id, sources, set(acted_on[row.user_id]), triggers, titles, solution)
        return Recommended(row["rank"], row.item_id, titles.get(row.item_id, ""), why, sources)

    return [
        Sample(
            user,
            [titles.get(item, item) for item in acted_on[user][:ACTED_ON_ITEMS]],
            [recommended(row) for row in listed if row.user_id == user],
        )
        for user in users
    ]


def reason(
    item: str, sources: list[tuple[str, int]], acted_on: set[str], triggers: Triggers, titles: dict, solution: Solution
) -> str:
    """Of the recalls that proposed the item, by rank, the first with a trigger of the user's; else the first one."""
    best = [name for name, _ in sorted(sources, key=lambda source: (source[1], source[0]))]
    if PINNED in best:
        return "Pinned to its place"
    for name in best:
        for _, trigger in triggers.get(name, {}).get(item, []):
            if trigger in acted_on:
                return f"Because of their {solution.target} on “{titles.get(trigger, trigger)}”"
    jobs = {line.name: line.job for line in solution.recalls}
    return next((REASONS[jobs[name]] for name in best if jobs.get(name) in REASONS), "On offer")


def _acted_on(solution: Solution, ds: str, theirs: Column) -> dict[str, list[str]]:
    """user_id -> items of the target event, newest first."""
    actions = tables.read_present(solution.table("actions_daily"), window(ds, ACTED_ON_DAYS))
    acted = actions.where(theirs & (F.col("event") == solution.target)).groupBy("user_id", "item_id")
    newest = rank_within(acted.agg(F.max("last_time").alias("at")), ["user_id"], "at", "item_id", MOST_TRIGGERS)
    found = defaultdict(list)
    for row in newest.orderBy("user_id", "rank").collect():
        found[row.user_id].append(row.item_id)
    return found


def _triggers(solution: Solution, ds: str, listed: set[str], acted_on: set[str]) -> Triggers:
    """What the item-to-item tables behind the personal recalls say of these items."""
    behind = [(line.name, line.source) for line in solution.recalls if line.job == "u2i"]
    if not behind or not acted_on:
        return {}
    pairs = [
        tables.read_days(solution.table(source), [ds], needed_by="publish")
        .where(F.col("item_id").isin(sorted(listed)) & F.col("trigger_item_id").isin(sorted(acted_on)))
        .select(F.lit(name).alias("recall"), "item_id", "trigger_item_id", "score")
        for name, source in behind
    ]
    found: Triggers = defaultdict(lambda: defaultdict(list))
    for row in reduce(lambda a, b: a.unionByName(b), pairs).collect():
        found[row.recall][row.item_id].append((row.score, row.trigger_item_id))
    for of_recall in found.values():
        for similar in of_recall.values():
            similar.sort(key=lambda pair: (-pair[0], pair[1]))
    return found


def _titles(solution: Solution, ds: str, items: set[str]) -> dict[str, str]:
    if solution.tables.item is None or solution.tables.item.roles.title is None or not items:
        return {}
    snapshot = roles.items(tables.read_snapshot(solution.tables.item, ds), solution)
    rows = snapshot.where(F.col("item_id").isin(sorted(items))).select("item_id", "title").collect()
    return {row.item_id: row.title for row in rows if row.title}
