"""The final list of each active user: candidates in the order of the model's score, short lists filled up.

Grain: one row per (ds, user_id, item_id). Made at ds for the day after, from data up to and including ds, by the newest
model trained on data up to ds (`scored_by` = its ds). Without a model the fused recall order stands (`scored_by` =
'recall').

There is no request yet, so context is fixed: the weekday of the day after, and the hour, scene and other context
columns that were most frequent among the model's training rows (its `serving_context`).

What the filters of `publish` remove (jobs/ranking/filtered.py) is in no list. Who has fewer than top_n candidates left
is filled up (jobs/ranking/fill_ups.py): with a model the fill-ups compete by its score, in recall order they come last,
with score 0, as nothing was fused. `publish.rerank` then orders the best anew (jobs/ranking/rerank.py); `model_rank` is
the place before, and `moves` says why an item left it. Users whose list stays short are counted in the log.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from jobs.lib import list_params
from jobs.lib.reads import Reads, input_of
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F, Window
from jobs.lib.tables import read_days, write_days
from jobs.ranking import fill_ups, filters
from jobs.ranking.candidates import on_offer
from jobs.ranking.feature_list import context_numbers
from jobs.ranking.known import Sources
from jobs.ranking.models import Model, newest_model
from jobs.ranking.pair_scores import best_lists
from jobs.ranking.rank_samples import list_reads, read_sources
from jobs.ranking.rerank import as_ranked, kinds, reranked
from jobs.ranking.serving_context import serving_context
from jobs.recall.inputs import Day, reads_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

log = logging.getLogger("recflow")

CONTRACT = "recommendations"
SETTINGS = ("features", "publish", "ranking.features", "ranking.targets")
EVERY = 2**31 - 1  # places of a list that nothing cuts


def in_recall_order(pairs: DataFrame, top_n: int) -> DataFrame:
    """The lists when there is no model. pairs: user_id, item_id, sources, score (fused), place (0 for a candidate, else
    the order in which the list is filled up)."""
    order = Window.partitionBy("user_id").orderBy("place", F.col("score").desc(), "item_id")
    ranked = pairs.withColumn("rank", F.row_number().over(order).cast("int")).where(F.col("rank") <= top_n)
    return ranked.select("user_id", "item_id", "score", "rank", "sources")


def by_model(pairs: DataFrame, sources: Sources, model: Model, ds: str, solution: Solution, top_n: int) -> DataFrame:
    """The lists by a model's score, equal scores by item_id. pairs: user_id, item_id, sources."""
    kept = ["user_id", "item_id", "sources"]
    described = in_serving_context(pairs.select(*kept), model, ds, solution)
    ranked = best_lists(described, sources, model, solution, top_n)
    return ranked.select("user_id", "item_id", "score", "rank", "sources")


def in_serving_context(pairs: DataFrame, model: Model, ds: str, solution: Solution) -> DataFrame:
    """Pairs as `with_features` takes them, for a list made at ds and shown the day after."""
    columns = [
        F.lit(value).cast("double" if name in context_numbers(solution) else "string").alias(name)
        for name, value in serving_context(model, ds, solution).items()
    ]
    return pairs.select(*pairs.columns, F.lit(ds).alias("feature_ds"), *columns)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    publish, made_from = solution.publish, ["candidates", *solution.feature_nodes]
    if publish.fallback is not None:
        made_from.append(_list_behind(publish.fallback, solution))
    if publish.has_filters:
        made_from.append("filtered")
    days = max(publish.active_days, publish.seen_days, list_params.look_back_days(solution))
    found = reads_of(solution, ds, days, *made_from)
    needs = (*found.needs, *input_of(solution.tables.user, ds))
    return replace(found, needs=needs, wanted=(*found.wanted, *list_reads(solution, ds)), model_up_to=ds)


def main(days: list[str], solution: Solution, node: Node) -> None:
    """Day by day: each has its own model."""
    table = solution.table(node.name)
    for ds in days:
        write_days(lists_of(Day(solution, ds)).withColumn("ds", F.lit(ds)), table, [ds], CONTRACT)
        for length, users in short_lists(solution, ds):
            log.info(
                "%s ds=%s: %s users have fewer than %s items (the shortest list: %s)",
                *(table, ds, f"{users:,}", f"{solution.publish.top_n:,}", f"{length:,}"),
            )
        for pin in pin_counts(read_days(table, [ds]), Day(solution, ds)):
            shown = f"is in {pin.lists:,} lists" if pin.is_offered else "is not on offer, and in no list"
            log.info("%s ds=%s: the pinned item %r %s", table, ds, pin.item, shown)


