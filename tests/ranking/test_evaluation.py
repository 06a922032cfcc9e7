"""Lists judged by literal events, worked by hand."""

from __future__ import annotations

import math

import pytest

from jobs.lib import partitions
from jobs.lib.solution import Node
from jobs.publish.figures import history_of, measures_of
from jobs.ranking import drift, evaluation
from jobs.ranking.evaluation import _share_bounds, list_figures, popularity
from jobs.ranking.models import Model
from jobs.ranking.ranking_quality import ranking_figures
from tests.features.builders import ACTIONS, demo_solution, rows_of
from tests.ranking.builders import sample_table

LISTS = "subject string, user_id string, item_id string, rank int"


@pytest.fixture(scope="module")
def figures(spark):
    positives = [("u1", "a"), ("u1", "b"), ("u2", "c"), ("u3", "z")]  # u3 has no list
    lists = [
        ("list", "u1", "a", 2), ("list", "u1", "x", 1), ("list", "u1", "b", 3), ("list", "u2", "y", 1),
        ("list", "u9", "a", 1),  # did nothing that day: counts for coverage only
        ("popularity", None, "c", 1), ("popularity", None, "z", 2), ("popularity", None, "b", 9),
    ]  # fmt: skip
    rows = list_figures(
        spark.createDataFrame(positives, "user_id string, item_id string"), spark.createDataFrame(lists, LISTS),
        {"list": (2, 3), "popularity": (2,), "recall:empty": (2,)}, 10,
    )  # fmt: skip
    assert {f.slice for f in rows} == {""}
    return {(f.subject, f.measure, f.k): (f.value, f.n) for f in rows}


def test_each_user_with_a_positive_counts_with_or_without_a_list(figures):
    assert figures["list", "hit_rate", 2] == (pytest.approx(1 / 3), 3)
    assert figures["list", "recall", 2] == (pytest.approx(0.5 / 3), 3)
    assert figures["list", "recall", 3] == (pytest.approx(1 / 3), 3)
    ideal = 1 + 1 / math.log2(3)
    assert figures["list", "ndcg", 3][0] == pytest.approx((1 / math.log2(3) + 1 / 2) / ideal / 3)


def test_one_list_for_everyone_is_everyones_list(figures):
    assert figures["popularity", "hit_rate", 2] == (pytest.approx(2 / 3), 3)
    assert figures["popularity", "ndcg", 2][0] == pytest.approx((1 + 1 / math.log2(3)) / 3)


def test_coverage_is_of_all_lists_and_an_empty_recall_has_zeros(figures):
    assert figures["list", "coverage", 2] == (0.3, 10) and figures["list", "coverage", 3] == (0.4, 10)
    assert [figures["recall:empty", m, 2][0] for m in ("hit_rate", "recall", "ndcg", "coverage")] == [0.0] * 4


def test_a_day_without_positives_has_no_value(spark):
    positives = spark.createDataFrame([], "user_id string, item_id string")
    lists = spark.createDataFrame([("list", "u1", "a", 1)], LISTS)
    values = {(f.measure, f.k): (f.value, f.n) for f in list_figures(positives, lists, {"list": (1,)}, 4)}
    assert values["hit_rate", 1] == (None, 0) and values["coverage", 1] == (0.25, 4)


def test_popularity_counts_target_events_and_breaks_ties_by_item(spark):
    rows = [("20261101", "u1", "b", "click", 1, 0, 0), ("20261102", "u2", "a", "click", 1, 0, 0),
            ("20261102", "u2", "c", "click", 3, 0, 0), ("20261102", "u2", "d", "expr", 9, 0, 0)]  # fmt: skip
    popular = rows_of(popularity(spark.createDataFrame(rows, ACTIONS), "click", 2), "rank")
    assert [(r["item_id"], r["rank"]) for r in popular] == [("c", 1), ("a", 2)]


def test_the_interval_of_a_hit_rate_is_wilsons():
    # 1 of 10: Wilson (1927): (.1 + 1.92/10 ± 1.96 sqrt(.1 * .9 / 10 + 3.84/400)) / (1 + 3.84/10)
    low, high = _share_bounds(0.1, 10)
    assert (low, high) == (pytest.approx(0.0179, abs=1e-4), pytest.approx(0.4042, abs=1e-4))
    assert _share_bounds(0.0, 10)[0] == 0.0 and _share_bounds(math.nan, 0) == (None, None)


def test_the_table_gives_back_what_was_measured_slice_by_slice(spark, warehouse, monkeypatch):
    solution = demo_solution()
    rows = sample_table(solution, days=1)
    scores = rows.column("item__ctr_15d").to_numpy() / 2
    kept = drift.reference(rows, scores, {"item__ctr_15d": None})
    model = Model(b"", {"spans": {"train": {"base_rate": 0.25}}, "reference": kept})
    measured = ranking_figures(rows, scores, scores, model, solution)
    monkeypatch.setattr(evaluation, "model_judged", lambda ds, solution: measured)
    partitions.write_record(solution.table("rank_samples"), "20261101", {"rows": 400})
    evaluation.main(["20261101"], solution, Node("evaluation", "evaluation", "ranking", ("rank_samples",)))
    table = measures_of(solution, "20261101")
    assert table == {(f.subject, f.slice, f.measure, f.k): f[4:] for f in measured}
    assert table["drift", "item__ctr_15d", "psi", 0].value == pytest.approx(0, abs=1e-9)
    whole = history_of(solution, "20261102")["20261101"]
    assert whole["ranking", "", "auc", 0] == table["ranking", "", "auc", 0]
    assert {part for _, part, *_ in whole} == {""}
