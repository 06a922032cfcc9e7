"""What is said of a model's scores: subjects, slices and drift, on a small table of samples."""

from __future__ import annotations

import json
import logging
import math

import numpy as np
import pyarrow as pa
import pytest

from jobs.ranking import drift
from jobs.ranking.models import Model
from jobs.ranking.ranking_quality import compared, ranking_figures
from jobs.ranking.slices import slices
from tests.features.builders import demo_solution
from tests.ranking.builders import sample_table

SOLUTION = demo_solution()
RATE = f"item__ctr_{max(SOLUTION.features.windows)}d"
FEATURES = {RATE: None, "item__category": ["a", "b", "c"], "weekday": None}
SPANS = {"train": {"base_rate": 0.25}}


def replaced(rows: pa.Table, name: str, values) -> pa.Table:
    place = rows.schema.get_field_index(name)
    field = pa.array(values, rows.schema.field(name).type if place >= 0 else None)
    return rows.append_column(name, field) if place < 0 else rows.set_column(place, name, field)


def scores_of(rows: pa.Table) -> np.ndarray:
    return rows.column(RATE).to_numpy() * np.float32(0.5)


def found_of(rows: pa.Table, **metadata) -> dict:
    scores = scores_of(rows)
    figures = ranking_figures(rows, scores, scores, Model({}, {"spans": SPANS, **metadata}), SOLUTION)
    keys = [(f.subject, f.slice, f.measure, f.k) for f in figures]
    assert len(set(keys)) == len(keys)
    return {key: f for key, f in zip(keys, figures, strict=True)}


def test_the_model_stands_beside_item_ctr_and_popularity_on_the_same_rows():
    found = found_of(sample_table(SOLUTION))
    assert found["ranking", "", "auc", 0][4:] == found["ranking:item_ctr", "", "auc", 0][4:]  # scores of one order
    for subject in ("ranking", "ranking:item_ctr", "ranking:popularity"):
        assert found[subject, "", "auc", 0].n == 2000 and found[subject, "", "ndcg", 10].value is not None
    assert ("ranking:popularity", "", "log_loss", 0) not in found  # a count is no probability
    assert found["ranking", "", "gauc_users_skipped", 0][4:] == (0.0, None, None, 40)
    assert [found["ranking", "", "observed", k].n for k in range(1, 11)] == [200] * 10


def test_rows_in_any_order_give_the_same_bits():
    rows = sample_table(SOLUTION, days=2)
    kept = drift.reference(rows, scores_of(rows), FEATURES)
    assert found_of(rows, reference=kept) == found_of(
        rows.take(np.random.default_rng(2).permutation(800)), reference=kept
    )


def test_slices_by_hand():
    days = np.array([np.nan, np.nan, 0, 6, 7, -1], np.float32)
    rows = pa.table({
        "user__registered_days": days,
        "user__history_days": np.array([1, np.nan, np.nan, 1, np.nan, 1], np.float32),
        "scene": ["home", "home", None, "detail", "home", "home"],
        "item__category": [f"c{n}" for n in range(6)],
    })  # fmt: skip
    found = slices(rows, SOLUTION)
    assert found["user=new"].tolist() == [False, True, True, True, False, True]
    assert (found["user=old"] == ~found["user=new"]).all() and "item=new" not in found
    assert found["scene=home"].sum() == 4 and found["scene=unknown"].tolist() == [
        False,
        False,
        True,
        False,
        False,
        False,
    ]
    assert found["item_category=c3"].tolist() == [False, False, False, True, False, False]


def test_beyond_the_categories_with_most_rows_the_rest_is_other():
    values = [f"c{n:02}" for n in range(22) for _ in range(2 if n != 5 else 1)] + ["other"] * 3
    found = slices(pa.table({"item__category": values}), SOLUTION)
    assert len(found) == 20  # 19 of their own beside `other`, which is the most frequent one
    assert found["item_category=other"].sum() == 3 + 2 * 2 + 1
    assert "item_category=c05" not in found and sum(mask.sum() for mask in found.values()) == len(values)


