"""What each recall counts in the candidates: learned daily from yesterday's lists and what users then acted on.

Grain: one row per (ds, recall). Made when the solution says `fusion: {method: learned}`. The lists are those of ds - 1,
the acts those of ds, new to the user where publish.exclude_seen leaves seen items out; how weights are found stands in
jobs/recall/weights.py. It starts from the weights of the day before (else those of the recall lines). With fewer than
MIN_USERS users to learn from, or without lists of the day before, the weights it would start from are kept: `carried`,
or `line`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from jobs.lib import partitions
from jobs.lib.columns import seeded_hash
from jobs.lib.days import add_days, window
from jobs.lib.reads import Reads, input_of, on_days
from jobs.lib.session import spark
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F
from jobs.lib.tables import present_days, write_days
from jobs.ranking.candidates import hot_lists, personal_lists
from jobs.recall import inputs
from jobs.recall.pairec import EVERYONE

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

log = logging.getLogger("recflow")

CONTRACT = "fusion_weights"
SETTINGS = ("recalls", "fusion", "publish.seen_days", "publish.exclude_seen")
SCHEMA = "recall string, weight double, origin string, users bigint, gain_before double, gain_after double, ds string"
DEPTH = 100  # of each list; what is further down does not reach the first 50
MIN_USERS = 100
MAX_USERS = 2_000  # learned from at most so many, chosen by a hash of their id: about 1 GB with ten recalls
MAX_POSITIVES = 1_000_000


def lists_to_learn_from(
    at: inputs.Day, lines: list[str], positives: DataFrame, seen: DataFrame | None
) -> tuple[dict[str, pa.Table], dict[str, pa.Table], pa.Table | None, pa.Table]:
    """What `jobs.recall.weights.blended` takes, of at most MAX_USERS users with positives, in this process."""
    users = positives.select("user_id").distinct().orderBy(seeded_hash(0, "user_id"), "user_id").limit(MAX_USERS)
    chosen = F.broadcast(users.persist())
    theirs = positives.join(chosen, on="user_id", how="semi").select("user_id", "item_id").limit(MAX_POSITIVES)
    left_out = None if seen is None else seen.join(chosen, on="user_id", how="semi").distinct().toArrow()
    deepest = DEPTH + (0 if left_out is None or not left_out.num_rows else _most(left_out))
    personal = {
        name: rows.where(F.col("rank") <= DEPTH).join(chosen, on="user_id", how="semi").drop("rank", "ds").toArrow()
        for name, rows in personal_lists(at).items()
        if name in lines
    }
    hot = {
        name: rows.where((F.col("group_key") == EVERYONE) & (F.col("rank") <= deepest))
        .orderBy("rank")
        .select("item_id", "score")
        .toArrow()
        for name, rows in hot_lists(at).items()
        if name in lines
    }
    wanted = theirs.toArrow()
    users.unpersist()
    return personal, hot, left_out, wanted


def _most(seen: pa.Table) -> int:
    """The greatest number of items that one user has seen."""
    import pyarrow.compute as pc

    return pc.max(pc.value_counts(seen["user_id"]).field("counts")).as_py()


def learned_rows(solution: Solution, ds: str) -> list[tuple]:
    """The rows of a day."""
    from jobs.recall.weights import blended, learned

    before, table = add_days(ds, -1), solution.table("fusion_weights")
    start, origin = _start(solution, before)
    lines = [name for name in start if present_days(solution.table(name), [before])]
    kept = [(name, weight, origin, 0, None, None) for name, weight in start.items()]
    if not lines or not present_days(solution.table("actions_daily"), [before]):
        log.info("%s ds=%s: no lists of the day before to learn from, weights are %s", table, ds, origin)
        return kept
    at = inputs.Day(solution, before)
    positives = inputs.Day(solution, ds).acted(1).distinct()
    seen = at.acted(solution.publish.seen_days) if solution.publish.exclude_seen else None
    if seen is not None:
        positives = positives.join(seen, on=["user_id", "item_id"], how="anti")
    personal, hot, left_out, wanted = lists_to_learn_from(at, lines, positives, seen)
    blend = blended(personal, hot, left_out, wanted, DEPTH)
    users, names = len(blend.positives), [*personal, *hot]
    if users < MIN_USERS:
        log.info("%s ds=%s: %d users to learn from, %d are needed, weights are %s", table, ds, users, MIN_USERS, origin)
        return kept
    weights, gain_before, gain_after = learned(blend, [start[name] for name in names])
    found = dict(zip(names, weights.tolist(), strict=True))
    log.info("%s ds=%s: gain %.4f -> %.4f with %s", table, ds, gain_before, gain_after, found)
    learned_now = [(name, weight, "learned", users, gain_before, gain_after) for name, weight in found.items()]
    return learned_now + [row for row in kept if row[0] not in found]


def _start(solution: Solution, before: str) -> tuple[dict[str, float], str]:
    """Weight by recall line to start from, and where they come from."""
    said = {line.name: line.fusion_weight for line in inputs.listing(solution)}
    table = solution.table("fusion_weights")
    if before not in partitions.present_days(table):
        return said, "line"
    rows = partitions.read_arrow(table, before, ["recall", "weight"]).to_pylist()
    return said | {row["recall"]: row["weight"] for row in rows if row["recall"] in said}, "carried"


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    """Lists of the day before are learned from if they are there, as an evaluation judges them."""
    before, actions = add_days(ds, -1), solution.table("actions_daily")
    listed = [solution.table(name) for name in (*(line.name for line in inputs.listing(solution)), "fusion_weights")]
    return Reads(
        needs=((actions, ds),),
        found=(
            *((table, before) for table in listed),
            *on_days(actions, window(before, solution.publish.seen_days)),
            *input_of(solution.tables.user, before),
        ),
    )


def main(days: list[str], solution: Solution, node: Node) -> None:
    """Day by day: each starts from the one before."""
    for ds in days:
        rows = [(*row, ds) for row in learned_rows(solution, ds)]
        write_days(spark().createDataFrame(rows, SCHEMA), solution.table(node.name), [ds], CONTRACT)
