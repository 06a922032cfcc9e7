"""What a model learns: several labels fused by an expression, objectives, weights, constraints, search, calibration."""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import xgboost
from pydantic import ValidationError

from jobs.lib.booster_params import ALIASES, Known
from jobs.lib.errors import DataError
from jobs.lib.ranking_params import Ranking, Target
from jobs.ranking.boosting import constraints, row_weights
from jobs.ranking.calibration import calibrated, platt, unsampled
from jobs.ranking.feature_list import category_columns, number_columns
from jobs.ranking.learning import learned
from jobs.ranking.matrices import Part, part_of
from jobs.ranking.model_card import card
from jobs.ranking.models import Scorer
from jobs.ranking.rank_model import rank_model
from jobs.ranking.targets import fused, score_of, targets_of
from jobs.ranking.training_rows import IS_SAMPLED, Samples, in_memory
from jobs.recall.formula import evaluate
from tests.features.builders import demo_solution
from tests.ranking.builders import sample_table

SMALL = {"threads": 1, "rounds": 15, "early_stopping_rounds": 5, "params": {"learning_rate": 0.3, "max_depth": 3}}
SEVERAL = {
    "targets": [
        {"label": "is_click", "objective": "rank:ndcg"},
        {"label": "ln_playtime", "objective": "reg:squarederror"},
        {"label": "is_praise"},
    ],
    "score": "is_click * (1 + 0.1 * ln_playtime) + is_praise",
}


def several_labels(solution) -> pa.Table:
    samples = sample_table(solution)
    click, rng = samples.column("is_click").to_numpy(), np.random.default_rng(4)
    praise = (click * (rng.random(len(click)) < 0.5)).astype(np.int32)
    return samples.append_column("ln_playtime", pa.array(click * rng.random(len(click)) * 5)).append_column(
        "is_praise", pa.array(praise)
    )


@pytest.fixture(scope="module")
def several():
    solution = demo_solution(ranking=SMALL | SEVERAL)
    samples = several_labels(solution)
    return solution, samples, rank_model(samples, solution)


def test_each_label_has_its_booster_and_the_score_is_the_expression_of_their_predictions(several):
    _, samples, model = several
    assert list(model.boosters) == ["is_click", "ln_playtime", "is_praise"]
    score, of = Scorer(model).score(samples.slice(0, 100))
    assert (score == of["is_click"] * (1 + 0.1 * of["ln_playtime"]) + of["is_praise"]).all()
    assert score.dtype == np.float64 and all(
        of[label].min() > 0 and of[label].max() < 1 for label in ("is_click", "is_praise")
    )
    found = {t["label"]: t["metrics"] for t in model.metadata["targets"]}
    assert found["is_click"]["auc"] > 0.8 and found["ln_playtime"]["rmse"] < found["ln_playtime"]["rmse_of_mean"]


def test_the_trees_that_serve_have_learned_from_the_validation_days_too():
    samples = sample_table(demo_solution())
    label, is_validated = samples.column("is_click"), pc.equal(samples.column("ds"), "20261104")
    opposite = pc.if_else(is_validated, pc.subtract(1, label), label).cast(label.type)
    changed = samples.set_column(samples.column_names.index("is_click"), "is_click", opposite)
    found = {}
    for is_refitted in (True, False):
        solution = demo_solution(ranking=SMALL | {"refit": is_refitted, "rounds": 1})  # one tree, whatever validates it
        found[is_refitted] = [rank_model(rows, solution) for rows in (samples, changed)]
    assert found[True][0].boosters != found[True][1].boosters
    assert found[False][0].boosters == found[False][1].boosters
    assert [model.metadata["refit"] for model in (found[True][0], found[False][0])] == [True, False]
    assert "grown anew on training and validation days" in card("20261105", found[True][0].metadata)
    assert found[True][0].metadata["validation"] == found[False][0].metadata["validation"]


def test_a_ranking_objective_is_calibrated_on_the_validation_days(several):
    solution, samples, model = several
    assert [t.get("calibration", {}).get("kind") for t in model.metadata["targets"]] == ["platt", None, None]
    rows = in_memory(samples).of("20261105")
    predicted = Scorer(model).on_samples(rows)[1]["is_click"]
    assert predicted.mean() == pytest.approx(rows.column("is_click").to_numpy().mean(), abs=0.05)
    assert model.metadata["metrics"]["model"]["ne"] < 1


