"""Fusion weights on stored tables: where they come from, what they start from, and what they may not look at."""

from __future__ import annotations

import pytest

from jobs.lib import partitions
from jobs.lib.tables import read_days, write_days
from jobs.ranking.fusion_weights import main
from jobs.recall import weights as learning
from tests.features.builders import ACTIONS, demo_solution

DAYS = ["20261119", "20261120", "20261121"]
U2I = "user_id string, item_id string, score double, rank int, ds string"
HOT = "group_key string, item_id string, score double, rank int, ds string"
USERS = [f"u{n}" for n in range(6)]


@pytest.fixture
def shop(spark, warehouse, monkeypatch):
    """Yesterday's u2i put what users then click first, its hot list put it last."""
    monkeypatch.setattr(learning, "MIN_USERS", 5)
    solution = demo_solution(
        recalls=[
            {"name": "hot", "job": "hot", "fusion_weight": 0.5},
            {"name": "i2i", "job": "etrec_i2i"},
            {"name": "u2i", "job": "u2i", "source": "i2i", "fusion_weight": 0.1},
        ],
        fusion={"method": "learned"},
    )
    acted = [(ds, user, "old", "click", 1, 0, 1) for ds in DAYS[:2] for user in USERS]
    acted += [(DAYS[2], user, item, "click", 1, 0, 1) for user in USERS for item in ("wanted", "old")]
    write_days(spark.createDataFrame(acted, ACTIONS), "home_page_actions_daily", DAYS, "actions_daily")
    return solution


def write_lists(spark, ds):
    personal = [(user, item, score, rank, ds) for user in USERS for rank, (item, score) in enumerate(PERSONAL, 1)]
    write_days(spark.createDataFrame(personal, U2I), "home_page_u2i", [ds], "recall_u2i")
    hot = [("-1", f"h{n}", 100.0 - n, n + 1, ds) for n in range(60)]
    write_days(spark.createDataFrame(hot, HOT), "home_page_hot", [ds], "recall_hot")


PERSONAL = [("old", 9.0), ("wanted", 8.0), ("other", 1.0)]  # old was seen, and is clicked again


def weights(ds):
    rows = read_days("home_page_fusion_weights", [ds]).collect()
    return {row.recall: (row.weight, row.origin, row.users) for row in rows}


def test_the_recall_that_foresaw_the_day_gains_and_the_next_day_starts_from_there(spark, shop):
    write_lists(spark, DAYS[1])
    main(DAYS[2:], shop, shop.node("fusion_weights"))
    found = weights(DAYS[2])
    assert found["u2i"] == (1.0, "learned", 6) and found["hot"] == (0.0, "learned", 6)
    row = read_days("home_page_fusion_weights", [DAYS[2]]).first()
    assert row.gain_after == 1.0 > row.gain_before  # `old` was seen, so `wanted` is all there is to find
    write_days(spark.createDataFrame([], ACTIONS), "home_page_actions_daily", ["20261122"], "actions_daily")
    main(["20261122"], shop, shop.node("fusion_weights"))
    assert weights("20261122") == {"hot": (0.0, "carried", 0), "u2i": (1.0, "carried", 0)}


def test_without_lists_of_the_day_before_the_lines_say(spark, shop):
    main(DAYS[1:2], shop, shop.node("fusion_weights"))
    assert weights(DAYS[1]) == {"hot": (0.5, "line", 0), "u2i": (0.1, "line", 0)}


def test_too_few_users_teach_nothing(spark, shop, monkeypatch):
    monkeypatch.setattr(learning, "MIN_USERS", 7)
    write_lists(spark, DAYS[1])
    main(DAYS[2:], shop, shop.node("fusion_weights"))
    assert weights(DAYS[2]) == {"hot": (0.5, "line", 0), "u2i": (0.1, "line", 0)}


def test_a_day_again_is_the_same(spark, shop):
    write_lists(spark, DAYS[1])
    main(DAYS[2:], shop, shop.node("fusion_weights"))
    before = partitions.record("home_page_fusion_weights", DAYS[2])["content"]
    main(DAYS[2:], shop, shop.node("fusion_weights"))
    assert partitions.record("home_page_fusion_weights", DAYS[2])["content"] == before


def test_a_recall_without_a_table_of_the_day_before_stays_in_proportion(spark, shop):
    write_lists(spark, DAYS[1])
    partitions.forget("home_page_hot", [DAYS[1]])
    main(DAYS[2:], shop, shop.node("fusion_weights"))
    assert weights(DAYS[2]) == {"u2i": (1.0, "learned", 6), "hot": (5.0, "line", 0)}
