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


def sample_hash(seed: int, user: str, item: str) -> int:
    """What samples of users and items are drawn by: splitmix64 over FNV-1a, in Python's own integers."""
    of_user = _mixed(_mixed(seed + 0x9E3779B97F4A7C15 & _64_BITS) ^ string_hash(user))
    return _mixed(of_user ^ string_hash(item))


def string_hash(text: str) -> int:
    number = 0xCBF29CE484222325
    for byte in text.encode():
        number = (number ^ byte) * 0x100000001B3 & _64_BITS
    return _mixed(number)


def _mixed(number: int) -> int:
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _64_BITS
    return number ^ number >> 31


_64_BITS = 2**64 - 1
