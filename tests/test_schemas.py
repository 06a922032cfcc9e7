"""Every check of every contract holds on a good row, and turns orange or red by the rows that break it."""

from __future__ import annotations

import pytest

from jobs.lib import quality
from jobs.lib.checks import CHANGES
from jobs.lib.contracts import load_contract
from jobs.lib.days import add_days, day_number, window
from jobs.lib.figures import Figures, figures
from jobs.lib.settings import SCHEMAS

NAN, INFINITE = float("nan"), float("inf")
FIRST, APART = "20240101", 40  # each case is a day of its own, too far from the others to be compared with them


def ago(hours):
    """So many hours before the end of the case's day, UTC."""
    return lambda ds: int((day_number(ds) + 1) * 86_400 - 3600 * hours)


SOURCES = [("hot", 1.0, 1)]
LISTED = {"item_id": "b", "score": 2.0, "rank": 1}
EVENT = {"request_id": "r", "user_id": "1", "item_id": "1", "event": "click", "event_time": ago(1)}
GOOD = {
    "actions_daily": {"user_id": "1", "item_id": "1", "event": "click", "cnt": 1, "value_micros": 0, "last_time": 1},
    "candidates": LISTED | {"user_id": "a", "sources": SOURCES},
    "diagnostics": {"area": "head", "subject": "user", "measure": "missing_share", "value": 0.5, "n": 1},
    "evaluation": {
        "subject": "ranking", "slice": "", "measure": "auc", "k": 0, "value": 0.5, "low": 0.25, "high": 0.5, "n": 9
    },
    "filtered": {"user_id": "a", "item_id": "b", "filter": "banned"},
    "fusion_weights": {"recall": "hot", "weight": 0.5, "origin": "learned", "users": 100},
    "imported_behavior": EVENT,
    "imported_item": {"item_id": "1"},
    "imported_user": {"user_id": "1"},
    "input_behavior": EVENT | {"scene": "home", "is_of_the_day": True},
    "input_item": {"item_id": "1", "listing_time": ago(1)},
    "biases": {"side": "user", "id": "1", "shown": 1.0, "bias": -0.25},
    "input_user": {"user_id": "1", "registration_time": ago(1)},
    "item_features": {"item_id": "1", "item__history_days": 1.0},
    "quality_result": {
        "table_name": "t", "contract": "c", "contract_id": "i", "check_name": "n", "kind": "unique", "severity": "fail",
        "level": "green", "is_blocking": False, "shown": "",
    },
    "quarantine": {"source": "item", "file": "f", "line": 1, "column": "c", "reason": "r", "value": "v"},
    "rank_model": {"status": "trained", "boosters": [("is_click", b"b")], "metadata": "{}"},
    "rank_samples": {
        "request_id": "r", "user_id": "1", "item_id": "1", "is_sampled_negative": False, "hour": 0, "weekday": 0
    },
    "rec_sln_demo_behavior_table_v1": EVENT | {"page": "home", "playtime": 0.0},
    "rec_sln_demo_item_table_v1": {
        "item_id": 1, "duration": 1.0, "click_count": 1, "praise_count": 1, "pub_time": 1
    },
    "rec_sln_demo_user_table_v1": {
        "user_id": 1, "age": 30, "item_cnt": 0, "follow_cnt": 0, "follower_cnt": 0, "register_time": 1
    },
    "recall_fallback": {"key": "-1", "item_ids": "a:hot:2.0,b:hot:1e-05", "count": 2},
    "recall_hot": LISTED | {"group_key": "-1"},
    "recall_i2i": LISTED | {"trigger_item_id": "a"},
    "recall_u2i": LISTED | {"user_id": "a"},
    "recall_vectors": {"side": "user", "id": "1", "vector": [0.5, -1.0]},
    "recommendations": LISTED
    | {"user_id": "a", "sources": SOURCES, "scored_by": "recall", "model_rank": 1, "moves": ["pinned"]},
    "suspicious_users": {"user_id": "1", "reason": "burst", "figure": 12.0},
    "user_features": {"user_id": "1", "user__history_days": 1.0},
}  # fmt: skip

