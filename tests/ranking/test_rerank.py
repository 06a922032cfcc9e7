"""Re-rank on literal pools: what it guarantees, what it says it did, and that it leaves alone what it should."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.lib.list_params import Rerank
from jobs.ranking.rerank import COLUMNS, Reranking, placed

SOURCES = pa.list_(pa.struct([("recall", pa.string()), ("score", pa.float64()), ("rank", pa.int32())]))
KINDS = {"a": 0, "b": 1, "c": 2, "-": None}


def lists(pools, top_n, listed=(), pins=(), **rerank):
    """user -> [(item, model_rank, moves)]. pools: user -> items, best first, scores 1, 0.9, ...; the kind of an item is
    its first letter; listed: item -> days ago; pins: item -> place."""
    listed, pins = dict(listed), dict(pins)
    names = sorted({item for items in pools.values() for item in items})
    items = pa.table(
        {
            "item_id": pa.array(names, pa.string()),
            "kind": pa.array([KINDS[name[0]] for name in names], pa.int32()),
            "listed_days": pa.array([listed.get(name) for name in names], pa.float64()),
        }
    )
    rows = [
        (
            user,
            item,
            1 - n / 10,
            n + 1,
            [{"recall": "pinned", "score": 0.0, "rank": pins[item]}] if item in pins else [],
        )
        for user, pool in sorted(pools.items())
        for n, item in enumerate(pool)
    ]
    kinds = (pa.string(), pa.string(), pa.float64(), pa.int32(), SOURCES)
    table = pa.table(
        dict(
            zip(
                ("user_id", "item_id", "score", "rank", "sources"),
                [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)],
                strict=True,
            )
        )
    )
    made = placed(table, Reranking(Rerank(**rerank), top_n, items))
    assert made.column_names == [column.split()[0] for column in COLUMNS.split(", ")]
    found = {user: [] for user in pools}
    for row in made.to_pylist():
        found[row["user_id"]].append((row["item_id"], row["model_rank"], "+".join(row["moves"])))
        assert row["rank"] == len(found[row["user_id"]])
    return found


def test_the_window_rule_takes_the_next_that_fits_and_says_so():
    pools = {"u1": ["a1", "a2", "a3", "a4", "b1", "c1"], "u2": ["a1", "b1"]}
    found = lists(pools, 5, diversity={"by": "category", "window": 3, "most": 2})
    assert found["u1"] == [("a1", 1, ""), ("a2", 2, ""), ("b1", 5, "diversity"), ("a3", 3, ""), ("a4", 4, "")]
    assert found["u2"] == [("a1", 1, ""), ("b1", 2, "")]


def test_the_window_rule_looks_ahead_where_taking_the_best_would_break_it_later():
    diversity = {"by": "category", "window": 2, "most": 1}
    found = lists({"u": ["b1", "b2", "a1", "a2", "a3"]}, 5, diversity=diversity)
    assert [item for item, *_ in found["u"]] == ["a1", "b1", "a2", "b2", "a3"]
    hopeless = lists({"u": ["a1", "a2", "b1"], "v": ["-1", "-2", "-3"]}, 3, diversity=diversity | {"window": 3})
    assert [item for item, *_ in hopeless["u"]] == ["a1", "b1", "a2"]  # one break is unavoidable
    assert [item for item, *_ in hopeless["v"]] == ["-1", "-2", "-3"]  # of unknown kind: like no other


def test_mmr_weighs_likeness_against_value():
    pool = {"u": ["a1", "a2", "a3", "b1"]}  # values 1, 2/3, 1/3, 0
    shown = {w: [item for item, *_ in lists(pool, 4, diversity={"by": "x", "method": "mmr", "weight": w})["u"]] for w in
             (0, 0.39, 0.41)}  # fmt: skip
    # after a1: a2 has (1 - w) * 2/3 - w, b1 has 0; they are level at w = 0.4
    assert shown == {0: pool["u"], 0.39: ["a1", "a2", "b1", "a3"], 0.41: ["a1", "b1", "a2", "a3"]}


def test_freshness_adds_what_its_half_life_leaves():
    listed = {"a1": None, "a2": 7, "a3": 0}  # values 1, 0.5 + 0.3, 0 + 0.6
    found = lists({"u": ["a1", "a2", "a3"]}, 3, listed, freshness={"weight": 0.6, "half_life_days": 7})
    assert [item for item, *_ in found["u"]] == ["a1", "a2", "a3"]
    found = lists({"u": ["a1", "a2", "a3"]}, 3, listed, freshness={"weight": 1.2, "half_life_days": 7})
    assert found["u"] == [("a3", 3, "freshness"), ("a2", 2, "freshness"), ("a1", 1, "")]  # 1, 1.1, 1.2


def test_new_items_have_their_share_of_every_beginning_of_the_list():
    listed = {f"a{n}": n for n in range(10)}
    pool = [f"a{n}" for n in range(9, -1, -1)]
    found = lists({"u": pool}, 6, listed, new_items={"share": 0.5, "days": 2})["u"]
    assert [item for item, *_ in found] == ["a9", "a1", "a8", "a0", "a7", "a6"]  # there are two: the third has none
    assert [moves for *_, moves in found] == ["", "new_items", "", "new_items", "", ""]


def test_pinned_items_have_their_place_and_the_end_of_a_shorter_list():
    pools = {"u": ["a1", "a2", "a3", "b1"], "v": ["a1", "b1"]}
    found = lists(pools, 3, pins={"b1": 2, "a3": 2}, pool=3)
    assert found["u"] == [("a1", 1, ""), ("a3", 3, "pinned"), ("b1", 4, "pinned")]
    assert lists(pools, 3, pins={"b1": 3})["v"] == [("a1", 1, ""), ("b1", 2, "pinned")]


def test_pins_of_one_place_move_up_where_the_list_ends_and_the_first_of_too_many_stay():
    pool = {"u": ["a1", "a2", "a3", "b1"]}
    assert lists(pool, 4, pins={"a1": 2, "a3": 2, "b1": 3})["u"] == [
        ("a2", 2, ""), ("a1", 1, "pinned"), ("a3", 3, "pinned"), ("b1", 4, "pinned")
    ]  # fmt: skip
    assert [item for item, *_ in lists(pool, 3, pins={"a2": 3, "b1": 3})["u"]] == ["a1", "a2", "b1"]
    assert [item for item, *_ in lists(pool, 2, pins={"a1": 2, "a2": 2, "b1": 1})["u"]] == ["b1", "a1"]


def test_new_items_come_before_pins_that_would_leave_them_no_place():
    listed, pins = {"b1": 0, "b2": 1, "a1": 90}, {"a1": 2, "a2": 3}
    pool = {"u": ["c1", "c2", "a1", "a2", "b1", "b2"]}
    found = lists(pool, 5, listed, pins, new_items={"share": 1 / 3, "days": 7})["u"]
    assert found == [  # one is due in the first three places, and two of these are pinned
        ("b1", 5, "new_items"), ("a1", 3, "pinned"), ("a2", 4, "pinned"), ("c1", 1, ""), ("c2", 2, "")
    ]  # fmt: skip
    pinned_new = lists(pool, 3, listed, {"b2": 3}, new_items={"share": 1 / 3, "days": 7})["u"]
    assert [item for item, *_ in pinned_new] == ["c1", "c2", "b2"]  # the pinned one is new itself


def test_only_the_pool_takes_part():
    listed = {"a4": 0}
    assert lists({"u": ["a1", "a2", "a3", "a4"]}, 2, listed, pool=3, new_items={"share": 1})["u"][0][0] == "a1"
    assert lists({"u": ["a1", "a2", "a3", "a4"]}, 2, listed, pool=4, new_items={"share": 1})["u"][0][0] == "a4"


@pytest.mark.parametrize("rerank", [
    {}, {"freshness": {"weight": 0}}, {"new_items": {"share": 0}}, {"diversity": {"by": "x", "most": 9, "window": 5}},
    {"diversity": {"by": "x", "method": "mmr", "weight": 0}},
])  # fmt: skip
def test_without_weight_the_order_is_the_scores(rerank):
    pool = ["a1", "a2", "b1", "a3", "a4", "c1"]
    found = lists({"u": pool}, 5, {"c1": 0}, **rerank)
    assert found["u"] == [(item, n + 1, "") for n, item in enumerate(pool[:5])]


POOLS = st.lists(st.sampled_from("aaabbc-"), min_size=1, max_size=7)


def breaks(kinds, window, most):
    """How many places stand in a window that has too many of their kind."""
    return sum(
        any(
            kinds[place] != "-" and kinds[start : start + window].count(kinds[place]) > most
            for start in range(max(0, place - window + 1), place + 1)
        )
        for place in range(len(kinds))
    )


@settings(derandomize=True, max_examples=300, deadline=None)
@given(POOLS, st.integers(2, 4), st.integers(1, 2), st.integers(1, 6))
def test_the_window_rule_is_kept_wherever_any_order_keeps_it(kinds, window, most, top_n):
    pool = [f"{kind}{n}" for n, kind in enumerate(kinds)]
    found = [item for item, *_ in lists({"u": pool}, top_n, diversity={"by": "x", "window": window, "most": most})["u"]]
    assert len(set(found)) == len(found) == min(top_n, len(pool))
    if breaks([item[0] for item in found], window, most):
        orders = itertools.permutations(kinds, len(found))
        assert all(breaks(order, window, most) for order in set(orders))


@settings(derandomize=True, max_examples=100, deadline=None)
@given(POOLS, st.integers(1, 7), st.sampled_from([0.1, 0.25, 0.5, 1.0]), st.sampled_from(["mmr", None]), st.data())
def test_the_share_and_the_pins_hold_beside_mmr(kinds, top_n, share, method, data):
    pool = [f"{kind}{n}" for n, kind in enumerate(kinds)]
    listed = {item: data.draw(st.sampled_from([0, 3, 7, None])) for item in pool}
    chosen = data.draw(st.sets(st.sampled_from(pool), max_size=min(3, top_n)))
    pinned = {item: data.draw(st.integers(1, top_n)) for item in sorted(chosen)}
    diversity = {"diversity": {"by": "x", "method": method}} if method else {}
    found = lists({"u": pool, "v": pool}, top_n, listed, pinned, new_items={"share": share, "days": 4}, **diversity)
    assert found["u"] == found["v"]
    assert all(listed[item] in (0, 3) for item, _, moves in found["u"] if "new_items" in moves)
    items = [item for item, *_ in found["u"]]
    assert len(set(items)) == len(items) == min(top_n, len(pool))
    new = [item for item in pool if listed[item] in (0, 3)]
    for k in range(1, len(items) + 1):
        of_pins = len(set(items[:k]) & set(pinned) & set(new))
        possible = of_pins + min(len(set(new) - set(pinned)), len([item for item in items[:k] if item not in pinned]))
        assert len(set(items[:k]) & set(new)) >= min(math.floor(k * share + 1e-9), possible)
    places = [items.index(item) + 1 for item in sorted(pinned, key=lambda item: (pinned[item], pool.index(item)))]
    assert places == pinned_places(sorted(pinned.values()), len(items))


@settings(derandomize=True, max_examples=100, deadline=None)
@given(
    POOLS.filter(lambda kinds: len(kinds) > 3),
    st.integers(4, 7),
    st.sampled_from([0.5, 1.0]),
    st.integers(2, 4),
    st.data(),
)
def test_only_new_items_are_said_to_be_there_as_new_ones(kinds, top_n, share, window, data):
    pool = [f"{kind}{n}" for n, kind in enumerate(kinds)]
    listed = {item: data.draw(st.sampled_from([0, 3, 7, None])) for item in pool}
    rules = {"new_items": {"share": share, "days": 4}, "diversity": {"by": "x", "window": window, "most": 1}}
    found = lists({"u": pool}, top_n, listed, **rules)["u"]
    assert all(listed[item] in (0, 3) for item, _, moves in found if "new_items" in moves)


def test_a_place_that_the_window_rule_keeps_from_new_items_is_not_theirs():
    rules = {"new_items": {"share": 1, "days": 4}, "diversity": {"by": "x", "window": 2, "most": 1}}
    found = lists({"u": ["a1", "a2", "a3", "b1", "b2"]}, 4, {"a2": 0, "a3": 0}, **rules)["u"]
    assert found == [("a2", 2, "new_items"), ("b1", 4, "diversity"), ("a3", 3, "new_items"), ("b2", 5, "diversity")]


def pinned_places(wanted, places):
    """As near behind the wanted places as they can be, told by trying all."""
    orders = itertools.combinations(range(1, places + 1), len(wanted))
    late = [sum(max(0, place - want) for place, want in zip(order, wanted, strict=True)) for order in orders]
    early = [sum(max(0, want - place) for place, want in zip(order, wanted, strict=True))
             for order in itertools.combinations(range(1, places + 1), len(wanted))]  # fmt: skip
    keys = zip(early, late, itertools.combinations(range(1, places + 1), len(wanted)), strict=True)
    return list(min(keys)[2])


def test_a_piece_without_rows_is_no_list():
    assert placed(
        pa.table({"user_id": pa.array([], pa.string()), "item_id": pa.array([], pa.string()), "score": np.empty(0),
                  "rank": np.empty(0, np.int32), "sources": pa.array([], SOURCES)}),
        Reranking(Rerank(), 3, pa.table({"item_id": pa.array([], pa.string()), "kind": np.empty(0, np.int32),
                                         "listed_days": np.empty(0)})),
    ).num_rows == 0  # fmt: skip
