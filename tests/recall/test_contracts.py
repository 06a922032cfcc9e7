"""Every check of the recall and candidate contracts holds on good rows, and fails on the row that breaks it."""

from __future__ import annotations

import pytest

from jobs.lib.contracts import load_contract
from jobs.lib.quality import figures

NAN, INFINITE = float("nan"), float("inf")
SCHEMAS = {
    "recall_i2i": "trigger_item_id string, item_id string, score double, rank int",
    "recall_u2i": "user_id string, item_id string, score double, rank int",
    "recall_hot": "group_key string, item_id string, score double, rank int",
    "recall_fallback": "key string, item_ids string, count int",
    "candidates": "user_id string, item_id string, score double, rank int, "
    "sources array<struct<recall:string,score:double,rank:int>>",
}
SOURCES = [("hot", 1.0, 1)]
LISTED = [("a", "b", 2.0, 1), ("a", "c", 1.0, 2)]
BAD_LISTS = {
    "one_row_per_grain": [("a", "b", 2.0, 1), ("a", "b", 2.0, 2)],
    "one_item_per_rank": [("a", "b", 2.0, 1), ("a", "c", 2.0, 1)],
    "complete": [("a", "b", None, 1)],
    "score_is_finite": [("a", "b", INFINITE, 1), ("a", "c", NAN, 2)],
    "rank_from_one": [("a", "b", 2.0, 0)],
}
GOOD = {
    "recall_i2i": LISTED,
    "recall_u2i": LISTED,
    "recall_hot": LISTED,
    "recall_fallback": [("-1", "a:hot:2.0,b:hot:1e-05", 2)],
    "candidates": [("u", "a", 0.5, 1, SOURCES), ("u", "b", 0.4, 2, SOURCES)],
}
BAD = {
    "recall_i2i": BAD_LISTS | {"no_self_pairs": [("a", "a", 2.0, 1)], "something_is_similar": []},
    "recall_u2i": BAD_LISTS | {"somebody_is_served": []},
    "recall_hot": BAD_LISTS | {"something_is_hot": []},
    "recall_fallback": {
        "one_row": [],
        "complete": [("-1", None, 0)],
        "key_is_everyone": [("0", "a:hot:2.0", 1)],
        "every_token_has_three_parts": [("-1", "a:2.0", 1)],
        "something_to_fall_back_on": [("-1", "", 0)],
    },
    "candidates": {
        "one_row_per_grain": [("u", "a", 0.5, 1, SOURCES), ("u", "a", 0.5, 2, SOURCES)],
        "complete": [("u", None, 0.5, 1, SOURCES)],
        "score_is_positive_and_finite": [("u", "a", 0.0, 1, SOURCES), ("u", "b", NAN, 2, SOURCES)],
        "rank_from_one": [("u", "a", 0.5, 0, SOURCES)],
        "says_where_from": [("u", "a", 0.5, 1, [])],
        "somebody_has_candidates": [],
    },
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_check_fails_on_its_bad_row_and_on_no_good_one(spark, name):
    """Each case is a ds of its own, so that one measurement answers all of them."""
    contract = load_contract(name)
    assert set(BAD[name]) == {check.name for check in contract.checks}
    cases = {"good": GOOD[name], **BAD[name]}
    rows = [(*row, case) for case, case_rows in cases.items() for row in case_rows]
    measured = figures(spark.createDataFrame(rows, f"{SCHEMAS[name]}, ds string"), contract, list(cases))
    for check in contract.checks:
        if check.kind == "row_count":
            assert measured[check.name]["rows"] == 0 < check.min <= measured["good"]["rows"]
        else:
            assert measured[check.name][check.name] == len(BAD[name][check.name]) - (check.kind == "unique")
            assert measured["good"][check.name] == 0
