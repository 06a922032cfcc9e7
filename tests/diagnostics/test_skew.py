"""PSI by hand, and which rows and columns it is about."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from jobs.diagnostics.figure import Figures
from jobs.diagnostics.skew import binned, compared_columns, psi, skew_figures
from tests.features.builders import demo_solution
from tests.ranking.builders import sample_table


def test_psi_of_two_bins():
    assert psi(np.array([50, 50]), np.array([80, 20])) == pytest.approx(0.3 * math.log(1.6) - 0.3 * math.log(0.4))
    assert psi(np.array([5, 5]), np.array([500, 500])) == 0.0


def test_an_empty_bin_counts_as_the_least_share():
    assert psi(np.array([1, 0]), np.array([1, 1])) == pytest.approx(-0.5 * math.log(0.5) + 0.4999 * math.log(5000))


def test_values_on_an_edge_share_their_bin_and_missing_ones_have_their_own():
    training = pa.array([0.0] * 6 + [1.0] * 4 + [None] * 2, pa.float32())
    scoring = pa.array([0.0, 1.0, 2.0, -1.0, None], pa.float32())
    learned, scored = binned(training, scoring)
    assert learned[learned > 0].tolist() == [6, 4, 2]
    assert scored[-1] == 1 and scored.sum() == 5
    assert scored[0] == 2  # -1 and 0


def test_categories_beyond_the_frequent_ones_are_one_bin():
    training = pa.array(["a", "a", "b", None] + [f"c{i}" for i in range(30)])
    learned, scored = binned(training, pa.array(["b", "zz", "c29", None, None]))
    assert learned.tolist()[:2] == [2, 1] and learned.sum() == 34 and learned[-1] == 1
    assert scored.tolist()[1] == 1 and scored[-2] == 2 and scored[-1] == 2


def test_a_column_without_any_value_is_no_error():
    learned, scored = binned(pa.nulls(3, pa.float32()), pa.array([1.0], pa.float32()))
    assert (learned.tolist(), scored.tolist()) == ([0, 3], [1, 0])


def test_a_feature_that_moved_stands_out_and_context_is_left_out():
    solution = demo_solution()
    rows = sample_table(solution)
    place = rows.schema.get_field_index("user__click_cnt_7d")
    moved = pa.array(np.asarray(rows.column(place)) + 2)
    f = Figures(
        skew_figures(rows, rows.set_column(place, "user__click_cnt_7d", moved), rows, {"item__ctr_7d": 0.4}, solution)
    )
    first, second = f.of("skew", "psi")[:2]
    assert first.subject == "user__click_cnt_7d" and first.value > 1 and second.value == 0.0
    assert f.value("skew", "user__click_cnt_7d", "psi_shown") == 0.0
    assert f.value("skew", "item__ctr_7d", "gain") == 0.4
    assert not {"hour", "weekday", "scene", "net_type"} & set(compared_columns(solution))
    assert len(f.of("skew", "psi")) == len(compared_columns(solution))
