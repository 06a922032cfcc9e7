"""What a reader makes of the bundle alone is what Spark makes of the tables: every column and score, bit for bit."""

from __future__ import annotations

import pyarrow as pa
import pytest

from jobs.lib.spark import F
from jobs.ranking.feature_definition import features_from
from jobs.ranking.feature_list import feature_list
from jobs.ranking.model_input import with_features
from jobs.ranking.models import read_model
from jobs.ranking.pair_scores import best_lists
from jobs.ranking.rank_samples import read_sources
from jobs.ranking.recommendations import in_serving_context
from jobs.serve.placing import part_of
from jobs.serve.scoring import Scoring
from tests.publish.builders import DS, solution

USERS, ITEMS = ("1", "2", "5", "nobody"), ("1", "2", "3", "10", "nothing")
CONTEXT = {"hour": 9.0, "weekday": 6.0, "scene": "home", "net_type": None}  # of Sunday, the day after


@pytest.fixture(scope="module")
def by_spark(spark, one_day):
    """Rows of the model's columns and of the lists, by user and item."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECFLOW_WAREHOUSE", str(one_day))
        patch.delenv("RECFLOW_ENV", raising=False)
        at = solution()
        model, sources = read_model(at, DS), read_sources(at, [DS], "test")
        pairs = spark.createDataFrame([(u, i) for u in USERS for i in ITEMS], "user_id string, item_id string")
        described = in_serving_context(pairs, model, DS, at)
        no_source = F.array().cast("array<struct<recall:string,score:double,rank:int>>")
        lists = best_lists(described.withColumn("sources", no_source), sources, model, at, 9).toArrow().to_pylist()
        columns = with_features(described, sources, at).toArrow().to_pylist()
    keys = [{(row["user_id"], row["item_id"]): row for row in rows} for rows in (columns, lists)]
    assert [len(rows) for rows in keys] == [len(USERS) * len(ITEMS)] * 2
    return keys


@pytest.fixture(scope="module")
def scoring(opened):
    return Scoring(opened)


def pairs_of(users, items) -> tuple[pa.Array, pa.Array]:
    return pa.array([u for u in users for _ in items]), pa.array([*items] * len(users))


def test_every_column_and_score_is_that_of_the_daily_lists(by_spark, scoring):
    columns, lists = by_spark
    users, items = pairs_of(USERS, ITEMS)
    made, scores = scoring.described(users, items).to_pylist(), scoring.scores(users, items)
    for row, score, key in zip(made, scores, zip(users.to_pylist(), items.to_pylist(), strict=True), strict=True):
        assert row == {name: columns[key][name] for name in row}, key
        assert score == lists[key]["score"], key
    known = made[0]  # and there is something to compare
    assert {name: known[name] for name in CONTEXT} == CONTEXT
    assert [name for name in known if name.startswith(("cross", "combo", "id_", "raw")) and known[name] is None] == [
        "cross__item_days_since",  # item 1 is none of the last ones
        "cross__etrec_u2i_score",
    ]


def test_a_few_users_and_items_are_described_as_among_all(opened, scoring):
    users, items = pairs_of(["1"], ["2", "3"])
    few = Scoring(opened, ["1"], ["2", "3", "10", "x:1"])  # the last items of the user too: their titles count
    assert few.described(users, items) == scoring.described(users, items)
    assert few.users.ids.to_pylist() == ["1"]
    assert len(few.items) == 3


def test_the_bundle_says_how_features_are_defined(opened):
    written = opened.json("model/features.json")
    features = features_from(written["definition"])
    assert features == feature_list(solution())
    assert features.id == written["version"]


def test_a_key_is_in_the_part_that_spark_puts_it_in(spark):
    keys = ["", "1", "ü-3", "x" * 7, "item-12345", "a" * 31, "b" * 32, "c" * 33, "d" * 64 + "é", "0123456789" * 12]
    rows = spark.createDataFrame([(key,) for key in keys], "key string")
    parts = [F.pmod(F.xxhash64("key"), F.lit(n)).cast("int").alias(f"of_{n}") for n in (1, 7, 1000)]
    for row in rows.select("key", *parts).collect():
        assert [part_of(row.key, n) for n in (1, 7, 1000)] == [row.of_1, row.of_7, row.of_1000], row.key
