"""etrec: golden values, a slow reference, and what may not change a result."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.lib.errors import RecflowError
from jobs.lib.tables import write_days
from jobs.recall import etrec_i2i as job
from jobs.recall import histories, inputs, packed_acts
from jobs.recall.acts import acts_of, acts_of_day
from jobs.recall.etrec_i2i import Params, etrec_i2i
from jobs.recall.packed_acts import unpacked
from tests.features.builders import ACTIONS, demo_solution
from tests.recall.builders import GOLDEN, PAIRS, layouts, sample_hash, table

COLUMNS = ("trigger_item_id", "rank", "item_id", "score")


def params(**more):
    return Params(name="etrec_i2i", job="etrec_i2i", **more)


def reference(pairs, p: Params) -> list[tuple]:
    """The definitions, one pair of items at a time."""
    items_of = defaultdict(set)
    for user, item in pairs:
        items_of[user].add(item)
    kept = {u: items for u, items in items_of.items() if p.min_user_behavior <= len(items) <= p.max_user_behavior}
    users_of = defaultdict(set)
    for user, items in kept.items():
        for item in items:
            users_of[item].add(user)
    rows = []
    for i in users_of:
        scored = []
        for j in users_of:
            both, ni, nj = users_of[i] & users_of[j], len(users_of[i]), len(users_of[j])
            if i == j or not both:
                continue
            scored.append(
                {
                    "wbcosine": sum(round(1e9 / math.log1p(len(kept[u]))) for u in both) / math.sqrt(ni * nj) / 1e9,
                    "cosine": len(both) / math.sqrt(ni * nj),
                    "jaccard": len(both) / len(users_of[i] | users_of[j]),
                    "asymcosine": (len(both) / (ni**p.alpha * nj ** (1 - p.alpha))) ** p.weight,
                }[p.similarity]
            )
            scored[-1] = (-scored[-1], j)
        for rank, (score, j) in enumerate(sorted(scored)[: p.top_n], 1):
            rows.append((i, rank, j, -score))
    return sorted(rows)


def scores(frame) -> dict:
    return {(row["trigger_item_id"], row["item_id"]): row["score"] for row in frame.collect()}


@pytest.fixture(scope="module")
def golden(spark):
    return spark.createDataFrame(GOLDEN, PAIRS).persist()


@pytest.mark.parametrize(
    ("more", "ten_twelve", "twelve_thirteen", "thirteen_twelve"),
    [
        ({"similarity": "jaccard"}, 0.6, 0.6, 0.6),
        ({"similarity": "cosine"}, 0.7746, 0.7746, 0.7746),
        ({}, 0.5329, 0.6305, 0.6305),
        ({"damping": 1.0}, 0.2367, 0.3227, 0.3227),
        ({"similarity": "asymcosine", "alpha": 0.3}, 0.6994, 0.8579, 0.6994),
        ({"similarity": "asymcosine"}, 0.7746, 0.7746, 0.7746),
        ({"similarity": "asymcosine", "weight": 2}, 0.6, 0.6, 0.6),
    ],
)
def test_golden_values(golden, more, ten_twelve, twelve_thirteen, thirteen_twelve):
    found = scores(etrec_i2i(golden, params(**more)))
    assert round(found["10", "12"], 4) == ten_twelve
    assert round(found["12", "13"], 4) == twelve_thirteen
    assert round(found["13", "12"], 4) == thirteen_twelve


def test_the_whole_table_of_the_worked_example(golden):
    assert table(etrec_i2i(golden, params(similarity="jaccard")), *COLUMNS) == [
        ("10", 1, "11", 1.0), ("10", 2, "12", 0.6), ("10", 3, "13", 0.2),
        ("11", 1, "10", 1.0), ("11", 2, "12", 0.6), ("11", 3, "13", 0.2),
        ("12", 1, "10", 0.6), ("12", 2, "11", 0.6), ("12", 3, "13", 0.6),
        ("13", 1, "12", 0.6), ("13", 2, "10", 0.2), ("13", 3, "11", 0.2),
    ]  # fmt: skip


def test_top_n_keeps_the_lower_id_of_a_tie(golden):
    kept = table(etrec_i2i(golden, params(similarity="jaccard", top_n=1)), *COLUMNS)
    assert kept == [("10", 1, "11", 1.0), ("11", 1, "10", 1.0), ("12", 1, "10", 0.6), ("13", 1, "12", 0.6)]


def test_ids_tie_in_the_order_of_their_bytes(spark):
    rows = [("u", item) for item in ("9", "10", "é", "z", "Z")]
    best = table(etrec_i2i(spark.createDataFrame(rows, PAIRS), params(top_n=2)), *COLUMNS)
    assert [row[:3] for row in best if row[0] == "9"] == [("9", 1, "10"), ("9", 2, "Z")]
    assert [row[:3] for row in best if row[0] == "10"] == [("10", 1, "9"), ("10", 2, "Z")]
    assert [row[0] for row in best[::2]] == ["10", "9", "Z", "z", "é"]


def test_users_with_too_few_or_too_many_items_are_left_out_and_said(golden, caplog):
    only_three = params(similarity="jaccard", min_user_behavior=3, max_user_behavior=3)
    with caplog.at_level("INFO", logger="recflow"):
        found = table(etrec_i2i(golden, only_three), *COLUMNS)
    assert {row[0] for row in found} == {"10", "11", "12"} and {row[3] for row in found} == {1.0}
    said = (
        "2 users with 6 pairs of 3 items; left out: 2 users with fewer than 3 items; 1 with more than 3, with 4 pairs"
    )
    assert said in caplog.text


def test_repeated_acts_count_once_and_layout_changes_nothing(spark, golden):
    expected = table(etrec_i2i(golden, params()), *COLUMNS)
    for frame in layouts(spark, GOLDEN + GOLDEN[:7], PAIRS):
        assert table(etrec_i2i(frame, params()), *COLUMNS) == expected


@pytest.mark.parametrize("more", [{}, {"max_users_per_item": 2, "max_user_behavior": 3, "heavy_users": "sample"}])
def test_blocks_groups_of_users_and_packed_pieces_change_nothing(spark, golden, monkeypatch, more):
    expected = table(etrec_i2i(golden, params(**more)), *COLUMNS)
    monkeypatch.setattr(job, "BLOCK", 1)  # every item is a block of its own
    monkeypatch.setattr(histories, "ACTS_PER_GROUP", 3)
    monkeypatch.setattr(packed_acts, "ACTS_HELD", 2)
    assert expected and table(etrec_i2i(golden.repartition(2), params(**more)), *COLUMNS) == expected


VALUES = "user_id string, item_id string, value bigint"


def test_values_make_vectors_of_the_users(spark):
    """a = (3, 4), b = (2, 0) and (0, 1) is c; of u's two rows on a the sum counts; 0.004 rounds to nothing."""
    rows = [("u", "a", 1_000_000), ("u", "a", 2_000_000), ("v", "a", 4_000_000), ("u", "b", 2_000_000)]
    rows += [("v", "c", 1_000_000), ("u", "c", 4_000), ("v", "d", 99_999_000_000), ("v", "e", 10_000_000_000)]
    acts = spark.createDataFrame(rows, VALUES)
    found = scores(etrec_i2i(acts, params(similarity="cosine", value="playtime")))
    assert found["a", "b"] == found["b", "a"] == 0.6 and found["a", "c"] == 0.8 and ("b", "c") not in found
    assert found["d", "e"] == 1.0  # both count as 10,000
    asymmetric = scores(etrec_i2i(acts, params(similarity="asymcosine", alpha=1, value="playtime")))
    assert asymmetric["a", "b"] == 600 / 2_500 * 100 / 100 and asymmetric["b", "a"] == 1.5


