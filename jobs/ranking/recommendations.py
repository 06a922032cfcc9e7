"""The final list of each active user: candidates in the order of the model's score, short lists filled up.

Grain: one row per (ds, user_id, item_id). Made at ds for the day after, from data up to and including ds, by the newest
model trained on data up to ds (`scored_by` = its ds). Without a model the fused recall order stands (`scored_by` =
'recall').

There is no request yet, so context is fixed: the weekday of the day after, and the hour, scene and other context
columns that were most frequent among the model's training rows (its `serving_context`).

A user with fewer than top_n candidates is filled up from the list behind `publish.fallback`, less what they have seen.
With a model the fill-ups compete by its score; in recall order they come last, with score 0, as nothing was fused.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jobs.lib.days import add_days, to_date
from jobs.lib.reads import Reads, input_of
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F, Window
from jobs.lib.tables import read_days, write_days
from jobs.ranking.feature_list import context_categories
from jobs.ranking.known import Sources
from jobs.ranking.models import Model, newest_model
from jobs.ranking.pair_scores import best_lists
from jobs.ranking.rank_samples import list_reads, read_sources
from jobs.recall.inputs import Day, reads_of
from jobs.recall.pairec import EVERYONE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

log = logging.getLogger("recflow")

CONTRACT = "recommendations"
SETTINGS = ("features", "publish", "ranking.targets")
COLUMNS = ("user_id", "item_id", "score", "rank", "sources", "scored_by")
HOT_PER_PLACE = 10  # a user who has seen more than so many hot items per place of the list may stay short


def fill_ups(
    candidates: DataFrame, users: DataFrame, hot: DataFrame, seen: DataFrame | None, top_n: int, source: str
) -> DataFrame:
    """(user_id, item_id, sources) that bring every user to top_n items, as far as the hot list reaches.

    users: (user_id) who get a list; hot: a recall_hot table; seen: (user_id, item_id) to leave out; source: the recall
    that `sources` names.
    """
    counted = candidates.groupBy("user_id").agg(F.count(F.lit(1)).alias("n"))
    lacking = (
        users.join(counted, on="user_id", how="left")
        .select("user_id", (F.lit(top_n) - F.coalesce("n", F.lit(0))).alias("lacking"))
        .where("lacking > 0")
    )
    best = hot.where((F.col("group_key") == EVERYONE) & (F.col("rank") <= HOT_PER_PLACE * top_n))
    offered = lacking.crossJoin(best.select("item_id", "score", "rank"))
    for had in (candidates, seen):
        if had is not None:
            theirs = had.select("user_id", "item_id").join(lacking.select("user_id"), on="user_id", how="semi")
            offered = offered.join(theirs, on=["user_id", "item_id"], how="left_anti")
    place = F.row_number().over(Window.partitionBy("user_id").orderBy("rank"))
    origin = F.struct(F.lit(source).alias("recall"), "score", "rank")
    return (
        offered.withColumn("place", place)
        .where("place <= lacking")
        .select("user_id", "item_id", F.array(origin).alias("sources"))
    )


def in_recall_order(candidates: DataFrame, filled: DataFrame, top_n: int) -> DataFrame:
    """The lists when there is no model. candidates: user_id, item_id, score (fused), sources."""
    fused = candidates.select("user_id", "item_id", "score", "sources", F.lit(0).alias("is_fill_up"))
    last = filled.select("user_id", "item_id", F.lit(0.0).alias("score"), "sources", F.lit(1).alias("is_fill_up"))
    hot_rank = F.when(F.col("is_fill_up") == 1, F.col("sources")[0]["rank"])
    order = Window.partitionBy("user_id").orderBy("is_fill_up", F.col("score").desc(), hot_rank, "item_id")
    return (
        fused.unionByName(last)
        .withColumn("rank", F.row_number().over(order).cast("int"))
        .where(F.col("rank") <= top_n)
        .withColumn("scored_by", F.lit("recall"))
        .select(*COLUMNS)
    )


def by_model(
    candidates: DataFrame, filled: DataFrame, sources: Sources, model: Model, model_ds: str, ds: str, solution: Solution
) -> DataFrame:
    """The lists by a model's score, equal scores by item_id."""
    kept = ["user_id", "item_id", "sources"]
    pairs = candidates.select(*kept).unionByName(filled.select(*kept))
    described = in_serving_context(pairs, model, ds, solution)
    ranked = best_lists(described, sources, model, solution, solution.publish.top_n)
    return ranked.withColumn("scored_by", F.lit(model_ds)).select(*COLUMNS)