def test_the_same_samples_give_the_same_bytes_whatever_is_learned(several):
    solution, samples, model = several
    again = rank_model(samples.take(pa.array(np.random.default_rng(3).permutation(samples.num_rows))), solution)
    assert again.boosters == model.boosters and again.metadata == model.metadata
    assert card("20261105", again.metadata) == card("20261105", model.metadata)


def test_the_card_tells_what_the_metadata_does(several):
    _, _, model = several
    text = card("20261105", json.loads(json.dumps(model.metadata)))
    about = model.metadata
    for said in (
        "# Model of 20261105", "Orders lists by `is_click * (1 + 0.1 * ln_playtime) + is_praise`.",
        "`is_click` is `max(if(event = 'click', 1, 0))`.",
        "| train | 20261101 to 20261103 (3) | 1,200 |", f"version {about['features_version']}", about["gate"]["reason"],
        "| ln_playtime | reg:squarederror |", "| max_depth | 3 |", "| item__ctr_15d | number | - |", "| xgboost | 3.",
    ):  # fmt: skip
        assert said in text, said


def test_a_score_that_is_no_number_is_an_error_and_a_constant_is_one_for_every_row():
    values = {"is_click": np.array([0.5, 0.0])}
    assert fused("least(is_click, 0.2) * pow(2, 3) - -exp(0)", values).tolist() == [0.2 * 8 + 1, 1.0]
    assert evaluate("1 + 1", values).tolist() == [2.0, 2.0]
    with pytest.raises(DataError, match=r"ranking.score '1 / is_click' is not a finite number on 1 of 2 rows"):
        fused("1 / is_click", values)


