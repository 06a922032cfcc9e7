"""How good yesterday's model and lists were, by what happened on ds.

Grain: one row per (ds, subject, slice, measure, k). Subjects: `ranking`, the newest model trained on data up to ds - 1,
beside `ranking:item_ctr` and `ranking:popularity` on the samples of ds (ranking_quality.py), and by slice of them
(slices.py); `drift`, what moved since that training, a feature a slice (drift.py); `recall:<name>` for each recall that
lists items per user, or the same ones for everyone; `list`, the recommendations; `popularity`, the items with the most
target events of the 7 days up to ds - 1, the same for everyone: what each list has to beat.

Lists are of ds - 1. Everyone with a target event on ds counts, and n says how many that are; who had no list counts 0.
A repeated item counts as one positive. Coverage is the share of the items on offer that stood on anyone's first k (n:
the items on offer). Intervals are of 95%: of users drawn again (intervals.py; hit rates: Wilson's).
"""

from __future__ import annotations

import logging
import math
from functools import partial, reduce
from typing import TYPE_CHECKING

from jobs.lib import partitions
from jobs.lib.columns import rank_within
from jobs.lib.days import add_days, window
from jobs.lib.reads import Reads, input_of, on_days
from jobs.lib.session import at_once, spark
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F
from jobs.lib.tables import present_days, read_days, write_days
from jobs.ranking import measures
from jobs.ranking.intervals import Z
from jobs.ranking.models import Scorer, newest_model
from jobs.ranking.ranking_quality import Figure, chance_of, ranking_figures
from jobs.ranking.training_rows import read_samples
from jobs.recall.inputs import Day, list_of, listing
from jobs.recall.pairec import EVERYONE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

log = logging.getLogger("recflow")

CONTRACT = "evaluation"
SETTINGS = ("features", "recalls", "publish.active_days", "ranking.targets", "ranking.max_train_rows", "ranking.seed")
SCHEMA = (
    "subject string, slice string, measure string, k int, value double, low double, high double, n bigint, ds string"
)
RECALL_KS = (10, 50, 200)
LIST_KS = (10, 20)
POPULARITY_DAYS = 7


def list_figures(positives: DataFrame, lists: DataFrame, ks: dict[str, tuple[int, ...]], catalog: int) -> list[Figure]:
    """Measures of every subject's lists.

    positives: distinct (user_id, item_id). lists: (subject, user_id, item_id, rank), user_id NULL in a list that
    everyone gets. ks: the lengths that count, per subject. catalog: items on offer. Spark counts, so that the figures
    don't depend on partitions; the formulas are those of `measures`.
    """
    longest = max(max(lengths) for lengths in ks.values())
    within = lists.where(F.col("rank") <= longest)
    per_user = positives.groupBy("user_id").agg(F.count(F.lit(1)).alias("positives"))
    wanted = positives.join(per_user, on="user_id", how="inner")
    own = wanted.join(within.where("user_id IS NOT NULL"), on=["user_id", "item_id"], how="inner")
    shared = wanted.join(F.broadcast(within.where("user_id IS NULL").drop("user_id")), on="item_id", how="inner")
    columns = ["subject", "user_id", "positives", "rank"]
    hits = own.select(*columns).unionByName(shared.select(*columns)).persist()
    best = hits.groupBy("subject", "user_id").agg(F.min("rank").alias("rank"))
    try:
        counted, first, users, covered = at_once(
            hits.groupBy("subject", "positives", "rank").count().collect,
            best.groupBy("subject", "rank").count().collect,
            per_user.count,
            lambda: _covered(within, sorted({k for lengths in ks.values() for k in lengths})),
        )
    finally:
        hits.unpersist()
    figures: list[Figure] = []
    for subject, lengths in ks.items():
        of_subject = {(r["positives"], r["rank"]): r["count"] for r in counted if r["subject"] == subject}
        first_hits = {r["rank"]: r["count"] for r in first if r["subject"] == subject}
        for (name, k), value in measures.list_measures(of_subject, first_hits, users, lengths).items():
            bounds = _share_bounds(value, users) if name == "hit_rate" else (None, None)
            figures.append(Figure(subject, "", name, k, _known(value), *bounds, users))
        for k in lengths:
            share = _known(measures.coverage(covered.get((subject, k), 0), catalog))
            figures.append(Figure(subject, "", "coverage", k, share, None, None, catalog))
    return figures


def _covered(lists: DataFrame, ks: list[int]) -> dict[tuple[str, int], int]:
    """(subject, k) -> items on anyone's first k."""
    best = lists.groupBy("subject", "item_id").agg(F.min("rank").alias("rank"))
    counts = [F.count_if(F.col("rank") <= k).alias(f"k{k}") for k in ks]
    return {(row["subject"], k): row[f"k{k}"] for row in best.groupBy("subject").agg(*counts).collect() for k in ks}


def popularity(actions: DataFrame, target: str, n: int) -> DataFrame:
    """(item_id, rank): most target events first. actions: actions_daily of the days that count."""
    counted = actions.where(F.col("event") == target).groupBy("item_id").agg(F.sum("cnt").alias("score"))
    everyone = rank_within(counted.withColumn("everyone", F.lit(1)), ["everyone"], "score", "item_id", n)
    return everyone.select("item_id", "rank")