def test_slices_are_judged_on_their_own_rows():
    found = found_of(sample_table(SOLUTION))
    parts = [
        f for (subject, name, measure, _), f in found.items() if name.startswith("item_category=") and measure == "auc"
    ]
    assert [f.slice for f in parts] == ["item_category=a", "item_category=b", "item_category=c"] or len(parts) == 3
    assert sum(f.n for f in parts) == 2000
    assert all(f.low < f.value < f.high for f in parts)
    rates = [found["ranking", f.slice, "base_rate", 0] for f in parts]
    assert sum(f.value * f.n for f in rates) == pytest.approx(2000 * found["ranking", "", "base_rate", 0].value)


def test_what_moved_since_training_stands_first_and_unmoved_rows_have_no_drift():
    rows = sample_table(SOLUTION)
    kept = json.loads(json.dumps(drift.reference(rows, scores_of(rows), FEATURES)))
    same = found_of(rows, reference=kept)
    assert same["ranking", "", "psi_score", 0].value == pytest.approx(0, abs=1e-12)
    assert same["drift", "item__category", "psi", 0].value == pytest.approx(0, abs=1e-12)
    assert ("drift", "weekday", "psi", 0) not in same
    lower = replaced(rows, RATE, rows.column(RATE).to_numpy() / 4)
    moved = found_of(lower, reference=kept)
    assert moved["drift", RATE, "psi", 0].value > 1 and moved["ranking", "", "psi_score", 0].value > 1


def test_psi_of_a_category_and_of_missing_values_by_hand():
    train = pa.table({"c": ["a"] * 6 + ["b"] * 2 + [None] * 2, "x": pa.array([None] * 5 + [1.0] * 5, pa.float32())})
    kept = drift.reference(train, np.zeros(10), {"c": ["a", "b"], "x": None})
    assert kept["features"]["c"] == {"values": ["a", "b"], "shares": [0.6, 0.2, 0.0, 0.2]}
    assert kept["features"]["x"] == {"edges": [1.0], "shares": [0.5, 0.0, 0.5]}
    nan = pa.array([math.nan] * 5 + [1.0] * 5, pa.float32())  # a NaN is missing, too
    day = pa.table({"c": ["a"] * 2 + ["b"] * 6 + ["new"] * 2, "x": nan})
    least = drift.LEAST_SHARE
    expected = -0.4 * math.log(1 / 3) + 0.4 * math.log(3) + (0.2 - least) * math.log(0.2 / least) * 2
    assert drift.feature_psi(kept, day) == [("c", pytest.approx(expected)), ("x", 0.0)]


def test_a_model_without_a_reference_is_said_to_have_none(caplog):
    with caplog.at_level(logging.INFO, "recflow"):
        found = found_of(sample_table(SOLUTION, days=1))
    assert not any(subject == "drift" for subject, *_ in found) and "keeps no reference" in caplog.text


def test_compare_says_what_the_table_says():
    rows = sample_table(SOLUTION)
    said, found = compared(rows, scores_of(rows), scores_of(rows), 0.25, SOLUTION), found_of(rows)
    for measure in ("auc", "gauc", "log_loss", "ne"):
        assert said["model"][measure] == found["ranking", "", measure, 0].value
        assert said["item_ctr"][measure] == found["ranking:item_ctr", "", measure, 0].value
    assert said["item_ctr"]["column"] == RATE and said["model"]["gauc_users"] == 40


def test_order_is_judged_by_the_scores_and_rates_by_the_chances():
    rows = sample_table(SOLUTION)
    chances, model = scores_of(rows), Model({}, {"spans": SPANS})
    turned = {f[:4]: f for f in ranking_figures(rows, -10 * chances, chances, model, SOLUTION)}
    found = found_of(rows)
    for measure in ("log_loss", "ne", "calibration"):
        assert turned["ranking", "", measure, 0] == found["ranking", "", measure, 0]
    assert turned["ranking", "", "auc", 0].value == pytest.approx(1 - found["ranking", "", "auc", 0].value)
    ordered = {f.measure for f in ranking_figures(rows, chances, None, model, SOLUTION) if f.subject == "ranking"}
    assert "auc" in ordered and not ordered & {"log_loss", "ne", "calibration", "predicted"}
