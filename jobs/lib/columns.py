"""Column functions that several jobs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.lib.spark import F, Window

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_SCALE = 1_000_000_000


def exact_sum(column: Column) -> Column:
    """Sum as DOUBLE whose bits do not depend on the order of rows or the number of partitions.

    Sums of doubles do; sums of integers do not. Values are rounded to 1e-9 first, so the total must stay below 9.2e9
    (beyond it, ANSI mode raises an overflow rather than giving a wrong figure).
    """
    return F.sum(F.round(column * F.lit(float(_SCALE))).cast("bigint")) / F.lit(float(_SCALE))


def rank_within(rows: DataFrame, keys: list[str], score: str, tie: str, top_n: int | None = None) -> DataFrame:
    """Adds `rank` (INT, from 1) by score descending, then `tie` ascending; keeps the first `top_n` of each key."""
    order = Window.partitionBy(*keys).orderBy(F.col(score).desc(), F.col(tie).asc())
    ranked = rows.withColumn("rank", F.row_number().over(order).cast("int"))
    return ranked if top_n is None else ranked.where(F.col("rank") <= top_n)


def seeded_hash(seed: int, *columns: str) -> Column:
    """A BIGINT that is the same for the same values wherever it is computed: for sampling that repeats."""
    return F.xxhash64(F.lit(seed), *[F.col(name).cast("string") for name in columns])