def model_judged(ds: str, solution: Solution) -> list[Figure]:
    """The model of the day before on the samples of ds."""
    table = solution.table("evaluation")
    found = newest_model(solution, add_days(ds, -1))
    if found is None:
        log.info("%s ds=%s: no model up to the day before, nothing to judge", table, ds)
        return []
    samples = read_samples(solution, [ds])
    if not samples.num_rows:
        log.info("%s ds=%s: no samples that day, the model is not judged", table, ds)
        return []
    model = found[1]
    scores, predictions = Scorer(model, solution.ranking.threads).on_samples(samples)
    return ranking_figures(samples, scores, chance_of(predictions, solution), model, solution)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    """Lists of the day before are judged if they are there: nobody makes lists of a day that is over to judge them."""
    before, actions = add_days(ds, -1), solution.table("actions_daily")
    judged = [solution.table(line.name) for line in listing(solution)]
    lists = [(table, before) for table in (*judged, solution.table("recommendations"))]
    reach = window(before, max(POPULARITY_DAYS, solution.publish.active_days))
    return Reads(
        needs=((solution.table("rank_samples"), ds), (actions, ds)),
        found=(
            *lists,
            *on_days(actions, reach),
            *(p for config in (solution.tables.item, solution.tables.user) for p in input_of(config, before)),
        ),
        model_up_to=before,
    )


def main(days: list[str], solution: Solution, node: Node) -> None:
    """Day by day. A day without lists or model of the day before gets no rows about them, and the log says so."""
    rows = []
    for ds in days:
        samples = solution.table("rank_samples")
        if not present_days(samples, [ds]):
            raise partitions.missing(samples, [ds], solution.table(node.name))
        figures = at_once(partial(model_judged, ds, solution), partial(_lists_judged, ds, solution))
        rows += [(*figure, ds) for part in figures for figure in part]
    write_days(spark().createDataFrame(rows, SCHEMA), solution.table(node.name), days, CONTRACT)


def _lists_judged(ds: str, solution: Solution) -> list[Figure]:
    before = add_days(ds, -1)
    actions = solution.table("actions_daily")
    if not present_days(actions, [before]):
        log.info("%s ds=%s: nothing is known of the day before, no lists to judge", solution.table("evaluation"), ds)
        return []
    lists, ks = _lists_of(before, solution)
    recent = read_days(actions, present_days(actions, window(before, POPULARITY_DAYS)))
    popular = popularity(recent, solution.target, max(RECALL_KS))
    lists.append(popular.select(F.lit("popularity").alias("subject"), F.lit(None).cast("string").alias("user_id"), "*"))
    ks["popularity"] = tuple(sorted({*RECALL_KS, *LIST_KS}))
    acted = read_days(actions, [ds], solution.table("evaluation"))
    positives = acted.where(F.col("event") == solution.target).select("user_id", "item_id").distinct()
    return list_figures(positives, reduce(lambda a, b: a.unionByName(b), lists), ks, _catalog(before, solution))


def _lists_of(ds: str, solution: Solution) -> tuple[list[DataFrame], dict[str, tuple[int, ...]]]:
    """Every list made at ds as (subject, user_id, item_id, rank); user_id is NULL in a list for everyone."""
    at, lists, ks = Day(solution, ds), [], {}
    for line in [*listing(solution), None]:
        name, subject = (line.name, f"recall:{line.name}") if line else ("recommendations", "list")
        if not present_days(solution.table(name), [ds]):
            log.info(
                "%s ds=%s: %s has no list of the day before",
                *(solution.table("evaluation"), add_days(ds, 1), solution.table(name)),
            )
            continue
        ks[subject] = RECALL_KS if line else LIST_KS
        listed = (list_of(at, line) if line else at.made(name)).where(F.col("rank") <= max(ks[subject]))
        if line and not line.is_personal:
            listed = listed.where(F.col("group_key") == EVERYONE).withColumn("user_id", F.lit(None).cast("string"))
        lists.append(listed.select(F.lit(subject).alias("subject"), "user_id", "item_id", "rank"))
    return lists, ks


def _catalog(ds: str, solution: Solution) -> int:
    """Items on offer: those of a complete item table as of ds, else those with an event in the active days."""
    config = solution.tables.item
    has_snapshot = config is not None and partitions.is_committed(config, ds)
    at = Day(solution, ds)
    offered = at.offered() if has_snapshot else None
    if offered is None:
        offered = at.actions(solution.publish.active_days)
    return offered.select("item_id").distinct().count()


def _share_bounds(share: float, users: int) -> tuple[float | None, float | None]:
    """95% interval of a share of users (Wilson's: it holds near 0, where a rare hit is)."""
    if math.isnan(share):
        return None, None
    room, middle = Z * Z / users, share + Z * Z / (2 * users)
    half = Z * math.sqrt(share * (1 - share) / users + room / (4 * users))
    return max(0.0, (middle - half) / (1 + room)), min(1.0, (middle + half) / (1 + room))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