def test_a_value_is_the_weight_of_the_events_or_what_they_carry(spark):
    columns = "user_id string, item_id string, event string, cnt bigint, value_micros bigint"
    rows = [("u", "a", "click", 3, 5), ("u", "a", "buy", 1, 0), ("u", "b", "expr", 9, 7)]
    actions, weights = spark.createDataFrame(rows, columns), {"click": 1.0, "buy": 2.5}
    assert table(acts_of(actions, weights, "weight"), "*") == [("u", "a", 2_500_000), ("u", "a", 3_000_000)]
    assert table(acts_of(actions, weights, "playtime"), "*") == [("u", "a", 0), ("u", "a", 5)]
    assert table(acts_of(actions, {"expr": 1.0}, "none"), "*") == [("u", "b")]


def test_workers_read_from_files_the_acts_that_the_rows_hold(spark, warehouse):
    rows = [
        ("20261118", "u1", "1", "click", 9, 9, 1), ("20261119", "u1", "2", "click", 2, 5, 1),
        ("20261121", "u1", "2", "click", 1, 7, 1), ("20261121", "u2", "3", "praise", 3, 0, 1),
        ("20261121", "u2", "3", "expr", 4, 8, 1), ("20261121", "u3", "é", "click", 1, 0, 1),
    ]  # fmt: skip
    days = ["20261118", "20261119", "20261120", "20261121"]
    write_days(spark.createDataFrame(rows, ACTIONS), "home_page_actions_daily", days, "actions_daily")

    class Handed(inputs.Day):
        """Its actions need not be those that the table's files hold."""

    def acts(kind, value):
        packed = acts_of_day(kind(demo_solution(), "20261121"), 3, {"click": 1.0, "praise": 2.5}, value).toArrow()
        return sorted(tuple(row.values()) for part in unpacked(packed["rows"]) for row in part.to_pylist())

    assert acts(inputs.Day, "none") == acts(Handed, "none")
    assert acts(inputs.Day, "playtime") == acts(Handed, "playtime")
    assert acts(inputs.Day, "weight") == acts(Handed, "weight") == [
        ("u1", "2", 1_000_000), ("u1", "2", 2_000_000), ("u2", "3", 7_500_000), ("u3", "é", 1_000_000),
    ]  # fmt: skip


