"""Training: the split by days, too little data, the same bytes, the cut, and no skill where there is nothing."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import xgboost

from jobs.ranking.feature_list import category_columns
from jobs.ranking.measures import null_auc_se
from jobs.ranking.model_input import model_frame
from jobs.ranking.models import Scorer, model_features
from jobs.ranking.rank_model import rank_model
from jobs.ranking.training_rows import split_days
from tests.features.builders import demo_solution
from tests.ranking.builders import sample_table

SMALL = {"threads": 1, "rounds": 60, "early_stopping_rounds": 5, "params": {"learning_rate": 0.3, "max_depth": 3}}


@pytest.fixture(scope="module")
def solution():
    return demo_solution(ranking=SMALL)


@pytest.fixture(scope="module")
def trained(solution):
    return rank_model(sample_table(solution), solution)


def test_train_lies_before_validation_before_test():
    solution = demo_solution(ranking={"validation_days": 2, "test_days": 1})
    split = split_days(["20261101", "20261103", "20261104", "20261107", "20261108"], solution)
    assert (split.train, split.validation, split.test) == (
        ["20261101", "20261103"], ["20261104", "20261107"], ["20261108"],
    )  # fmt: skip
    assert split_days(["20261101", "20261103", "20261104"], solution) is None


def test_it_learns_and_says_from_what(trained):
    told = trained.metadata
    assert told["status"] == "trained"
    assert [told["spans"][part]["days"] for part in ("train", "validation", "test")] == [
        ["20261101", "20261102", "20261103"], ["20261104"], ["20261105"],
    ]  # fmt: skip
    assert told["spans"]["train"]["rows"] == 1200
    assert told["metrics"]["model"]["auc"] > told["metrics"]["item_ctr"]["auc"] > 0.7
    assert told["metrics"]["model"]["ne"] < 1
    assert list(told["importance"])[:2] == ["item__ctr_15d", "item__category"]
    assert told["serving_context"]["hour"] == 9
    json.dumps(told, allow_nan=False)


def test_the_same_samples_in_any_order_give_the_same_bytes(solution, trained):
    samples = sample_table(solution)
    shuffled = samples.take(pa.array(np.random.default_rng(3).permutation(samples.num_rows)))
    again = rank_model(shuffled, solution)
    assert again.boosters == trained.boosters
    assert json.dumps(again.metadata, sort_keys=True) == json.dumps(trained.metadata, sort_keys=True)


def test_the_booster_is_cut_to_its_best_iteration_and_opens_with_xgboost_alone(trained):
    booster = xgboost.Booster()
    booster.load_model(bytearray(trained.boosters["is_click"]))
    assert booster.num_boosted_rounds() == trained.metadata["rounds"]["best"] < 60
    assert booster.feature_names == [feature["name"] for feature in trained.metadata["features"]]


def test_unseen_categories_are_missing_values(solution, trained):
    samples = sample_table(solution).slice(0, 50)
    unseen = missing = samples
    for name in category_columns(solution):
        place = samples.schema.get_field_index(name)
        unseen = unseen.set_column(place, name, pa.array(["Atlantis"] * 50))
        missing = missing.set_column(place, name, pa.nulls(50, pa.string()))
    scorer = Scorer(trained)
    assert (scorer.score(unseen)[0] == scorer.score(missing)[0]).all()
    assert model_frame(unseen, model_features(trained))["item__category"].isna().all()


def test_labels_without_signal_give_no_skill():
    solution = demo_solution(ranking=SMALL)
    samples = sample_table(solution, rows_a_day=1500)
    rng = np.random.default_rng(5)
    labels = pa.array(rng.permutation(samples.column("is_click").to_numpy()))
    shuffled = samples.set_column(samples.schema.get_field_index("is_click"), "is_click", labels)
    figures = rank_model(shuffled, solution).metadata["metrics"]["model"]
    se = null_auc_se(figures["positives"], figures["rows"] - figures["positives"])
    assert abs(figures["auc"] - 0.5) <= 3 * se and figures["null_auc_se"] == se


def test_too_little_data_is_a_result_with_a_reason(solution):
    samples = sample_table(solution)
    two_days = samples.filter(pc.is_in(samples["ds"], pa.array(["20261101", "20261102"])))
    never = samples.set_column(samples.schema.get_field_index("is_click"), "is_click", pa.array([0] * samples.num_rows))
    reasons = {
        "samples on 0 days, at least 3 are needed": samples.slice(0, 0),
        "samples on 2 days, at least 3 are needed": two_days,
        "0 positives of is_click in the training days, 100 are needed": never,
    }
    for reason, given in reasons.items():
        model = rank_model(given, solution)
        assert (model.boosters, model.metadata["status"], model.metadata["reason"]) == ({}, "too_little_data", reason)


def test_columns_that_are_empty_in_training_are_no_features(solution):
    samples = sample_table(solution)
    empty = pa.nulls(samples.num_rows, pa.string())
    samples = samples.set_column(samples.schema.get_field_index("user__city"), "user__city", empty)
    model = rank_model(samples, solution)
    assert "user__city" not in model_features(model) and "user__gender" in model_features(model)


def test_z_scores_and_ids_are_those_of_the_training_rows():
    lines = [{"op": "raw", "of": "item__duration", "transform": "z_score"},
             {"op": "id", "of": "item_id", "min_count": 121}]  # fmt: skip
    solution = demo_solution(ranking={"features": lines, "rounds": 5})
    samples = sample_table(solution)
    ids = [f"i{0 if n % 11 == 0 else n % 10}" for n in range(samples.num_rows)]
    samples = samples.set_column(samples.column_names.index("id__item_id"), "id__item_id", [ids])
    told = {f["name"]: f for f in rank_model(samples, solution).metadata["features"]}
    train = samples.filter(pc.less(samples.column("ds"), "20261104"))
    name = "raw__item__duration_z_score"
    values = train.column(name).to_numpy().astype(np.float64)
    assert told[name]["scale"] == pytest.approx([values.mean(), values.std()])
    frame = model_frame(train, {name: tuple(told[name]["scale"])})
    assert (float(frame[name].mean()), float(frame[name].std(ddof=0))) == pytest.approx((0, 1), abs=1e-4)
    assert told["id__item_id"]["categories"] == ["i0"]  # the others have 120 rows or fewer
