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
SOURCES = "sources array<struct<recall:string,score:double,rank:int>>"
I2I = [("i2i", 0.5, 1)]


@pytest.fixture(scope="module")
def candidates(spark):
    rows = [("u1", "i1", 0.2, 2, I2I), ("u1", "i2", 0.2, 3, I2I), ("u1", "i3", 0.9, 1, I2I), ("u2", "i1", 0.1, 1, I2I)]
    return spark.createDataFrame(rows, CANDIDATES)


OPERATORS = [
    {"op": "lookup", "of": "category", "stats": ["cnt", "share", "seen", "rate", "lift"]},
    {"op": "lookup", "of": "title_words", "stats": ["rate"]},
    {"op": "match", "of": "category"},
    {"op": "text_overlap", "last": 5},
    {"op": "history"},
    {"op": "similarity", "of": "etrec_i2i", "last": 5},
    {"op": "recall_score", "of": "etrec_u2i"},
    {"op": "recall_score", "of": "hot"},
    {"op": "combo", "of": ["user__gender", "item__category"]},
    {"op": "id", "of": "author"},
    {"op": "raw", "of": "item__click_count", "transform": "log"},
]


def pairs_of(spark, *rows):
    """Candidates are of place 0, fill-ups have the place in which they come."""
    columns = [(user, item, score, I2I, place) for user, item, score, place in rows]
    return spark.createDataFrame(columns, "user_id string, item_id string, score double, " + SOURCES + ", place int")


def test_recall_order_puts_fill_ups_last_and_breaks_ties_by_item(spark):
    rows = [("u1", "i1", 0.2, 0), ("u1", "i2", 0.2, 0), ("u1", "i3", 0.9, 0), ("u1", "h2", 0.0, 1),
            ("u2", "h2", 0.0, 1), ("u2", "h1", 0.0, 2), ("u2", "i1", -0.1, 0)]  # fmt: skip
    lists = rec.as_ranked(rec.in_recall_order(pairs_of(spark, *rows), 3))
    found = rows_of(lists, "user_id", "rank")
    assert [(r["user_id"], r["rank"], r["item_id"], r["score"]) for r in found] == [
        ("u1", 1, "i3", 0.9), ("u1", 2, "i1", 0.2), ("u1", 3, "i2", 0.2),
        ("u2", 1, "i1", -0.1), ("u2", 2, "h2", 0.0), ("u2", 3, "h1", 0.0),
    ]  # fmt: skip
    assert {(r["rank"] - r["model_rank"], *r["moves"]) for r in found} == {(0,)}


@pytest.fixture(scope="module")
def model():
    solution = demo_solution(ranking={"rounds": 20, "params": {"max_depth": 3}})
    return rank_model(sample_table(solution), solution)


def test_lists_are_in_the_order_of_the_models_own_scores(spark, candidates, model):
    solution = demo_solution()
    described = sources(spark, solution)
    lists = rows_of(rec.by_model(candidates, described, model, DAY_BEFORE, solution, 2), "user_id", "rank")
    assert [(r["user_id"], r["rank"]) for r in lists] == [("u1", 1), ("u1", 2), ("u2", 1)]

    pairs = rec.in_serving_context(candidates.select("user_id", "item_id"), model, DAY_BEFORE, solution)
    table = with_features(pairs, described, solution).select(*model_select(solution, ("user_id", "item_id"))).toArrow()
    frame = model_frame(table, model_features(model))
    import xgboost

    by_hand = load_booster(model.boosters["is_click"]).predict(xgboost.DMatrix(frame, enable_categorical=True))
    pairs = zip(by_hand, table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True)
    expected = sorted((-float(score), item) for score, user, item in pairs if user == "u1")[:2]
    assert [(-r["score"], r["item_id"]) for r in lists if r["user_id"] == "u1"] == expected


def test_a_candidate_is_described_as_the_sample_of_the_next_day_will_be(spark, model):
    solution = demo_solution(
        recalls=[{"name": "hot", "job": "hot"}, {"name": "etrec_i2i", "job": "etrec_i2i"},
                 {"name": "etrec_u2i", "job": "u2i", "source": "etrec_i2i"}],
        features={"preference": {"attributes": ["category", "title_words"], "rates": True, "recent": 5}},
        ranking={"features": OPERATORS},
    )  # fmt: skip
    listed = {
        "hot": ([(DAY_BEFORE, "-1", "i1", 9.0)], "ds string, group_key string, item_id string, score double"),
        "etrec_i2i": (
            [(DAY_BEFORE, "i1", "i2", 0.5)],
            "ds string, trigger_item_id string, item_id string, score double",
        ),
        "etrec_u2i": ([(DAY_BEFORE, "u1", "i2", 0.25)], "ds string, user_id string, item_id string, score double"),
    }
    lists = {name: spark.createDataFrame(*of) for name, of in listed.items()}
    described = sources(spark, solution, lists=lists)
    samples = rank_samples(shown(spark), None, described, solution).cache()
    [passed] = samples.where("user_id = 'u1' and item_id = 'i2'").collect()
    assert [passed[f"cross__{name}"] for name in ("etrec_i2i_max_last5", "etrec_u2i_score", "hot_score")] == [
        0.5, 0.25, None,
    ]  # fmt: skip
    [clicked] = samples.where("user_id = 'u1' and item_id = 'i1'").collect()
    assert (clicked["cross__item_days_since"], clicked["cross__hot_score"]) == (0.0, 9.0)
    assert clicked["cross__title_overlap_last5"] == 1.0 and clicked["cross__category_seen"] == 2.0
    pairs = samples.select("user_id", "item_id")
    candidates = with_features(rec.in_serving_context(pairs, model, DAY_BEFORE, solution), described, solution)
    context = {"hour", "scene", "net_type"}  # of a request that has not come yet
    columns = [c for c in (*number_columns(solution), *category_columns(solution)) if c not in context]
    keys = ["user_id", "item_id"]
    assert rows_of(candidates.select(*keys, *columns), *keys) == rows_of(samples.select(*keys, *columns), *keys)
    assert {row["hour"] for row in candidates.collect()} == {9}