def test_samples_of_heavy_users_and_items_are_those_with_the_least_hash(spark, caplog):
    rows = [(f"u{user}", f"i{item}") for user in range(6) for item in range(8)]
    p = params(similarity="jaccard", max_user_behavior=5, heavy_users="sample", max_users_per_item=3, seed=11)
    with caplog.at_level("INFO", logger="recflow"):
        found = table(etrec_i2i(spark.createDataFrame(rows, PAIRS), p), *COLUMNS)
    of_user = {f"u{u}": sorted((sample_hash(11, f"u{u}", f"i{i}"), f"i{i}") for i in range(8))[:5] for u in range(6)}
    of_item = defaultdict(list)
    for user, items in of_user.items():
        for number, item in items:
            of_item[item].append((number, user))
    kept = [(user, item) for item, users in of_item.items() for _, user in sorted(users)[:3]]
    assert found == reference(kept, params(similarity="jaccard", min_user_behavior=1))
    assert "6 with more than 5, 18 of whose pairs" in caplog.text
    heavy = [len(users) - 3 for users in of_item.values() if len(users) > 3]
    assert f"{len(heavy)} items have more than 3 users; samples of these leave out {sum(heavy)} pairs" in caplog.text


@pytest.mark.parametrize("rows", [[], [("u", "a")], [("u", "a"), ("v", "b")]], ids=["nothing", "one item", "no pair"])
def test_without_users_of_two_items_nothing_is_similar(spark, rows):
    assert table(etrec_i2i(spark.createDataFrame(rows, PAIRS), params()), *COLUMNS) == []


def test_one_user_makes_their_items_similar(spark):
    found = scores(etrec_i2i(spark.createDataFrame([("u", "a"), ("u", "b")], PAIRS), params(similarity="cosine")))
    assert found == {("a", "b"): 1.0, ("b", "a"): 1.0}


# A case is a list of (user, item). Cases share no user and no item, so one Spark job answers all of them.
CASE = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), max_size=25)


@pytest.mark.parametrize("similarity", ["wbcosine", "cosine", "jaccard", "asymcosine"])
@settings(max_examples=2, deadline=None, derandomize=True)
@given(cases=st.lists(CASE, min_size=20, max_size=40), alpha=st.sampled_from([0.0, 0.3, 1.0]), top_n=st.integers(1, 5))
def test_the_job_equals_the_reference(spark, similarity, cases, alpha, top_n):
    p = params(similarity=similarity, alpha=alpha, weight=1.5, top_n=top_n, max_user_behavior=5)
    pairs = [(f"{n}u{user}", f"{n}i{item}") for n, case in enumerate(cases) for user, item in case]
    found = table(etrec_i2i(spark.createDataFrame(pairs, PAIRS).repartition(3), p), *COLUMNS)
    expected = reference(pairs, p)
    if similarity == "asymcosine":  # powers may differ in the last bit between numpy and Python
        assert [row[3] for row in found] == pytest.approx([row[3] for row in expected], rel=1e-12)
    else:
        assert found == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"similarity": "cosin"},
        {"alpha": 1.1},
        {"window_days": 0},
        {"min_user_behavior": 9, "max_user_behavior": 8},
        {"value": "weight"},
        {"value": "playtime", "similarity": "jaccard"},
        {"max_users_per_item": 0},
        {"seed": -1},
    ],  # fmt: skip
)
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        params(**wrong)


def test_sums_of_values_that_could_overflow_are_refused(spark, monkeypatch):
    monkeypatch.setattr(histories, "MOST", 10_000)
    acts = spark.createDataFrame([("u", "a", 1_010_000), ("u", "b", 1_000_000)], VALUES)
    with pytest.raises(RecflowError, match="item_id a come to more than 1e\\+04: lower window_days"):
        etrec_i2i(acts, params(similarity="cosine", value="weight"))
