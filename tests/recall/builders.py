"""Literal tables for the recall tests, and ways to lay them out differently."""

from __future__ import annotations

import random

PAIRS = "user_id string, item_id string"

# The worked example of etrec and swing: five users, four items.
GOLDEN = [
    *[("u0", item) for item in ("10", "11", "12")],
    *[("u1", item) for item in ("12", "13")],
    *[("u2", item) for item in ("10", "11", "12")],
    *[("u3", item) for item in ("12", "13")],
    *[("u4", item) for item in ("10", "11", "12", "13")],
]


def layouts(spark, rows, schema):
    """The same rows in their order in one partition, and shuffled in five."""
    shuffled = random.Random(7).sample(rows, len(rows))
    yield spark.createDataFrame(rows, schema).coalesce(1)
    yield spark.createDataFrame(shuffled, schema).repartition(5)


def table(frame, *columns: str) -> list[tuple]:
    """The rows as tuples, sorted."""
    return sorted(tuple(row) for row in frame.select(*columns).collect())