@pytest.mark.parametrize(
    ("ranking", "said"),
    [
        ({"targets": [{"label": "is_bought"}]}, "ranking.targets: 'is_bought' is no label of the samples; there are:"),
        ({"targets": [{"label": "is_click"}, {"label": "is_click"}]}, "ranking.targets: 'is_click' is there twice"),
        ({"targets": [{"label": "ln_playtime"}]}, "ranking.targets: binary:logistic cannot learn ln_playtime, log1p"),
        ({"score": "is_click * is_praise"}, "ranking.score: unknown name 'is_praise' at column 12; allowed: is_click"),
        ({"score": "is_click *"}, "ranking.score: not an expression at column"),
        ({"score": "click_cnt"}, "ranking.score: unknown name 'click_cnt' at column 1; allowed: is_click"),
        ({"weights": {"praise": 3}}, "ranking.weights: 'praise' is no label"),
        ({"weights": {"is_praise": 0}}, "greater than 0"),
        ({"params": {"objective": "reg:linear"}}, "objective does not belong here, it is ranking.targets"),
        ({"params": {"max_dept": 3}}, "unknown parameter 'max_dept'; allowed: learning_rate, max_depth, "),
        ({"params": {"eta": 0.1}}, "eta is called learning_rate here"),
        ({"params": {"max_depth": 3.5}}, "ranking.params.max_depth\n  Input should be a valid integer"),
        ({"params": {"learning_rate": "0.1"}}, "ranking.params.learning_rate\n  Input should be a valid number"),
        ({"params": {"subsample": 0}}, "ranking.params.subsample\n  Input should be greater than 0"),
        ({"params": {"gamma": -1}}, "ranking.params.gamma\n  Input should be greater than or equal to 0"),
        ({"params": {"max_bin": 1}}, "ranking.params.max_bin\n  Input should be greater than or equal to 2"),
        ({"params": {"reg_lambda": float("nan")}}, "ranking.params.reg_lambda\n  Input should be a finite number"),
        ({"params": {"grow_policy": "leaf"}}, "ranking.params.grow_policy\n  Input should be 'depthwise' or 'lossg"),
        ({"monotone": {"user__x": 1}}, "ranking.monotone: 'user__x' matches no model column; there are: hour, "),
        ({"monotone": {"sc*": 1}}, "ranking.monotone: 'sc*' matches scene, a category"),
        ({"monotone": {"hour": 1, "ho*": -1}}, "ranking.monotone: hour is given 1 and, by 'ho*', -1"),
        ({"gate": {"measure": "log_loss"}, "targets": [{"label": "ln_playtime", "objective": "reg:squarederror"}]},
         "gate.measure: log_loss needs impressions among features.events, and as the first target a probability"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_at_load_by_name_and_position(ranking, said):
    with pytest.raises(ValidationError) as refused:
        demo_solution(ranking=ranking)
    assert said in str(refused.value)


def test_the_default_is_the_target_by_logistic_regression():
    solution = demo_solution(target="praise")
    assert targets_of(solution) == [Target(label="is_praise")] and score_of(solution) == "is_praise"


def test_the_parameters_that_may_be_given_are_xgboosts_own():
    """It keeps every one under its name, and refuses what is outside of its range."""
    given = {
        "learning_rate": 0.2, "max_depth": 3, "max_leaves": 4, "grow_policy": "lossguide", "min_child_weight": 2.0,
        "gamma": 0.1, "max_delta_step": 1.0, "subsample": 0.5, "colsample_bytree": 0.75, "colsample_bylevel": 0.75,
        "colsample_bynode": 0.75, "reg_lambda": 2.0, "reg_alpha": 0.5, "max_bin": 64, "num_parallel_tree": 2,
        "max_cat_to_onehot": 2, "max_cat_threshold": 8, "lambdarank_pair_method": "mean",
        "lambdarank_num_pair_per_sample": 2, "lambdarank_normalization": False, "lambdarank_score_normalization": False,
        "ndcg_exp_gain": False,
    }  # fmt: skip
    assert set(given) == set(Known.__annotations__)
    params = demo_solution(ranking={"params": given}).ranking.params
    rng = np.random.default_rng(1)
    rows = xgboost.DMatrix(rng.random((40, 3)), label=rng.integers(0, 2, 40))
    rows.set_group([20, 20])
    kept = xgboost.train(
        {"objective": "rank:ndcg", "tree_method": "hist", "nthread": 1} | params, rows, 1
    ).save_config()
    for name, value in given.items():
        [written] = set(re.findall(f'"{name}":"([^"]*)"', kept))
        assert written == value or float(written) == pytest.approx(float(value)), name
    assert set(ALIASES.values()) < set(given) and all(f'"{name}":' in kept for name in ALIASES)


def test_a_row_weighs_by_its_labels_and_its_age():
    part = Part(
        ["20261101", "20261103"],
        {"is_praise": np.array([1, 0, 1]), "is_click": np.array([1, 1, 0])},
        [2, 1],
        np.array([3]),
    )
    ranking = Ranking(weights={"is_praise": 3.0, "is_click": 2.0}, half_life_days=2)
    assert row_weights(part, ranking).tolist() == [3.0, 1.0, 3.0]
    assert row_weights(part, Ranking()).tolist() == [1.0, 1.0, 1.0]


def test_weights_shift_no_published_probability():
    """Clicks count twenty times, and yet what is predicted of the test day is how often it happened there."""
    ranking = SMALL | {"targets": [{"label": "is_click"}, {"label": "is_praise"}], "rounds": 40}
    samples = several_labels(demo_solution())
    rows = in_memory(samples).of("20261105")
    plain, weighted = (
        rank_model(samples, demo_solution(ranking=ranking | {"weights": weights})) for weights in ({}, {"is_click": 20})
    )
    for model in (plain, weighted):
        predicted = Scorer(model).on_samples(rows)[1]
        for label in ("is_click", "is_praise"):
            assert predicted[label].mean() == pytest.approx(rows.column(label).to_numpy().mean(), abs=0.05)
    figures = [model.metadata["metrics"]["model"] for model in (plain, weighted)]
    assert figures[1]["ne"] < 1.05 * figures[0]["ne"] and figures[1]["auc"] > figures[0]["auc"] - 0.02
    assert [["calibration" in t for t in model.targets] for model in (plain, weighted)] == [[False] * 2, [True] * 2]


def test_requests_of_two_users_with_one_number_stay_apart():
    rows = [("20261101", "1", user, item, item == "a", False) for user in ("u", "v") for item in "ab"]
    columns = list(zip(*rows, strict=True))
    names = ("ds", "request_id", "user_id", "item_id", "is_click", IS_SAMPLED)
    samples = in_memory(pa.table(dict(zip(names, columns, strict=True))))
    assert part_of(samples, samples.days, ["is_click"]).requests.tolist() == [2, 2]


def test_samples_from_before_a_label_are_named():
    rows = {"ds": ["20261101"], "request_id": ["1"], "user_id": ["u"], "item_id": ["a"]}
    samples = in_memory(pa.table(rows | {"is_long": pa.array([None], pa.int32())}))
    with pytest.raises(DataError, match="samples of ds=20261101 were made before there was a label is_long"):
        part_of(samples, samples.days, ["is_long"])


def test_what_is_left_out_is_not_learned_from():
    solution = demo_solution(ranking=SMALL | {"leave_out": ["user__*", "hour", "item__category"]})
    model = rank_model(sample_table(solution), solution)
    names = {feature["name"] for feature in model.metadata["features"]}
    every = {*number_columns(solution), *category_columns(solution)}
    assert names == {name for name in every if not name.startswith("user__")} - {"hour", "item__category"}
    assert model.metadata["metrics"]["model"]["auc"] > 0.7
    for patterns, said in (
        (["item__nope*"], "'item__nope\\*' matches no model column"),
        (["*"], "no model column is left"),
    ):
        with pytest.raises(ValidationError, match=f"ranking.leave_out: {said}"):
            demo_solution(ranking={"leave_out": patterns})


def test_constraints_follow_patterns():
    features = {"hour": None, "item__ctr_3d": None, "item__ctr_7d": None, "scene": ["a"]}
    assert constraints({"item__ctr_*": 1, "hour": -1}, features) == {"monotone_constraints": "(-1,1,1,0)"}
    assert constraints({"item__ctr_15d": 1}, features) == {}
    assert constraints({}, features) == {}


def test_a_constrained_model_never_falls_as_the_feature_rises():
    solution = demo_solution(ranking=SMALL | {"monotone": {"item__ctr_15d": -1}})
    samples = sample_table(solution)  # where the label rises with it
    model = rank_model(samples, solution)
    row = samples.slice(0, 1).take(pa.array([0] * 50))
    place = row.schema.get_field_index("item__ctr_15d")
    rising = row.set_column(place, "item__ctr_15d", pa.array(np.linspace(0, 1, 50, dtype=np.float32)))
    assert (np.diff(Scorer(model).score(rising)[0]) <= 0).all()


def test_a_search_records_its_trials_and_takes_the_best_on_validation():
    ranking = SMALL | {"rounds": 5, "search": {"trials": 3}}
    samples = sample_table(demo_solution(), rows_a_day=200)
    first, again = (rank_model(samples, demo_solution(ranking=ranking)) for _ in range(2))
    search = first.metadata["search"]
    assert len(search["trials"]) == 3 and not search["cut_by_time"] and search["metric"] == "logloss"
    assert search["trials"][0]["params"] == demo_solution(ranking=ranking).ranking.params
    best = min(search["trials"], key=lambda trial: trial["value"])
    assert {k: first.metadata["params"][k] for k in best["params"]} == best["params"]
    assert again.boosters == first.boosters and again.metadata == first.metadata


def test_a_search_for_what_is_ranked_leaves_the_other_labels_be(several):
    _, samples, _ = several
    fewer = SMALL | SEVERAL | {"rounds": 2}
    searched, plain = (
        rank_model(samples, demo_solution(ranking=fewer | {"search": {"trials": trials}})) for trials in (1, 0)
    )
    assert searched.boosters == plain.boosters and searched.metadata["search"]["metric"] == "ndcg"


def test_platts_fit_and_the_chance_among_all_items_on_offer():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=20_000)
    labels = rng.random(20_000) < 1 / (1 + np.exp(-(1.5 * scores - 2)))
    fit = platt(scores, labels)
    assert (fit["slope"], fit["intercept"]) == (pytest.approx(1.5, abs=0.1), pytest.approx(-2, abs=0.1))
    assert calibrated(scores, fit).mean() == pytest.approx(labels.mean(), abs=1e-3)
    assert unsampled(np.array([0.5, 0.0, 1.0]), 0.25).tolist() == [
        0.2,
        0.0,
        1.0,
    ]  # one in five: four negatives for each
    assert 0 < platt(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0, 1, 0, 1]))["slope"] < 100  # apart, and still finite


