"""`recflow evaluate recall`: every recall of a solution, and the lists blended from them, judged on events held out.

The jobs run as they are, on the part of the events before a cut; what users acted on after it judges them. Weights of a
`learned` fusion are learned on the last share of the train part alone, by lists made from what is before that.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp

from jobs.evaluate.held_out import HeldOutDay, longest_window, recalled
from jobs.evaluate.judge import Figure, Judge, Lists
from jobs.evaluate.lists import DEPTH, Codes, codes_of, given_lists
from jobs.evaluate.split import By, Split, split
from jobs.lib import partitions, roles, tables
from jobs.lib.columns import seeded_hash
from jobs.lib.days import day_range
from jobs.lib.errors import RecflowError
from jobs.lib.solution import Solution
from jobs.lib.spark import F
from jobs.ranking.candidates import candidates_at, hot_lists, personal_lists
from jobs.ranking.fusion_weights import DEPTH as LEARNED_DEPTH
from jobs.ranking.fusion_weights import lists_to_learn_from
from jobs.recall import inputs
from jobs.recall.pairec import EVERYONE
from jobs.recall.weights import blended, can_teach, learned

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

log = logging.getLogger("recflow")

MAX_USERS = 10_000
OVERLAP_K = 50
FUSED, POPULARITY, RANDOM = "fused", "popularity", "random"


@dataclass(frozen=True)
class Evaluation:
    """What came out. best: the recall with the highest NDCG@10, which `fused` is compared with."""

    figures: list[Figure]
    ds: str
    users: int
    sampled_from: int
    cold_users: int
    weights: dict[str, float]
    best: str


def evaluate(solution: Solution, by: By, share: float, given: dict[str, str], out: Path) -> Evaluation:
    """Judge, and write `figures.parquet` to the folder `out`."""
    events, acts = _events(solution), inputs.action_weights(solution)
    outer = split(events, acts, by, share)
    _say_when_windows_are_short(solution, outer)
    weights = {line.name: line.fusion_weight for line in solution.recalls}
    if solution.fusion.method == "learned":
        log.info("weights are learned on the last part of the train part")
        inner_day = recalled(solution, inner := split(outer.train, acts, by, share))
        weights |= _learned(inner_day, inner)
        inner_day.forget()
    day = recalled(solution, outer)
    evaluation = _judged(day, outer, weights, given)
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([vars(figure) for figure in evaluation.figures]), out / "figures.parquet")
    day.forget()
    events.unpersist()
    return evaluation


def write_split(solution: Solution, by: By, share: float, out: Path) -> None:
    """The parts that `evaluate` learns from and judges by, as Parquet folders `train` (acts) and `test`."""
    acts = inputs.action_weights(solution)
    parts = split(_events(solution), acts, by, share)
    learned_from = parts.train.where(F.col("event").isin(list(acts)))
    train = learned_from.select("user_id", "item_id", "event", "event_time")
    for rows, name in ((train, "train"), (parts.test, "test")):
        rows.write.mode("overwrite").parquet(str(out / name))


def _say_when_windows_are_short(solution: Solution, held_out: Split) -> None:
    first, reach = partitions.present_days(solution.tables.behavior)[0], longest_window(solution)
    span = len(day_range(first, held_out.ds))
    if span > reach:
        log.warning(
            "the part to learn from has %d days, recall lines look back at most %d: --windows %d judges them with all",
            *(span, reach, min(span, 400)),
        )


def _events(solution: Solution) -> DataFrame:
    config = solution.tables.behavior
    days = partitions.present_days(config)
    if not days:
        raise RecflowError(f"{config.table} has no partition: nothing to evaluate on")
    return roles.events(tables.read_days(config, days), solution).persist()


def positives_of(day: HeldOutDay, held_out: Split) -> tuple[DataFrame, DataFrame | None]:
    """Test pairs that count, and what lists leave out: pairs of train, where the solution excludes what was seen."""
    if not day.solution.publish.exclude_seen:
        return held_out.test, None
    seen = day.acted(day.solution.publish.seen_days).distinct()
    return held_out.test.join(seen, on=["user_id", "item_id"], how="anti"), seen


def _learned(day: HeldOutDay, held_out: Split) -> dict[str, float]:
    positives, seen = positives_of(day, held_out)
    lines = [line.name for line in day.solution.recalls]
    personal, hot, left_out, wanted = lists_to_learn_from(day, lines, positives, seen)
    start = {line.name: line.fusion_weight for line in day.solution.recalls}
    names = [*personal, *hot]
    lists = blended(personal, hot, left_out, wanted, LEARNED_DEPTH)
    if not can_teach(lists):
        log.warning("the acts of %d users teach no weights: those of the recall lines are used", len(lists.positives))
        return {}
    found, before, after = learned(lists, [start[name] for name in names])
    log.info("learned: mean gain %.4f -> %.4f", before, after)
    return dict(zip(names, found.tolist(), strict=True))


def _judged(day: HeldOutDay, held_out: Split, weights: dict[str, float], given: dict[str, str]) -> Evaluation:
    positives, seen = positives_of(day, held_out)
    known = day.acts().select("user_id").distinct()
    warm = positives.join(known, on="user_id", how="semi")
    everyone = warm.select("user_id").distinct()
    sampled_from = everyone.count()
    if not sampled_from:
        raise RecflowError("no user of the train part acted on anything new in the test part: nobody to judge by")
    users = everyone.orderBy(seeded_hash(0, "user_id"), "user_id").limit(MAX_USERS).persist()
    cold = held_out.test.select("user_id").distinct().join(known, on="user_id", how="anti")
    cold = cold.orderBy(seeded_hash(0, "user_id"), "user_id").limit(MAX_USERS).persist()
    theirs = warm.join(F.broadcast(users), on="user_id", how="semi").toArrow()
    popular = day.acts().distinct().groupBy("item_id").count().toArrow()
    offered = day.offered()
    catalog = popular.select(["item_id"]) if offered is None else offered.distinct().toArrow()
    pairs = None if seen is None else seen.join(F.broadcast(users), on="user_id", how="semi").toArrow()
    codes = codes_of(users.toArrow(), pairs, theirs, popular, catalog)
    judge = _judge(codes, theirs, popular, catalog, known.count())
    lists = _lists(day, weights, codes, users, popular, judge)
    for name, path in given.items():
        lists[name] = codes.lists(given_lists(name, path, codes.users))
    figures = [figure for subject, listed in lists.items() for figure in judge.figures(subject, listed)]
    figures += _cold(day, given, codes, cold, held_out, lists, judge)
    ndcg = {f.subject: f.value for f in figures if (f.measure, f.k) == ("ndcg", 10) and f.subject in weights}
    if not ndcg:
        raise RecflowError("the solution has no recall line that lists items: there is nothing to judge")
    best = max(sorted(ndcg), key=lambda name: ndcg[name] or 0.0)
    for one, other in [(FUSED, best), *((FUSED, name) for name in given), *((best, name) for name in given)]:
        for (measure, k), bounds in judge.difference(lists[one], lists[other]).items():
            figures.append(Figure(f"{one} - {other}", measure, k, *bounds, len(codes.users)))
    for one in lists:
        for other in lists:
            if one != other:
                shared = judge.overlap(lists[one], lists[other], OVERLAP_K)
                figures.append(Figure(f"{one} in {other}", "overlap", OVERLAP_K, *shared, len(codes.users)))
    counted = (len(codes.users), sampled_from, cold.count())
    users.unpersist()
    cold.unpersist()
    return Evaluation(figures, day.ds, *counted, {name: weights[name] for name in ndcg}, best)


def _judge(codes: Codes, positives: pa.Table, popular: pa.Table, catalog: pa.Table, actors: int) -> Judge:
    user, item = codes.pairs(positives)
    shape = (len(codes.users), len(codes.items))
    matrix = sp.csr_matrix((np.ones(len(user), bool), (user, item)), shape)
    popularity = np.zeros(len(codes.items))
    popularity[codes.items_of(popular)] = popular["count"].to_numpy()
    is_offered = np.zeros(len(codes.items), bool)
    is_offered[codes.items_of(catalog)] = True
    return Judge(matrix, popularity, is_offered, actors)


def _of_users(rows: DataFrame, users: DataFrame) -> pa.Table:
    listed = rows.where(F.col("rank") <= DEPTH).join(F.broadcast(users), on="user_id", how="semi")
    return listed.select("user_id", "item_id", "rank").toArrow()


def _lists(
    day: HeldOutDay, weights: dict[str, float], codes: Codes, users: DataFrame, popular: pa.Table, judge: Judge
) -> dict[str, Lists]:
    """Every subject's lists for the judged users."""
    found = {name: codes.lists(_of_users(rows, users)) for name, rows in personal_lists(day).items()}
    found |= {name: codes.everyones(_everyones(rows)) for name, rows in hot_lists(day).items()}
    found[FUSED] = codes.lists(_of_users(candidates_at(day, weights), users))
    order = np.lexsort((codes.items_of(popular), -popular["count"].to_numpy()))
    ranked = popular.take(pa.array(order)).append_column("rank", pa.array(np.arange(1, len(order) + 1)))
    found[POPULARITY] = codes.everyones(ranked)
    found[RANDOM] = codes.random(np.flatnonzero(judge.catalog), judge.seed)
    return found