def lists_of(at: Day) -> DataFrame:
    """The lists of a day, without ds."""
    solution, ds, rerank, top_n = at.solution, at.ds, at.solution.publish.rerank, at.solution.publish.top_n
    pairs = _pairs(at)
    # A pinned item may be the worst of all by its score.
    wanted = EVERY if rerank.pinned else rerank.pool if rerank.is_on else top_n
    found = newest_model(solution, ds)
    if found is None:
        log.info("%s ds=%s: no model up to this day, recall order stands", solution.table("recommendations"), ds)
        ranked, scored_by = in_recall_order(pairs, wanted), "recall"
    else:
        scored_by, model = found
        sources = read_sources(solution, [ds], solution.table("recommendations"))
        ranked = by_model(pairs, sources, model, ds, solution, wanted)
    lists = reranked(ranked, kinds(at, rerank), rerank, top_n) if rerank.is_on else as_ranked(ranked)
    return lists.withColumn("scored_by", F.lit(scored_by))


def _pairs(at: Day) -> DataFrame:
    """(user_id, item_id, score, sources, place): candidates that the filters leave, what fills lists up, and pins."""
    publish, candidates = at.solution.publish, at.made("candidates")
    if publish.has_filters:
        removed = at.made("filtered").select("user_id", "item_id").distinct()
        candidates = candidates.join(removed, on=["user_id", "item_id"], how="left_anti")
    candidates = candidates.select("user_id", "item_id", "score", "sources", F.lit(0).alias("place"))
    more = _more(candidates, at)
    if more is None:
        return candidates
    more = more.withColumn("score", F.lit(0.0)).select(*candidates.columns)
    if not publish.rerank.pinned:
        return candidates.unionByName(more)
    more = more.select("user_id", "item_id", F.col("sources").alias("others"), F.col("place").alias("filled"))
    both = candidates.join(more, on=["user_id", "item_id"], how="full")
    nothing = F.array().cast(dict(candidates.dtypes)["sources"])
    return both.select(
        "user_id",
        "item_id",
        F.coalesce("score", F.lit(0.0)).alias("score"),
        F.sort_array(F.concat(F.coalesce("sources", nothing), F.coalesce("others", nothing))).alias("sources"),
        F.coalesce("place", "filled").alias("place"),
    )


def _more(candidates: DataFrame, at: Day) -> DataFrame | None:
    """What stands beside the candidates; None where candidates are all there is."""
    solution, publish = at.solution, at.solution.publish
    pins = [fill_ups.Pin(pin.item, pin.place, users) for pin, users in list_params.pins(solution)]
    hot = None if publish.fallback is None else at.made(_list_behind(publish.fallback, solution))
    # `candidates` has filled its lists from the catalog: more of it is needed where some are left out, or few wanted.
    has_catalog = bool(publish.has_filters or pins or publish.candidates < publish.top_n)
    if hot is None and not has_catalog:
        return None
    offers = fill_ups.offers(hot, on_offer(at) if has_catalog else None, publish.top_n, at.offered())
    conditions = [pin.users for pin in pins if pin.users is not None]
    found = filters.lookup(at, conditions, list_params.rules(solution), filters.context_of(solution, at.ds), offers)
    users = at.actions(publish.active_days).select("user_id").distinct()
    seen = at.acted(publish.seen_days) if publish.exclude_seen else None
    filling = fill_ups.filling(found, pins, publish.fallback or "")
    return fill_ups.fill_ups(candidates, users, seen, publish.top_n, at, filling)


def _list_behind(fallback: str, solution: Solution) -> str:
    """The recall that the fallback row is the top of."""
    line = next(recall for recall in solution.recalls if recall.name == fallback)
    return line.source or line.name


class PinCount(NamedTuple):
    """lists: how many have the item as a pinned one, wherever it stands; is_offered: is it among what is on offer?"""

    item: str
    lists: int
    is_offered: bool


def pin_counts(lists: DataFrame, at: Day) -> list[PinCount]:
    """What became of each pinned item, in the order of the solution file. lists: the recommendations of the day."""
    items = [pin.item for pin in at.solution.publish.rerank.pinned]
    if not items:
        return []
    is_pinned = F.col("item_id").isin(items) & F.exists("sources", lambda source: source.recall == fill_ups.PINNED)
    counts = {row.item_id: row["count"] for row in lists.where(is_pinned).groupBy("item_id").count().collect()}
    offered = on_offer(at).where(F.col("item_id").isin(items)).select("item_id").distinct().collect()
    there = {row.item_id for row in offered}
    return [PinCount(item, counts.get(item, 0), item in there) for item in items]


def short_lists(solution: Solution, ds: str) -> list[tuple[int, int]]:
    """[(length of the shortest list, users with fewer than top_n items)], empty when every active user has enough; a
    user without any counts as 0."""
    lists = read_days(solution.table("recommendations"), [ds]).groupBy("user_id").agg(F.max("rank").alias("length"))
    active = Day(solution, ds).actions(solution.publish.active_days).select("user_id").distinct()
    lengths = active.join(lists, on="user_id", how="left").select(F.coalesce("length", F.lit(0)).alias("length"))
    short = lengths.where(F.col("length") < solution.publish.top_n)
    row = short.agg(F.min("length").alias("shortest"), F.count(F.lit(1)).alias("users")).first()
    return [(row.shortest, row.users)] if row.users else []
