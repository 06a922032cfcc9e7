"""What a user or an item adds to the rate at which impressions get the target, freed from whom and what they met.

Grain: one row per (ds, side, id) for every user and item with an impression in the window, which ends at ds. A user
who was shown what everybody likes has a high rate and may have a low bias; so with an item that was shown to those who
like everything.

    bias_item = sum over its pairs of (hits - shown * (base + bias_user)) / (item_smoothing + sum of shown)
    bias_user the same with the sides exchanged; base = hits / shown of all; three rounds from bias_user = 0

Source: baseline estimates by alternating least squares (Koren, "Factor in the Neighbors", 2010; the Surprise library).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from jobs.features.history import window_reads
from jobs.features.windows import day_of
from jobs.lib import partitions
from jobs.lib.days import add_days, day_number, day_range, from_day_number
from jobs.lib.errors import RecflowError
from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution
from jobs.lib.solution_params import Biases
from jobs.lib.spark import F
from jobs.lib.tables import present_days, read_days, write_days

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CONTRACT = "biases"
SETTINGS = ("features.biases",)
ROUNDS = 3
MOST_ROWS = 50_000_000  # of actions_daily in one worker: 28 bytes each, and the ids


def biases(actions: DataFrame, days: list[str], solution: Solution) -> DataFrame:
    """actions: actions_daily of the days and their windows."""
    shown, hit = (
        F.sum(F.col("cnt") * (F.col("event") == e).cast("int")) for e in (solution.impression, solution.target)
    )
    pairs = (
        actions.where(F.col("event").isin(solution.impression, solution.target))
        .groupBy(day_of(F.col("ds")).alias("day"), "user_id", "item_id")
        .agg(shown.cast("double").alias("shown"), hit.cast("double").alias("hits"))
    )
    # In one order, and so the same sums, however the rows lay.
    one = pairs.repartition(1).sortWithinPartitions("day", "user_id", "item_id")
    made = partial(_in_worker, days=[day_number(ds) for ds in days], params=solution.features.biases)
    return one.mapInArrow(made, "side string, id string, shown double, bias double, ds string")


def _in_worker(batches: Iterator[pa.RecordBatch], days: list[int], params: Biases) -> Iterator[pa.RecordBatch]:
    from jobs.recall.sparse import coded

    held = [batch for batch in batches if batch.num_rows]
    if not held:
        return
    rows, codes = coded(held, ["user_id", "item_id"])
    day, shown, hits = (rows.column(name).to_numpy() for name in ("day", "shown", "hits"))
    (users, user), (items, item) = codes["user_id"], codes["item_id"]
    for number in days:
        of_day = slice(*np.searchsorted(day, [number - params.window + 1, number + 1]))
        found = estimates(
            (user[of_day], item[of_day]), (len(users), len(items)), shown[of_day], hits[of_day],
            (params.user_smoothing, params.item_smoothing),
        )  # fmt: skip
        for side, ids, (seen, bias) in zip(("user", "item"), (users, items), found, strict=True):
            has = np.flatnonzero(seen > 0)
            columns = [pa.repeat(side, len(has)), ids.take(pa.array(has)), pa.array(seen[has]), pa.array(bias[has])]
            ds = pa.repeat(from_day_number(number), len(has))
            yield pa.record_batch([*columns, ds], ["side", "id", "shown", "bias", "ds"])


def estimates(
    codes: tuple[np.ndarray, np.ndarray],
    lengths: tuple[int, int],
    shown: np.ndarray,
    hits: np.ndarray,
    smoothing: tuple[float, float],
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Of users and of items (impressions, bias), by code; 0 and 0 for who has none in these rows."""
    seen = [np.bincount(code, shown, n) for code, n in zip(codes, lengths, strict=True)]
    base = hits.sum() / max(shown.sum(), 1.0)
    left, bias = hits - base * shown, [np.zeros(n) for n in lengths]
    for _ in range(ROUNDS):
        for side, other in ((1, 0), (0, 1)):
            unexplained = left - shown * bias[other][codes[other]]
            total = np.bincount(codes[side], unexplained, lengths[side])
            bias[side] = total / (seen[side] + smoothing[side])
    return (seen[0], bias[0]), (seen[1], bias[1])


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return window_reads(solution, ds, solution.features.biases.window)


def main(days: list[str], solution: Solution, node: Node) -> None:
    """The days in one pass. Raises RecflowError where that is too much for a worker."""
    table, source = solution.table("biases"), solution.table("actions_daily")
    present = present_days(source, day_range(add_days(days[0], 1 - solution.features.biases.window), days[-1]))
    if absent := sorted(set(days) - set(present)):
        raise partitions.missing(source, absent, table)
    if (rows := sum(partitions.record(source, ds)["rows"] for ds in present)) > MOST_ROWS:
        raise RecflowError(
            f"{table} ds={days[-1]}: {rows:,} rows of {source} are more than {MOST_ROWS:,}, which one worker would "
            "have to hold: lower features.biases.window, or run fewer days at a time"
        )
    write_days(biases(read_days(source, present), days, solution), table, days, CONTRACT)
