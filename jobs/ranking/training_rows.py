"""The rows that a model learns from: read, split by day, and put into the one order that its bytes depend on."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.lib import partitions
from jobs.lib.columns import seeded_hash
from jobs.lib.solution import Solution
from jobs.lib.spark import F
from jobs.lib.tables import read_days
from jobs.ranking.model_input import KEYS, model_select
from jobs.ranking.models import target_label

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from pyspark.sql import DataFrame

log = logging.getLogger("recflow")

IS_FLAGGED = "is_flagged"


@dataclass(frozen=True)
class Split:
    """Days of each part; all of train lie before validation, and those before test."""

    train: list[str]
    validation: list[str]
    test: list[str]


def split_days(days: list[str], solution: Solution) -> Split | None:
    """The days with samples, newest for test. None when not every part gets a day."""
    ranking = solution.ranking
    held_out = ranking.validation_days + ranking.test_days
    if len(days) <= held_out:
        return None
    train, rest = days[:-held_out], days[-held_out:]
    return Split(train, rest[: ranking.validation_days], rest[ranking.validation_days :])


def total_order(samples: pa.Table) -> np.ndarray:
    """Row order by KEYS: the bytes of a model depend on it."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    ranks = []
    for name in reversed(KEYS):
        encoded = pc.dictionary_encode(samples.column(name).combine_chunks())
        position = np.empty(len(encoded.dictionary), dtype=np.int64)
        position[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(encoded.dictionary))
        ranks.append(position[encoded.indices.to_numpy(zero_copy_only=False)])
    return pa.array(np.lexsort(ranks))


def part_of(samples: pa.Table, days: list[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    return samples.filter(pc.is_in(samples.column("ds"), value_set=pa.array(days, pa.string())))


def without_flagged(train: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    """The rows that are not flagged, and how many users and rows were."""
    import pyarrow.compute as pc

    flagged = pc.fill_null(train.column(IS_FLAGGED), False)
    left_out = train.filter(flagged)
    counts = {"suspicious_users": pc.count_distinct(left_out.column("user_id")).as_py(), "rows": left_out.num_rows}
    return train.filter(pc.invert(flagged)), counts


def read_samples(solution: Solution, days: list[str], flagged: DataFrame | None = None) -> pa.Table:
    """Samples of the days for the model, at most max_train_rows of them, chosen by a hash.

    flagged: (user_id), duplicates are welcome; given, the rows of these users have IS_FLAGGED set.
    """
    table, limit, seed = solution.table("rank_samples"), solution.ranking.max_train_rows, solution.ranking.seed
    rows = sum(partitions.record(table, ds)["rows"] for ds in days)
    samples = read_days(table, days, solution.table("rank_model"))
    if rows > limit:
        log.warning("%s: %s of %s rows, chosen by a hash (max_train_rows)", table, f"{limit:,}", f"{rows:,}")
        share = F.pmod(seeded_hash(seed, *KEYS), F.lit(1_000_000)) < F.lit(round(limit / rows * 1_000_000))
        samples = samples.where(share)
    kept = (*KEYS, target_label(solution))
    if flagged is not None:
        marks = flagged.select("user_id").distinct().withColumn(IS_FLAGGED, F.lit(True))
        samples, kept = samples.join(marks, on="user_id", how="left"), (*kept, IS_FLAGGED)
    return samples.select(*model_select(solution, kept)).toArrow()
