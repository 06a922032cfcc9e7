"""Literal inputs of the ranking tests: three days of a tiny feed, and model tables in memory."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from jobs.features import item_features, user_features
from jobs.features.preferences import attribute_spans
from jobs.features.windows import daily_totals
from jobs.lib import roles
from jobs.ranking.feature_list import category_columns, number_columns
from jobs.ranking.known import Sources
from tests.features.builders import ACTIONS, EVENTS, ITEMS, USERS

NOON = 1_793_505_600  # 2026-11-01 12:00:00 in Shanghai
DAY_BEFORE, DAY = "20261101", "20261102"


def at(day: int, hour: int) -> int:
    """Unix second of a local hour of 2026-11-<day> in Shanghai."""
    return NOON + (day - 1) * 86_400 + (hour - 12) * 3_600


ACTED = [
    (DAY_BEFORE, "u1", "i1", "expr", 2, 0, at(1, 12)),
    (DAY_BEFORE, "u1", "i1", "click", 1, 1_000_000, at(1, 12)),
    (DAY_BEFORE, "u2", "i2", "expr", 3, 0, at(1, 12)),
]
USER_ROWS = [
    (DAY_BEFORE, "u1", at(1, 0) - 86_400 * 9, None, "f", "Oslo", 30.0, 0.0, 1.0, 2.0),
    (DAY, "u1", at(1, 0) - 86_400 * 9, None, "f", "Bergen", 31.0, 0.0, 1.0, 2.0),
]
ITEM_ROWS = [
    (DAY_BEFORE, "i1", "One", "a1", at(1, 0), None, "toys", 10.0, 5.0, 1.0),
    (DAY_BEFORE, "i2", "Two", "a2", at(1, 23), None, "toys", 20.0, 0.0, 0.0),
    (DAY, "i1", "One", "a1", at(1, 0), None, "games", 10.0, 99.0, 9.0),
]
SHOWN = [
    (DAY, "r1", "u1", "i1", "expr", at(2, 9), None, "home", "wifi"),
    (DAY, "r1", "u1", "i1", "click", at(2, 9) + 30, 2.0, "home", "wifi"),
    (DAY, "r1", "u1", "i1", "praise", at(2, 10), 0.5, "detail", "wifi"),
    (DAY, "r1", "u1", "i2", "expr", at(2, 9), None, "home", "wifi"),
    (DAY, None, "u2", "i9", "expr", at(2, 23), None, "home", None),
    (DAY, "r3", "u2", "i1", "praise", at(2, 23), None, "detail", None),
]


def sources(
    spark, solution, acted=ACTED, user_rows=USER_ROWS, item_rows=ITEM_ROWS, days=(DAY_BEFORE,), lists=None
) -> Sources:
    actions, items = spark.createDataFrame(acted, ACTIONS), spark.createDataFrame(item_rows, ITEMS)
    totals, days = daily_totals(actions), list(days)
    spans = attribute_spans(items, roles.preferred_attributes(solution))
    return Sources(
        days=days,
        user_features=user_features.user_features(actions, spans, solution, days, days, totals),
        item_features=item_features.item_features(actions, solution, days, days, totals),
        users=spark.createDataFrame(user_rows, USERS),
        items=items,
        lists=lists or {},
    )


def shown(spark, rows=SHOWN):
    return spark.createDataFrame(rows, EVENTS)


def sample_table(solution, days: int = 5, rows_a_day: int = 400, signal: float = 2.0, seed: int = 1) -> pa.Table:
    """Samples whose label depends on item__ctr of the longest window, the category and nothing else."""
    rng = np.random.default_rng(seed)
    n = days * rows_a_day
    column: dict[str, np.ndarray | list] = {
        "ds": [f"202611{1 + i // rows_a_day:02}" for i in range(n)],
        "request_id": [f"r{i // 10}" for i in range(n)],
        "user_id": [f"u{i // 10 % 40}" for i in range(n)],
        "item_id": [f"i{i % 10}" for i in range(n)],
    }
    numbers = {name: rng.random(n).astype(np.float32) for name in number_columns(solution)}
    numbers["hour"] = np.full(n, 9, dtype=np.float32)
    categories = {name: rng.choice(["a", "b", "c"], n) for name in category_columns(solution)}
    rate = f"item__ctr_{max(solution.features.windows)}d"
    chance = 1 / (1 + np.exp(-signal * (4 * numbers[rate] - 3 + (categories["item__category"] == "a"))))
    column["is_click"] = (rng.random(n) < (chance if signal else 0.3)).astype(np.int32)
    return pa.table(column | numbers | categories)
