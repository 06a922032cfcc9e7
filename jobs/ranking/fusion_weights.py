"""What each recall counts in the candidates: learned daily from yesterday's lists and what users then acted on.

Grain: one row per (ds, recall). Made when the solution says `fusion: {method: learned}`. The lists are those of ds - 1,
the acts those of ds, new to the user where publish.exclude_seen leaves seen items out; how weights are found stands in
jobs/recall/weights.py. It starts from the weights of the day before (else those of the recall lines). With too few
users to learn from, no hit at all, or no lists of the day before, the weights it would start from are kept: `carried`,
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
from jobs.recall import inputs
from jobs.recall.pairec import EVERYONE

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

log = logging.getLogger("recflow")

CONTRACT = "fusion_weights"
SETTINGS = ("recalls", "fusion", "publish.active_days", "publish.seen_days", "publish.exclude_seen")
SCHEMA = "recall string, weight double, origin string, users bigint, gain_before double, gain_after double, ds string"
DEPTH = 100  # of each list; what is further down does not reach the first 50
MAX_USERS = 2_000  # learned from at most so many, chosen by a hash of their id: about 1 GB with ten recalls
MAX_POSITIVES = 1_000_000
MOST_SEEN = 1_000  # a user who has seen more of a hot list than this has fewer items of it to learn from


def lists_to_learn_from(
    at: inputs.Day, lines: list[str], positives: DataFrame, seen: DataFrame | None
) -> tuple[dict[str, pa.Table], dict[str, pa.Table], pa.Table | None, pa.Table]:
    """What `jobs.recall.weights.blended` takes, of at most MAX_USERS users with positives, in this process.

    A recall that lists nothing for them has nothing to be judged by, and is left out.
    """
    users = positives.select("user_id").distinct().orderBy(seeded_hash(0, "user_id"), "user_id").limit(MAX_USERS)
    chosen = F.broadcast(users.persist())
    theirs = positives.join(chosen, on="user_id", how="semi").select("user_id", "item_id")
    wanted = theirs.orderBy("user_id", "item_id").limit(MAX_POSITIVES).toArrow()
    left_out = None if seen is None else seen.join(chosen, on="user_id", how="semi").distinct().toArrow()
    deepest = DEPTH + min(MOST_SEEN, _most(left_out) if left_out is not None and left_out.num_rows else 0)
    personal, hot = {}, {}
    for line in inputs.listing(at.solution):
        if line.name not in lines:
            continue
        rows = inputs.list_of(at, line)
        if line.is_personal:
            theirs = rows.where(F.col("rank") <= DEPTH).join(chosen, on="user_id", how="semi")
            personal[line.name] = theirs.select("user_id", "item_id", "score").toArrow()
        else:
            everyones = rows.where((F.col("group_key") == EVERYONE) & (F.col("rank") <= deepest)).orderBy("rank")
            hot[line.name] = everyones.select("item_id", "score").toArrow()
    users.unpersist()
    listed = [{name: rows for name, rows in kind.items() if rows.num_rows} for kind in (personal, hot)]
    return *listed, left_out, wanted


def _most(seen: pa.Table) -> int:
    """The greatest number of items that one user has seen."""
    import pyarrow.compute as pc

    return pc.max(pc.value_counts(seen["user_id"]).field("counts")).as_py()


def learned_rows(solution: Solution, ds: str) -> list[tuple]:
    """The rows of a day."""
    from jobs.recall.weights import blended, can_teach, learned

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
    if not can_teach(blend):
        log.info("%s ds=%s: the acts of %d users teach nothing yet, weights are %s", table, ds, users, origin)
        return kept
    weights, gain_before, gain_after = learned(blend, [start[name] for name in names])
    found = dict(zip(names, weights.tolist(), strict=True))
    greatest = max(start[name] for name in names) or 1.0  # the others stay in proportion
    log.info("%s ds=%s: gain %.4f -> %.4f with %s", table, ds, gain_before, gain_after, found)
    learned_now = [(name, weight, "learned", users, gain_before, gain_after) for name, weight in found.items()]
    return learned_now + [(name, weight / greatest, *more) for name, weight, *more in kept if name not in found]


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
            *on_days(actions, window(before, max(solution.publish.active_days, solution.publish.seen_days))),
            *input_of(solution.tables.user, before),
        ),
    )


def main(days: list[str], solution: Solution, node: Node) -> None:
    """Day by day: each starts from the one before."""
    for ds in days:
        rows = [(*row, ds) for row in learned_rows(solution, ds)]
        write_days(spark().createDataFrame(rows, SCHEMA), solution.table(node.name), [ds], CONTRACT)