def _everyones(rows: DataFrame) -> pa.Table:
    return rows.where(F.col("group_key") == EVERYONE).orderBy("rank").select("item_id", "rank").toArrow()


def _cold(
    day: HeldOutDay,
    given: dict[str, str],
    codes: Codes,
    cold: DataFrame,
    held_out: Split,
    lists: dict[str, Lists],
    judge: Judge,
) -> list[Figure]:
    """Shares of test users without history that get a list, and of test items without history that stand on one."""
    users = cold.count()
    code = codes.items_of(held_out.test.select("item_id").distinct().toArrow())
    is_cold = np.zeros(len(codes.items), bool)
    is_cold[code[code >= 0]] = True
    is_cold &= judge.popularity == 0
    items = int(is_cold.sum() + (code < 0).sum())  # what has no code is on nobody's list
    personal = personal_lists(day)
    cold_ids = pa.array([row.user_id for row in cold.collect()], pa.string())
    figures = []
    for subject, listed in lists.items():
        on_lists = len(np.unique(listed.item[is_cold[listed.item]]))
        figures.append(judge.share(subject, "cold_items_served", DEPTH, on_lists, items))
        if subject in given:
            served = len(given_lists(subject, given[subject], cold_ids)["user_id"].unique())
        elif subject == FUSED or subject in personal:  # whoever had any event gets candidates
            actions = day.actions(day.solution.publish.active_days)
            rows = actions if subject == FUSED else personal[subject]
            served = rows.select("user_id").distinct().join(cold, on="user_id", how="semi").count()
        else:
            served = users
        figures.append(judge.share(subject, "cold_users_served", 0, served, users))
    return figures