# What the good row is changed to, for the checks whose kind does not say it already.
RANKS = {"rank_from_one": [{"rank": 0}]}
SCORES = RANKS | {"score_is_finite": [{"score": INFINITE}, {"score": NAN}]}
BAD = {
    "actions_daily": {"counts_are_positive": [{"cnt": 0}]},
    "biases": {"known_side": [{"side": "query"}], "was_shown": [{"shown": 0.0}]},
    "candidates": RANKS
    | {"score_is_positive_and_finite": [{"score": 0.0}, {"score": NAN}], "says_where_from": [{"sources": []}]},
    "diagnostics": {"known_area": [{"area": "tail"}], "shares_are_shares": [{"value": 1.5}]},
    "evaluation": {"interval_holds_the_value": [{"low": 0.75}, {"high": 0.25}]},
    "fusion_weights": {"weight_is_a_share": [{"weight": -0.5}], "origin_is_known": [{"origin": "guessed"}]},
    "input_behavior": {
        "events_are_of_the_day": [{"is_of_the_day": False}],
        "events_are_declared": [{"event": "share"}],
        "day_is_complete": [{"event_time": ago(13)}],
        "items_are_listed": [{"item_id": "9"}],
        "users_are_listed": [{"user_id": "9"}],
    },
    "input_item": {"items_are_being_listed": [{"listing_time": ago(24 * 31)}], "snapshot_is_recent": [{}]},
    "input_user": {"users_are_registering": [{"registration_time": ago(24 * 31)}], "snapshot_is_recent": [{}]},
    "item_features": {"history_is_counted": [{"item__history_days": 0.0}]},
    "quality_result": {"known_levels": [{"level": "blue"}]},
    "rank_model": {"known_status": [{"status": "done"}], "trained_has_boosters": [{"boosters": None}]},
    "rank_samples": {"hour_of_a_day": [{"hour": 24}]},
    "rec_sln_demo_behavior_table_v1": {
        "known_events": [{"event": "share"}],
        "known_pages": [{"page": "search"}],
        "playtime_is_not_negative": [{"playtime": -1.0}],
    },
    "rec_sln_demo_item_table_v1": {"counts_fit": [{"click_count": 0}], "has_a_length": [{"duration": -1.0}]},
    "rec_sln_demo_user_table_v1": {
        "counts_are_not_negative": [{"follow_cnt": -1}],
        "age_is_plausible": [{"age": 121}],
    },
    "recall_fallback": {
        "key_is_everyone": [{"key": "0"}],
        "every_token_has_three_parts": [{"item_ids": "a:2.0"}],
        "something_to_fall_back_on": [{"count": 0}],
    },
    "recall_hot": SCORES,
    "recall_i2i": SCORES | {"no_self_pairs": [{"item_id": "a"}]},
    "recall_u2i": SCORES,
    "recall_vectors": {
        "known_side": [{"side": "query"}],
        "has_dimensions": [{"vector": []}],
        "numbers_are_finite": [{"vector": [0.5, INFINITE]}, {"vector": [NAN, 0.5]}, {"vector": [None]}],
    },
    "recommendations": RANKS | {"says_where_from": [{"sources": []}]},
    "suspicious_users": {"known_reason": [{"reason": "odd"}], "figure_is_positive": [{"figure": -1.0}]},
    "user_features": {"history_is_counted": [{"user__history_days": 0.0}]},
}


def cases_of(contract):
    """(check, rows): several cases for a check that names several columns."""
    row, cases = GOOD[contract.table], [(None, [GOOD[contract.table]])]
    for check in contract.checks:
        if check.name in BAD.get(contract.table, {}):
            cases += [(check.name, [row | change]) for change in BAD[contract.table][check.name]]
        elif check.kind == "not_null":
            cases += [(check.name, [row | {column: None}]) for column in check.columns]
        elif check.kind == "unique":
            cases.append((check.name, [row, row]))
        elif check.kind == "event_order":
            cases.append((check.name, [row, row | {"event": check.first, "event_time": ago(0.5)}]))
        else:
            cases.append((check.name, [] if check.kind == "row_count" else [row]))
    return [(name, rows, add_days(FIRST, APART * number)) for number, (name, rows) in enumerate(cases)]


def exposed(table, rows):
    """An act follows an exposure, unless it is the case that it does not."""
    first = [rows[0] | {"event": "expr", "event_time": ago(20)}] if table == "input_behavior" and len(rows) == 1 else []
    return first + rows


def past_of(contract, name, ds):
    """For a check of change: days before that were quite different."""
    (check,) = [check for check in contract.checks if check.name == name]
    if check.kind not in CHANGES:
        return {}
    buckets = len(check.values) + 2 if check.values else 17
    before = Figures(1000, histograms={check.histogram_id: [100] + [0] * (buckets - 1)})
    return dict.fromkeys(window(add_days(ds, -1), check.days), before)


@pytest.mark.parametrize("name", sorted(file.stem for file in SCHEMAS.glob("*.yaml")))
def test_each_check_is_broken_by_its_bad_rows_and_by_no_good_one(spark, warehouse, name):
    contract = load_contract(name)
    cases = cases_of(contract)
    columns = [(c.name, c.type) for c in contract.columns if c.name and c.name != "ds"]
    rows = [
        (*[value(ds) if callable(value := row.get(column)) else value for column, _ in columns], ds)
        for _, case_rows, ds in cases
        for row in (exposed(name, case_rows) if case_rows else [])
    ]
    schema = ", ".join(f"`{column}` {kind}" for column, kind in [*columns, ("ds", "string")])
    known = spark.createDataFrame([("1", "1")], "item_id string, user_id string")
    days = [ds for _, _, ds in cases]
    measured = figures(spark.createDataFrame(rows, schema), contract, days, related=lambda kind: known)
    past = {}
    for check, _, ds in cases:
        past |= past_of(contract, check, ds) if check else {}
        if check == "snapshot_is_recent":
            measured[ds] = Figures(**{**vars(measured[ds]), "age_days": 91})
    broken = {(r.ds, r.name) for r in quality.judge(name, contract, measured, past) if not r.passed}
    assert not {check for ds, check in broken if ds == days[0]}
    assert {(ds, check) for check, _, ds in cases if check} <= broken
    assert {check for check, _, _ in cases if check} == {check.name for check in contract.checks}