@pytest.mark.parametrize("seed", range(20))
def test_platts_fit_stands_few_positives_with_far_scores(seed):
    rng = np.random.default_rng(seed)
    labels = np.arange(2_000) < 40
    scores = np.where(labels, rng.exponential(2, 2_000), rng.exponential(0.5, 2_000))
    fit = platt(scores, labels)
    smoothed = np.where(labels, 41 / 42, 1 / 1_962)
    assert calibrated(scores, fit).mean() == pytest.approx(smoothed.mean(), abs=1e-6) and 0 < fit["slope"] < 10


def test_platts_fit_never_turns_an_order_round(caplog):
    labels = np.arange(200) < 20
    fit = platt(np.where(labels, 0.0, 1.0) + np.arange(200) % 7, labels)
    assert fit["slope"] == 0 and calibrated(np.array([5.0]), fit) == pytest.approx([0.1], abs=0.01)
    assert "the wrong way round" in caplog.text


def test_the_rate_of_negatives_is_what_was_drawn_of_what_was_on_offer():
    """Two requests of a day with 10 items on offer: 1 row of its own and 2 drawn, 2 of its own and 3 drawn."""
    rows = [("20261101", "r1", "u", i, i == "a", i != "a") for i in "abc"]
    rows += [("20261101", "r2", "u", i, i in "ab", i not in "ab") for i in "abcde"]
    names = ("ds", "request_id", "user_id", "item_id", "is_click", IS_SAMPLED)
    table = pa.table({name: [row[n] for row in rows] for n, name in enumerate(names)})
    samples = Samples(
        {"20261101": 8}, lambda _: table.set_column(4, "is_click", table["is_click"].cast(pa.int32())), {"20261101": 10}
    )
    part = part_of(samples, ["20261101"], ["is_click"])
    assert (part.sampled, part.offered, part.requests.tolist()) == (5, 9 + 8, [3, 5])