def serving_context(model: Model, ds: str, solution: Solution) -> dict[str, Any]:
    """What stands in for a request at ds + 1, by model column."""
    usual = model.metadata["serving_context"]
    weekday = to_date(add_days(ds, 1)).weekday()
    return {"hour": usual["hour"], "weekday": weekday, **{c: usual[c] for c in context_categories(solution)}}


def in_serving_context(pairs: DataFrame, model: Model, ds: str, solution: Solution) -> DataFrame:
    """Pairs as `with_features` takes them, for a list made at ds and shown the day after."""
    columns = [
        F.lit(value).cast("int" if name in ("hour", "weekday") else "string").alias(name)
        for name, value in serving_context(model, ds, solution).items()
    ]
    return pairs.select(*pairs.columns, F.lit(ds).alias("feature_ds"), *columns)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    publish, made_from = solution.publish, ["candidates", "user_features", "item_features"]
    if publish.fallback is not None:
        made_from.append(_list_behind(publish.fallback, solution))
    found = reads_of(solution, ds, max(publish.active_days, publish.seen_days), *made_from)
    needs = (*found.needs, *input_of(solution.tables.user, ds))
    return replace(found, needs=needs, wanted=(*found.wanted, *list_reads(solution, ds)), model_up_to=ds)


def main(days: list[str], solution: Solution, node: Node) -> None:
    """Day by day: each has its own model."""
    for ds in days:
        write_days(_lists_of(ds, solution).withColumn("ds", F.lit(ds)), solution.table(node.name), [ds], CONTRACT)
        _log_short_lists(ds, solution, solution.table(node.name))


def _lists_of(ds: str, solution: Solution) -> DataFrame:
    publish = solution.publish
    candidates = read_days(solution.table("candidates"), [ds], solution.table("recommendations")).drop("ds")
    filled = _filled(candidates, ds, solution)
    found = newest_model(solution, ds)
    if found is None:
        log.info("%s ds=%s: no model up to this day, recall order stands", solution.table("recommendations"), ds)
        return in_recall_order(candidates, filled, publish.top_n)
    model_ds, model = found
    sources = read_sources(solution, [ds], solution.table("recommendations"))
    return by_model(candidates, filled, sources, model, model_ds, ds, solution)


def _filled(candidates: DataFrame, ds: str, solution: Solution) -> DataFrame:
    publish = solution.publish
    if publish.fallback is None:
        return candidates.select("user_id", "item_id", "sources").limit(0)
    hot = read_days(solution.table(_list_behind(publish.fallback, solution)), [ds], solution.table("recommendations"))
    at = Day(solution, ds)
    users = at.actions(publish.active_days).select("user_id").distinct()
    seen = at.acted(publish.seen_days) if publish.exclude_seen else None
    return fill_ups(candidates, users, hot, seen, publish.top_n, publish.fallback)


def _list_behind(fallback: str, solution: Solution) -> str:
    """The recall that the fallback row is the top of."""
    line = next(recall for recall in solution.recalls if recall.name == fallback)
    return line.source or line.name


def _log_short_lists(ds: str, solution: Solution, table: str) -> None:
    lists = read_days(table, [ds]).groupBy("user_id").agg(F.max("rank").alias("length"))
    lengths = lists.agg(
        F.count(F.lit(1)).alias("users"), F.count_if(F.col("length") < solution.publish.top_n).alias("short")
    ).first()
    short = f", {lengths['short']:,} of them shorter than {solution.publish.top_n}" if lengths["short"] else ""
    log.info("%s ds=%s: lists for %s users%s", table, ds, f"{lengths['users']:,}", short)
