"""How long tables are kept, and what is refused on load."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from jobs.lib.retention import kept_days, needed_days
from tests.features.builders import demo_solution


def test_windowed_tables_need_training_and_the_longest_window_and_the_day_before():
    solution = demo_solution(ranking={"training_days": 40}, features={"windows": [3, 20]})
    for name in ("rank_samples", "item_features", "rec_sln_demo_behavior_table_v1", "rec_sln_demo_item_table_v1"):
        assert needed_days(solution, name) == 40 + 20 + 1
    assert needed_days(solution, "candidates") == 2


@pytest.mark.parametrize(
    "sections",
    [
        {"publish": {"active_days": 99}},
        {"publish": {"seen_days": 99}},
        {"recalls": [{"name": "hot", "job": "hot", "window_days": 99}]},
    ],
)
def test_windows_of_recalls_and_publish_count_too(sections):
    assert needed_days(demo_solution(**sections), "actions_daily") == 100


def test_a_table_has_its_own_days_or_the_usual_ones_and_a_once_snapshot_stays():
    asked = {"days": 60, "tables": {"candidates": 3}}
    kept = kept_days(demo_solution(retention=asked, tables={"item": {"snapshot": "once"}}))
    assert (kept["home_page_candidates"], kept["home_page_rank_samples"]) == (3, 60)
    assert kept["rec_sln_demo_item_table_v1"] is None and "home_page_publish" not in kept
    assert set(kept_days(demo_solution()).values()) == {180}
    assert kept_days(demo_solution(ranking={"training_days": 300}))["home_page_rank_samples"] == 316


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"days": 30}, "retention.days: 30 days are too few, the solution's windows need 31 days of rec_sln_demo_user"),
        (
            {"tables": {"rank_samples": 30}},
            "retention.tables.rank_samples: 30 days are too few, the solution's windows",
        ),
        ({"tables": {"candidates": 1}}, "need 2 days of candidates"),
        ({"tables": {"samples": 99}}, "retention.tables: 'samples' is not kept by days; allowed: rec_sln_demo_user"),
    ],
)
def test_less_than_the_windows_need_is_refused_and_the_minimum_named(asked, said):
    with pytest.raises(ValidationError) as caught:
        demo_solution(retention=asked)
    assert said in str(caught.value)
    demo_solution(retention={"days": 31})