def test_samples_are_judged_as_if_every_item_stood_first():
    solution = demo_solution(ranking=SMALL, tables={"behavior": {"roles": {"position": "place"}}})
    table = sample_table(solution)
    place = table.column_names.index("position")
    clicked = table.column("is_click").to_numpy()
    position = pa.array(np.where(clicked > 0, 1, 5).astype(np.float32))  # it gives the label away
    table = table.set_column(place, "position", position)
    model = learned(in_memory(table), solution)
    scorer, first = Scorer(model), table.set_column(place, "position", pa.array(np.ones(len(clicked), np.float32)))
    assert "position" in {f["name"] for f in model.metadata["features"]}
    assert scorer.on_samples(table)[0].tolist() == scorer.score(first)[0].tolist() != scorer.score(table)[0].tolist()


def test_served_chances_are_among_all_on_offer_and_judged_ones_among_the_sampled_rows():
    solution = demo_solution(ranking=SMALL)
    table = sample_table(solution)
    drawn = pa.array(table.column("is_click").to_numpy() == 0)
    in_parts = in_memory(table.append_column(IS_SAMPLED, drawn))
    model = learned(Samples(in_parts.rows, in_parts.of, dict.fromkeys(in_parts.days, 1_000)), solution)
    rate = model.metadata["negative_sampling"]["rate"]
    assert 0.003 < rate < 0.01  # some six of a thousand in every request
    (served, _), (order, chances) = Scorer(model).score(table), Scorer(model).on_samples(table)
    judged = chances["is_click"]
    assert served == pytest.approx(judged / (judged + (1 - judged) / rate)) and order.tolist() == served.tolist()
    assert model.metadata["metrics"]["model"]["ne"] < 1
