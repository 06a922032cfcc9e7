"""Candidates: fusion worked by hand, and against a slow reference."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.ranking.candidates import candidates
from tests.recall.builders import PAIRS, layouts, table

U2I = "user_id string, item_id string, score double, rank int"
HOT = "group_key string, item_id string, score double, rank int"
USERS, ITEMS = "user_id string", "item_id string"
COLUMNS = ("user_id", "rank", "item_id", "score", "sources")

ETREC = [("u1", "a", 0.9, 1), ("u1", "b", 0.8, 2), ("u2", "x", 0.7, 1), ("asleep", "a", 0.5, 1)]
SWING = [("u1", "b", 5.0, 1), ("u1", "gone", 4.0, 2)]
HOTTEST = [("-1", "b", 30.0, 1), ("-1", "c", 20.0, 2), ("-1", "d", 10.0, 3), ("-1", "gone", 5.0, 4)]
OF_A_GROUP = [("f", "e", 99.0, 1)]


def points(*shares):
    """The fused score in the units that it is summed in; shares: weight * score / best score of a list."""
    return sum(10_000 + round(1e9 * share) for share in shares) / 1e9


def reference(personal, hot, active, seen, offered, limit, weights, quotas, tail) -> list[tuple]:
    """The definition, user by user: everything that lists an item, then the best of all, then what fills up."""
    rows = []
    for user in active:
        sources, shares, kept = defaultdict(list), defaultdict(list), set()
        for name, recall in [*personal.items(), *hot.items()]:
            listed = [row[1:] for row in recall if row[0] in (user, "-1") and row[1] in offered]
            best = max([score for _, score, _ in listed], default=0)
            for item, score, rank in listed:
                sources[item].append((name, score, rank))
                shares[item].append(weights.get(name, 1.0) * score / best)
            new = [item for item, _, _ in listed if (user, item) not in seen]
            kept |= set(new[: quotas.get(name, 0)])
        fused = [(-points(*shares[item]), item) for item in sources if (user, item) not in seen]
        hottest = {row[1] for recall in hot.values() for row in recall}
        for place, item in enumerate([item for item in tail if item not in hottest], 1):
            if item not in sources and (user, item) not in seen:
                fused.append((-(10_000 - place) / 1e9, item))
                sources[item] = [("catalog", 0.0, place)]
        chosen = sorted(fused, key=lambda row: (row[1] not in kept, row))[:limit]
        for rank, (score, item) in enumerate(sorted(chosen), 1):
            rows.append((user, rank, item, -score, sorted(sources[item])))
    return sorted(rows)


@pytest.fixture(scope="module")
def frames(spark):
    return {
        "personal": {
            "swing_u2i": spark.createDataFrame(SWING, U2I).persist(),
            "etrec_u2i": spark.createDataFrame(ETREC, U2I).persist(),
        },
        "hot": {"hot": spark.createDataFrame(HOTTEST + OF_A_GROUP, HOT).persist()},
        "active": spark.createDataFrame([("u1",), ("u2",), ("u3",)], USERS).persist(),
        "seen": spark.createDataFrame([("u2", "b"), ("u2", "b"), ("u3", "z"), ("asleep", "c")], PAIRS).persist(),
        "offered": spark.createDataFrame([(item,) for item in "abcdexz"], ITEMS).persist(),
    }


def test_all_that_list_an_item_add_up_and_are_kept(frames):
    found = table(candidates(**frames, limit=3), *COLUMNS)
    etrec, swing, hot = "etrec_u2i", "swing_u2i", "hot"
    assert found == [
        ("u1", 1, "b", points(0.8 / 0.9, 1, 1), [(etrec, 0.8, 2), (hot, 30.0, 1), (swing, 5.0, 1)]),
        ("u1", 2, "a", points(1), [(etrec, 0.9, 1)]),
        ("u1", 3, "c", points(2 / 3), [(hot, 20.0, 2)]),
        ("u2", 1, "x", points(1), [(etrec, 0.7, 1)]),
        ("u2", 2, "c", points(2 / 3), [(hot, 20.0, 2)]),  # b was seen
        ("u2", 3, "d", points(1 / 3), [(hot, 10.0, 3)]),
        ("u3", 1, "b", points(1), [(hot, 30.0, 1)]),
        ("u3", 2, "c", points(2 / 3), [(hot, 20.0, 2)]),
        ("u3", 3, "d", points(1 / 3), [(hot, 10.0, 3)]),
    ]


def test_weights_decide_between_recalls_and_a_quota_keeps_a_place(frames):
    only_u1 = frames | {"active": frames["active"].where("user_id = 'u1'")}
    more = {"limit": 2, "weights": {"etrec_u2i": 0.1, "swing_u2i": 0.0}}
    found = table(candidates(**only_u1, **more, quotas={"etrec_u2i": 1}), *COLUMNS[:4])
    assert found == [("u1", 1, "b", points(0.1 * 0.8 / 0.9, 0, 1)), ("u1", 2, "a", points(0.1))]  # c has 2 / 3
    assert table(candidates(**only_u1, **more), *COLUMNS[:3]) == [("u1", 1, "b"), ("u1", 2, "c")]


def test_short_lists_fill_up_from_the_catalog_in_its_order(frames):
    found = table(candidates(**frames, limit=9, tail=["z", "d", "x", "e"]), *COLUMNS)
    last = {user: [row[1:] for row in found if row[0] == user and row[4][0][0] == "catalog"] for user in ("u1", "u2")}
    assert last["u1"] == [
        (5, "z", 9_999e-9, [("catalog", 0.0, 1)]),
        (6, "x", 9_998e-9, [("catalog", 0.0, 2)]),  # d is in the hot list
        (7, "e", 9_997e-9, [("catalog", 0.0, 3)]),
    ]
    assert [row[1] for row in last["u2"]] == ["z", "e"]  # x was recalled


def test_seen_items_and_items_of_any_catalog_stay_when_they_may(frames):
    found = table(candidates(**frames | {"seen": None, "offered": None}, limit=9), "user_id", "rank", "item_id")
    assert [row for row in found if row[0] == "u2"] == [
        ("u2", 1, "b"), ("u2", 2, "x"), ("u2", 3, "c"), ("u2", 4, "d"), ("u2", 5, "gone"),
    ]  # fmt: skip


def test_without_a_hot_list_or_without_personal_recalls_the_other_remains(frames):
    only_personal = table(candidates(**frames | {"hot": {}}, limit=9), "user_id", "item_id")
    assert only_personal == [("u1", "a"), ("u1", "b"), ("u2", "x")]
    only_hot = table(candidates(**frames | {"personal": {}}, limit=2), "user_id", "rank", "item_id")
    assert only_hot == [
        ("u1", 1, "b"), ("u1", 2, "c"), ("u2", 1, "c"), ("u2", 2, "d"), ("u3", 1, "b"), ("u3", 2, "c"),
    ]  # fmt: skip


def test_nobody_active_or_nothing_recalled_is_an_empty_table(frames):
    assert table(candidates(**frames | {"active": frames["active"].limit(0)}, limit=9), *COLUMNS) == []
    assert table(candidates(**frames | {"personal": {}, "hot": {}}, limit=9), *COLUMNS) == []


def test_order_and_partitions_change_nothing(spark, frames):
    expected = table(candidates(**frames, limit=3), *COLUMNS)
    for etrec, hot in zip(layouts(spark, ETREC, U2I), layouts(spark, HOTTEST + OF_A_GROUP, HOT), strict=True):
        again = frames | {"personal": frames["personal"] | {"etrec_u2i": etrec}, "hot": {"hot": hot}}
        assert table(candidates(**again, limit=3), *COLUMNS) == expected


ITEM = st.sampled_from("abcdefgh")
LIST = st.lists(ITEM, unique=True, max_size=6)
USER = st.tuples(LIST, LIST, st.sets(ITEM, max_size=6))
WEIGHTS = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from([0.0, 0.5, 2.0]) for name in ("one", "two", "hot", "trending")}
)
QUOTAS = st.fixed_dictionaries({}, optional={"one": st.integers(0, 2), "two": st.integers(0, 2)})


@settings(max_examples=4, deadline=None, derandomize=True)
@given(
    users=st.lists(USER, max_size=30), hot=LIST, trending=LIST, offered=st.sets(ITEM), limit=st.integers(1, 6),
    weights=WEIGHTS, quotas=QUOTAS, filled=LIST,
)  # fmt: skip
def test_the_job_equals_the_reference(spark, users, hot, trending, offered, limit, weights, quotas, filled):
    def ranked(owner, items):
        return [(owner, item, 1.0 / rank, rank) for rank, item in enumerate(items, 1)]

    personal = {
        name: [row for n, user in enumerate(users) for row in ranked(f"u{n}", user[place])]
        for place, name in enumerate(("one", "two"))
    }
    lists = {"hot": ranked("-1", hot), "trending": ranked("-1", trending)}
    active = [f"u{n}" for n in range(0, len(users) + 1) if n % 5 != 4]
    seen = [(f"u{n}", item) for n, user in enumerate(users) for item in user[2]]
    found = candidates(
        {name: spark.createDataFrame(rows, U2I) for name, rows in personal.items()},
        {name: spark.createDataFrame(rows, HOT) for name, rows in lists.items()},
        spark.createDataFrame([(user,) for user in active], USERS),
        spark.createDataFrame(seen, PAIRS),
        spark.createDataFrame([(item,) for item in offered], ITEMS),
        *(limit, weights, quotas, tail := [item for item in filled if item in offered]),
    )
    expected = reference(personal, lists, active, set(seen), offered, limit, weights, quotas, tail)
    assert table(found, *COLUMNS) == expected
