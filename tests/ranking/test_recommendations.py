"""Final lists from literal candidates: fill-ups, recall order, and scoring through the samples' own definition."""

from __future__ import annotations

import pytest

from jobs.ranking import recommendations as rec
from jobs.ranking.feature_list import category_columns, number_columns
from jobs.ranking.model_input import model_frame, model_select, with_features
from jobs.ranking.models import load_booster, model_features
from jobs.ranking.rank_model import rank_model
from jobs.ranking.rank_samples import rank_samples
from tests.features.builders import demo_solution, rows_of
from tests.ranking.builders import DAY_BEFORE, sample_table, shown, sources

CANDIDATES = (
    "user_id string, item_id string, score double, rank int, sources array<struct<recall:string,score:double,rank:int>>"
)
HOT = "group_key string, item_id string, score double, rank int"
I2I = [("i2i", 0.5, 1)]


@pytest.fixture(scope="module")
def candidates(spark):
    rows = [("u1", "i1", 0.2, 2, I2I), ("u1", "i2", 0.2, 3, I2I), ("u1", "i3", 0.9, 1, I2I), ("u2", "i1", 0.1, 1, I2I)]
    return spark.createDataFrame(rows, CANDIDATES)


@pytest.fixture(scope="module")
def hot(spark):
    everyone = [("-1", f"h{n}", 9.0 - n, n) for n in range(1, 5)] + [("-1", "i1", 1.0, 5)]
    return spark.createDataFrame([*everyone, ("f_18-25", "h9", 9.0, 1)], HOT)


def filled(spark, candidates, hot, top_n, seen=()):
    users = spark.createDataFrame([("u1",), ("u2",), ("u3",)], "user_id string")
    seen_items = spark.createDataFrame(list(seen), "user_id string, item_id string")
    return rec.fill_ups(candidates, users, hot, seen_items, top_n, "hot_fallback")


def test_short_lists_are_filled_from_the_hot_list_less_what_was_seen(spark, candidates, hot):
    rows = rows_of(filled(spark, candidates, hot, 3, [("u2", "h1"), ("u2", "h1"), ("u3", "h2")]), "user_id", "item_id")
    assert [(r["user_id"], r["item_id"]) for r in rows] == [
        ("u2", "h2"), ("u2", "h3"), ("u3", "h1"), ("u3", "h3"), ("u3", "h4"),
    ]  # fmt: skip
    assert rows[0]["sources"] == [{"recall": "hot_fallback", "score": 7.0, "rank": 2}]
    # a list that cannot be filled stays short: u2 has i1 already, and there are four other hot items
    assert len([r for r in rows_of(filled(spark, candidates, hot, 8), "user_id") if r["user_id"] == "u2"]) == 4
    assert rows_of(filled(spark, candidates, hot, 1), "user_id")[0]["user_id"] == "u3"


def test_recall_order_puts_fill_ups_last_and_breaks_ties_by_item(spark, candidates, hot):
    lists = rec.in_recall_order(candidates, filled(spark, candidates, hot, 3), 3)
    assert lists.columns == list(rec.COLUMNS)
    assert [(r["user_id"], r["rank"], r["item_id"], r["score"]) for r in rows_of(lists, "user_id", "rank")] == [
        ("u1", 1, "i3", 0.9), ("u1", 2, "i1", 0.2), ("u1", 3, "i2", 0.2),
        ("u2", 1, "i1", 0.1), ("u2", 2, "h1", 0.0), ("u2", 3, "h2", 0.0),
        ("u3", 1, "h1", 0.0), ("u3", 2, "h2", 0.0), ("u3", 3, "h3", 0.0),
    ]  # fmt: skip
    assert {r["scored_by"] for r in lists.collect()} == {"recall"}


@pytest.fixture(scope="module")
def model():
    solution = demo_solution(ranking={"rounds": 20, "params": {"max_depth": 3}})
    return rank_model(sample_table(solution), solution)


def test_lists_are_in_the_order_of_the_models_own_scores(spark, candidates, hot, model):
    solution = demo_solution(publish={"top_n": 2})
    described = sources(spark, solution)
    lists = rows_of(
        rec.by_model(candidates, filled(spark, candidates, hot, 2), described, model, DAY_BEFORE, DAY_BEFORE, solution),
        "user_id", "rank",
    )  # fmt: skip
    assert [(r["user_id"], r["rank"]) for r in lists] == [(u, n) for u in ("u1", "u2", "u3") for n in (1, 2)]
    assert {r["scored_by"] for r in lists} == {DAY_BEFORE}

    pairs = rec.in_serving_context(candidates.select("user_id", "item_id"), model, DAY_BEFORE, solution)
    table = with_features(pairs, described, solution).select(*model_select(solution, ("user_id", "item_id"))).toArrow()
    frame = model_frame(table, model_features(model))
    import xgboost

    by_hand = load_booster(model.boosters["is_click"]).predict(xgboost.DMatrix(frame, enable_categorical=True))
    pairs = zip(by_hand, table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True)
    expected = sorted((-float(score), item) for score, user, item in pairs if user == "u1")[:2]
    assert [(-r["score"], r["item_id"]) for r in lists if r["user_id"] == "u1"] == expected


def test_a_candidate_is_described_as_the_sample_of_the_next_day_will_be(spark, model):
    solution = demo_solution()
    described = sources(spark, solution)
    samples = rank_samples(shown(spark), None, described, solution)
    pairs = samples.select("user_id", "item_id")
    candidates = with_features(rec.in_serving_context(pairs, model, DAY_BEFORE, solution), described, solution)
    context = {"hour", "scene", "net_type"}  # of a request that has not come yet
    columns = [c for c in (*number_columns(solution), *category_columns(solution)) if c not in context]
    keys = ["user_id", "item_id"]
    assert rows_of(candidates.select(*keys, *columns), *keys) == rows_of(samples.select(*keys, *columns), *keys)
    assert {row["hour"] for row in candidates.collect()} == {9}


def test_no_candidates_and_no_users_give_no_lists(spark, hot):
    none = spark.createDataFrame([], CANDIDATES)
    users = spark.createDataFrame([], "user_id string")
    assert rec.in_recall_order(none, rec.fill_ups(none, users, hot, None, 3, "hot"), 3).count() == 0


def test_without_a_hot_list_a_lone_user_keeps_a_short_list(spark):
    one = spark.createDataFrame([("u1", "i1", 0.2, 1, I2I)], CANDIDATES)
    users = spark.createDataFrame([("u1",)], "user_id string")
    lists = rec.in_recall_order(one, rec.fill_ups(one, users, spark.createDataFrame([], HOT), None, 3, "hot"), 3)
    assert [(r["item_id"], r["rank"]) for r in lists.collect()] == [("i1", 1)]
