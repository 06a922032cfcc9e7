"""Session i2i: sessions cut by hand, cosines worked by hand, and a slow reference."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.recall.session_i2i import Params, session_i2i, sessions
from tests.recall.builders import layouts, table

ACTS = "user_id string, item_id string, last_time bigint"
COLUMNS = ("trigger_item_id", "rank", "item_id", "score")
HALF = 30 * 60

# u1: a b | c, the gap one second too long. u2: a b c, each gap just not too long. u3: a c. u4: a alone.
ACTED = [
    ("u1", "a", 0), ("u1", "b", 100), ("u1", "c", 100 + HALF + 1),
    ("u2", "a", 0), ("u2", "b", HALF), ("u2", "c", 2 * HALF), ("u2", "a", 2 * HALF),
    ("u3", "c", 7), ("u3", "a", 7),
    ("u4", "a", 50),
]  # fmt: skip
# Sessions of two items or more: {a b} {a b c} {a c}; a is in 3 of them, b and c in 2 each.
AB = AC = 2 / math.sqrt(3 * 2)
BC = 1 / 2


def params(**more):
    return Params(name="session_i2i", job="session_i2i", **more)


def test_sessions_are_cut_where_the_gap_is_exceeded_and_never_within_a_second(spark):
    assert table(sessions(spark.createDataFrame(ACTED, ACTS), 30), "user_id", "item_id") == [
        ("u1/0", "a"), ("u1/0", "b"), ("u1/1", "c"),
        ("u2/0", "a"), ("u2/0", "a"), ("u2/0", "b"), ("u2/0", "c"),
        ("u3/0", "a"), ("u3/0", "c"), ("u4/0", "a"),
    ]  # fmt: skip


def test_the_score_is_the_cosine_over_sessions_however_rows_are_laid_out(spark):
    expected = [
        ("a", 1, "b", AB), ("a", 2, "c", AC),
        ("b", 1, "a", AB), ("b", 2, "c", BC),
        ("c", 1, "a", AC), ("c", 2, "b", BC),
    ]  # fmt: skip
    for acts in layouts(spark, ACTED + ACTED[:3], ACTS):
        assert table(session_i2i(acts, params()), *COLUMNS) == [
            (*row[:3], pytest.approx(row[3], rel=1e-12)) for row in expected
        ]


def test_the_gap_the_lengths_and_top_n_are_configuration(spark):
    acts = spark.createDataFrame(ACTED, ACTS)
    longer = table(session_i2i(acts, params(session_gap_minutes=31, top_n=1)), *COLUMNS)
    assert [row[:3] for row in longer] == [("a", 1, "c"), ("b", 1, "a"), ("c", 1, "a")]  # {a b c} twice, {a c}
    single = table(session_i2i(acts, params(min_session_items=1, max_session_items=2)), *COLUMNS)
    # {a b} {c} {a c} {a}: a in 3, b in 1, c in 2
    assert [row[:3] for row in single] == [("a", 1, "b"), ("a", 2, "c"), ("b", 1, "a"), ("c", 1, "a")]
    assert [row[3] for row in single] == pytest.approx([1 / math.sqrt(3), 1 / math.sqrt(6)] * 2)


@pytest.mark.parametrize("rows", [[], [("u", "a", 1)], [("u", "a", 1), ("u", "b", 99_999)]])
def test_without_a_session_of_two_items_nothing_is_similar(spark, rows):
    assert table(session_i2i(spark.createDataFrame(rows, ACTS), params()), *COLUMNS) == []


def reference(acts, line: Params) -> list[tuple]:
    of_user = defaultdict(list)
    for user, item, time in acts:
        of_user[user].append((time, item))
    found = []
    for mine in of_user.values():
        last = -math.inf
        for time, item in sorted(mine):
            if time - last > 60 * line.session_gap_minutes:
                found.append(set())
            found[-1].add(item)
            last = time
    kept = [items for items in found if line.min_session_items <= len(items) <= line.max_session_items]
    items = sorted(set().union(*kept))
    count = {item: sum(item in session for session in kept) for item in items}
    rows = []
    for one in items:
        both = {other: sum({one, other} <= session for session in kept) for other in items if other != one}
        scores = [(-n / math.sqrt(count[one] * count[other]), other) for other, n in both.items() if n]
        rows += [(one, rank, other, -score) for rank, (score, other) in enumerate(sorted(scores)[: line.top_n], 1)]
    return sorted(rows)


CASE = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 12)), max_size=20)


@settings(max_examples=2, deadline=None, derandomize=True)
@given(cases=st.lists(CASE, min_size=20, max_size=40), top_n=st.integers(1, 5), gap=st.integers(1, 4))
def test_the_job_equals_the_reference(spark, cases, top_n, gap):
    """Cases share no user and no item, so one Spark job answers all of them."""
    line = params(top_n=top_n, session_gap_minutes=gap, max_session_items=4)
    acts = [(f"{n}u{user}", f"{n}i{item}", 60 * at) for n, case in enumerate(cases) for user, item, at in case]
    found = table(session_i2i(spark.createDataFrame(acts, ACTS).repartition(3), line), *COLUMNS)
    assert found == reference(acts, line)


@pytest.mark.parametrize(
    "wrong", [{"session_gap_minutes": 0}, {"min_session_items": 9, "max_session_items": 8}, {"similarity": "cosine"}]
)
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        params(**wrong)
