"""Swing: golden values, a slow reference, samples, and what may not change a bit."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.recall import histories, packed_acts
from jobs.recall import swing_i2i as job
from jobs.recall.swing_i2i import Params, swing_i2i
from tests.recall.builders import GOLDEN, PAIRS, layouts, sample_hash, string_hash, table

COLUMNS = ("trigger_item_id", "rank", "item_id", "score")


def params(**more):
    return Params(name="swing_i2i", job="swing_i2i", **more)


def reference(pairs, p: Params, triggers=None) -> list[tuple]:
    """The definition, one pair of items and of users at a time; users in the order of their hash."""
    items_of, users_of = defaultdict(set), defaultdict(list)
    for user, item in pairs:
        items_of[user].add(item)
    kept = {u: items for u, items in items_of.items() if p.min_user_behavior <= len(items) <= p.max_user_behavior}
    for user in sorted(kept, key=string_hash):
        for item in kept[user]:
            users_of[item].append(user)

    @cache
    def weight(u, v):
        weights = [(len(kept[w]) + p.alpha1) ** -p.beta for w in (u, v)]
        return weights[0] * weights[1] / (p.alpha2 + len(kept[u] & kept[v]))

    rows = []
    for i in triggers or users_of:
        first = set(sorted(users_of[i], key=lambda u: sample_hash(p.seed, u, i))[: p.max_user_num_per_item])
        chosen = [u for u in users_of[i] if u in first]
        scored = []
        for j in users_of.keys() - {i}:
            both = [u for u in chosen if j in kept[u]]
            score = 0.0
            for n, u in enumerate(both):
                for v in both[n + 1 :]:
                    score += weight(u, v)
            if len(both) >= p.min_common_users:
                scored.append((-score, j))
        rows += [(i, rank, j, -score) for rank, (score, j) in enumerate(sorted(scored)[: p.top_n], 1)]
    return sorted(rows)


def scores(frame) -> dict:
    return {(row["trigger_item_id"], row["item_id"]): row["score"] for row in frame.collect()}


@pytest.fixture(scope="module")
def golden(spark):
    return spark.createDataFrame(GOLDEN, PAIRS).persist()


def test_golden_values_of_flink(golden):
    found = scores(swing_i2i(golden, params(max_user_behavior=3)))
    assert found["10", "11"] == found["11", "10"] == 0.058845768947156235
    assert found["12", "13"] == 0.09134833828228624


def test_the_worked_example_of_pai(spark):
    """Ten fans watched the same 200 videos, A and C among them, one of them also B; another user watched A and B."""
    videos = ["A", "C", *[f"v{n}" for n in range(198)]]
    rows = [(f"fan{n}", video) for n in range(10) for video in videos]
    rows += [("fan0", "B"), ("other", "A"), ("other", "B")]
    found = scores(swing_i2i(spark.createDataFrame(rows, PAIRS), params(alpha2=1, beta=0)))
    assert found["A", "B"] == 1 / 3
    assert found["A", "C"] == pytest.approx(45 / 201, rel=1e-15)


def test_repeated_acts_layout_blocks_and_groups_change_no_bit(spark, golden, monkeypatch):
    p = params(max_user_num_per_item=3)
    expected = table(swing_i2i(golden, p), *COLUMNS)
    assert expected == reference(GOLDEN, p)
    monkeypatch.setattr(job, "BLOCK", 1)
    for frame in layouts(spark, GOLDEN + GOLDEN[:7], PAIRS):
        monkeypatch.setattr(packed_acts, "ACTS_HELD", 2)
        assert table(swing_i2i(frame, p), *COLUMNS) == expected
        monkeypatch.setattr(histories, "ACTS_PER_GROUP", 4)


def test_pairs_of_items_need_so_many_common_users(golden):
    found = scores(swing_i2i(golden, params(min_common_users=3)))
    assert set(found) == {(i, j) for i in ("10", "11", "12") for j in ("10", "11", "12") if i != j} | {
        ("12", "13"), ("13", "12"),
    }  # fmt: skip


@pytest.mark.parametrize("rows", [[], [("u", "a"), ("u", "b")], [("u", "a"), ("v", "a")]])
def test_without_two_users_of_two_items_nothing_is_similar(spark, rows):
    assert table(swing_i2i(spark.createDataFrame(rows, PAIRS), params()), *COLUMNS) == []


# A case is a list of (user, item). Cases share no user and no item, so one Spark job answers all of them.
CASE = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 5)), max_size=40)


@settings(max_examples=3, deadline=None, derandomize=True)
@given(
    cases=st.lists(CASE, min_size=20, max_size=40),
    top_n=st.integers(1, 5),
    sampled=st.integers(2, 6),
    alpha2=st.sampled_from([0.0, 1.0, 0.7]),
)
def test_the_job_equals_the_reference_to_the_last_bit(spark, cases, top_n, sampled, alpha2):
    p = params(top_n=top_n, max_user_num_per_item=sampled, alpha2=alpha2, max_user_behavior=5, alpha1=1, beta=0.5)
    pairs = [(f"{n}u{user}", f"{n}i{item}") for n, case in enumerate(cases) for user, item in case]
    assert table(swing_i2i(spark.createDataFrame(pairs, PAIRS).repartition(3), p), *COLUMNS) == reference(pairs, p)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_user_num_per_item": 1},
        {"alpha1": -1},
        {"alpha2": float("nan")},
        {"beta": -0.1},
        {"min_common_users": 1},
        {"min_user_behavior": 9, "max_user_behavior": 8},
        {"top_n": 0},
    ],  # fmt: skip
)
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        params(**wrong)
