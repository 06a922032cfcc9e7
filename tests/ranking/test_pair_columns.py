"""Every operator on literal users and items, and lookups against plain dictionaries on random ones. Free of Spark."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.lib.feature_operators import Combo, History, Id, Lookup, Match, Raw, RecallScore, Similarity, TagOverlap
from jobs.lib.feature_operators import TextOverlap as Text
from jobs.ranking.feature_list import feature_list, list_day
from jobs.ranking.pair_columns import pair_columns
from jobs.ranking.pairs import MAP, Described, Neighbours
from tests.features.builders import demo_solution

DAY = 20_000
PREFERENCE = {"window": 60, "top": 10, "attributes": ["category", "tags", "title_words"], "rates": True, "recent": 3}
RECALLS = [
    {"name": "hot", "job": "hot"},
    {"name": "etrec_i2i", "job": "etrec_i2i"},
    {"name": "etrec_u2i", "job": "u2i", "source": "etrec_i2i"},
]
USERS = {
    "user_id": ["anna", "ben"],
    "user__gender": ["f", None],
    "user__ctr_60d": [0.25, 0.5],
    "kv_category_click": [[("toys", 3.0), ("books", 1.0)], None],
    "kv_category_expr": [[("toys", 10.0), ("books", 2.0), ("food", 5.0)], [("toys", 4.0)]],
    "total_category": [5.0, None],
    "kv_title_words_click": [[("red", 2.0)], None],
    "kv_title_words_expr": [[("red", 4.0), ("car", 1.0)], None],
    "total_title_words": [2.0, None],
    "recent": [[("i3", DAY - 1.0), ("i2", DAY - 4.0), ("gone", DAY - 9.0)], None],
    "tags": [[("a", 1.0), ("b", 1.0)], None],
    "list_etrec_u2i": [[("i1", 0.5)], None],
}
ITEMS = {
    "item_id": ["i1", "i2", "i3"],
    "item__category": ["toys", "books", None],
    "item__click_count": [7.0, None, -3.0],
    "at_category": [["toys"], ["books"], None],
    "at_tags": [["b", "c"], ["z"], None],
    "at_title_words": [["red", "car"], ["blue", "car"], ["red", "boat"]],
    "author": ["x", "y", None],
}
NEIGHBOURS = pa.table({
    "trigger_item_id": ["i3", "i2", "i2", "gone"], "item_id": ["i1", "i1", "i3", "i1"],
    "score": [0.25, 0.5, 0.1, 0.125],
})  # fmt: skip
PAIRS = [("anna", "i1"), ("anna", "i2"), ("anna", "i3"), ("anna", "i9"), ("ben", "i1"), ("carl", "i1")]


def solution_with(*operators):
    lines = [operator.model_dump(mode="json") for operator in operators]
    behavior = {"tables": {"item": {"roles": {"tags": "tags"}}}, "recalls": RECALLS}
    windows = [3, 60]
    return demo_solution(
        features={"windows": windows, "preference": PREFERENCE}, ranking={"features": lines}, **behavior
    )


def typed(name: str, values: list) -> pa.Array:
    if name.startswith(("kv_", "list_", "recent", "tags")):
        return pa.array(values, MAP)
    return pa.array(values, pa.list_(pa.string()) if name.startswith("at_") else None)


def columns_of(*operators, pairs=PAIRS, users=USERS, items=ITEMS, neighbours=NEIGHBOURS) -> dict[str, list]:
    """The columns that the operators add, NaN as None."""
    features = feature_list(solution_with(*operators))
    tables = []
    for given_columns, side, categories in ((users, "user", ("gender", "city")), (items, "item", ("category",))):
        table = {name: typed(name, values) for name, values in given_columns.items()}
        n = len(next(iter(table.values())))
        numbers = features.of_user if side == "user" else features.of_item
        table |= {c: pa.nulls(n, pa.float64()) for c in numbers if c not in table}
        table |= {f"{side}__{c}": pa.nulls(n, pa.string()) for c in categories if f"{side}__{c}" not in table}
        tables.append(pa.table(table))
    hot = pa.array([[("i1", 9.0), ("i2", 4.0)]], MAP)
    known = Described(DAY, *tables, {"etrec_i2i": Neighbours.of(neighbours)}, {"hot": hot})
    user, item = (pa.array(ids, pa.string()) for ids in zip(*pairs, strict=True))
    context = {"hour": pa.array([9.0] * len(pairs)), "weekday": pa.array([1.0] * len(pairs))}
    context |= {c: pa.array(["home"] * len(pairs)) for c in features.context}
    made = pair_columns(features, known, user, item, context)
    assert made.column_names == [*features.numbers, *features.categories]
    return {name: made.column(name).to_pylist() for o in operators for name in (*o.numbers, *o.texts)}


def approximately(values: list) -> list:
    return [None if v is None else pytest.approx(v, rel=1e-6) for v in values]


def test_lookup_of_a_single_value():
    made = columns_of(Lookup(op="lookup", of="category", stats=["cnt", "share", "seen", "rate", "lift"]))
    assert made["cross__category_cnt"] == [3, 1, None, None, None, None]  # i3 has no category; nobody knows i9, carl
    assert made["cross__category_share"] == approximately([0.6, 0.2, None, None, None, None])
    assert made["cross__category_seen"] == [10, 2, None, None, 4, None]
    rate = [(3 + 5 * 0.25) / 15, (1 + 5 * 0.25) / 7, None, None, (0 + 5 * 0.5) / 9, None]
    assert made["cross__category_rate"] == approximately(rate)
    lift = [rate[0] - 0.25, rate[1] - 0.25, None, None, rate[4] - 0.5, None]
    assert made["cross__category_lift"] == approximately(lift)


def test_lookup_at_several_values_is_their_mean():
    made = columns_of(Lookup(op="lookup", of="title_words", stats=["cnt", "seen", "rate"]))
    assert made["cross__title_words_cnt"] == [1, 0, 1, None, None, None]  # red and car: 2 and 0
    assert made["cross__title_words_seen"] == [2.5, 0.5, 2, None, None, None]
    red, car, unseen = (2 + 1.25) / 9, 1.25 / 6, 1.25 / 5
    expected = [(red + car) / 2, (unseen + car) / 2, (red + unseen) / 2, None, None, None]
    assert made["cross__title_words_rate"] == approximately(expected)


def test_match_is_about_the_most_frequent_values():
    made = [columns_of(Match(op="match", of="category", top=top))["cross__category_match"] for top in (1, 2)]
    assert made == [[1, 0, None, None, None, None], [1, 1, None, None, None, None]]


def test_overlap_of_declared_tags():
    made = columns_of(TagOverlap(op="tag_overlap", of="tags"))
    assert made["cross__tags_tags_overlap"] == [1, 0, None, None, None, None]
    assert made["cross__tags_tags_jaccard"] == approximately([1 / 3, 0, None, None, None, None])


def test_overlap_with_the_titles_of_the_last_items():
    # last two: i3 "red boat" and i2 "blue car"; last one: i3
    assert columns_of(Text(op="text_overlap", last=2))["cross__title_overlap_last2"] == [1, 1, 1, None, None, None]
    assert columns_of(Text(op="text_overlap", last=1))["cross__title_overlap_last1"] == [0.5, 0, 1, None, None, None]


def test_days_since_the_item_itself():
    assert columns_of(History(op="history"))["cross__item_days_since"] == [None, 4, 1, None, None, None]


def test_similarity_to_the_last_items():
    made = columns_of(Similarity(op="similarity", of="etrec_i2i", last=2))
    assert made["cross__etrec_i2i_max_last2"] == approximately([0.5, 0, 0.1, 0, None, None])
    assert made["cross__etrec_i2i_sum_last2"] == approximately([0.75, 0, 0.1, 0, None, None])
    made = columns_of(Similarity(op="similarity", of="etrec_i2i", last=2, stats=["mean"]))
    assert made == {"cross__etrec_i2i_mean_last2": approximately([0.375, 0, 0.05, 0, None, None])}
    assert columns_of(Similarity(op="similarity", of="etrec_i2i", last=3))["cross__etrec_i2i_sum_last3"][0] == 0.875


def test_scores_of_lists():
    made = columns_of(RecallScore(op="recall_score", of="etrec_u2i"), RecallScore(op="recall_score", of="hot"))
    assert made["cross__etrec_u2i_score"] == [0.5, None, None, None, None, None]
    assert made["cross__hot_score"] == [9, 4, None, None, 9, 9]


def test_ids_combos_and_other_forms_of_a_number():
    made = columns_of(
        Id(op="id", of="item_id"),
        Id(op="id", of="author"),
        Combo(op="combo", of=("user__gender", "item__category")),
        Raw(op="raw", of="item__click_count", transform="log"),
        Raw(op="raw", of="item__click_count", transform="bucket", bounds=[-3, 0, 7]),
    )
    assert made["id__item_id"] == ["i1", "i2", "i3", "i9", "i1", "i1"]
    assert made["id__author"] == ["x", "y", None, None, "x", "x"]
    assert made["combo__user__gender_x_item__category"] == ["f|toys", "f|books", None, None, None, None]
    log = [math.log(8), None, -math.log(4), None, math.log(8), math.log(8)]
    assert made["raw__item__click_count_log"] == approximately(log)
    assert made["raw__item__click_count_bucket"] == [2, None, 0, None, 2, 2]


def test_crosses_of_values_with_a_bar_stay_apart():
    columns = {"user__gender": ["a|b", "a"], "item__category": ["c", "b|c", None]}
    made = columns_of(
        Combo(op="combo", of=("user__gender", "item__category")), pairs=[("anna", "i1"), ("ben", "i2")],
        users=USERS | {"user__gender": columns["user__gender"]},
        items=ITEMS | {"item__category": columns["item__category"]},
    )  # fmt: skip
    assert made["combo__user__gender_x_item__category"] == ["a%7Cb|c", "a|b%7Cc"]


def test_a_day_without_lists_says_nothing_of_similarity():
    missing = columns_of(Similarity(op="similarity", of="etrec_i2i", last=2), neighbours=NEIGHBOURS.slice(0, 0))
    assert {value for values in missing.values() for value in values} == {None}


def test_no_pairs_no_users_and_no_items_make_no_trouble():
    every = [Lookup(op="lookup", of="category"), Match(op="match", of="title_words"), Text(op="text_overlap", last=2),
             Similarity(op="similarity", of="etrec_i2i", last=2), History(op="history"), TagOverlap(op="tag_overlap"),
             ]  # fmt: skip
    nobody, nothing = ({name: [] for name in side} for side in (USERS, ITEMS))
    texts = {"user_id", "user__gender", "item_id", "item__category", "author"}
    empty = [{n: pa.array([], pa.string()) if n in texts else v for n, v in side.items()} for side in (nobody, nothing)]
    made = columns_of(*every, users=empty[0], items=empty[1])
    assert {value for values in made.values() for value in values} == {None}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    counts=st.dictionaries(st.tuples(st.sampled_from(["u1", "u2", "u3"]), st.sampled_from("pqrs")), st.integers(1, 9)),
    attributes=st.dictionaries(st.sampled_from(["i1", "i2", "i3"]), st.lists(st.sampled_from("pqrs"), unique=True)),
    pairs=st.lists(st.tuples(st.sampled_from(["u1", "u2", "u4"]), st.sampled_from(["i1", "i2", "i9"])), min_size=1),
)  # fmt: skip
def test_a_lookup_is_what_dictionaries_say_whatever_pairs_stand_beside_it(counts, attributes, pairs):
    of_user = {u: [(v, float(n)) for (who, v), n in counts.items() if who == u] or None for u in ("u1", "u2", "u3")}
    users = {"user_id": list(of_user), "kv_tags_click": list(of_user.values())}
    users |= {"kv_tags_expr": [None] * 3, "total_tags": [1.0] * 3}
    items = {"item_id": pa.array(list(attributes), pa.string()), "at_tags": list(attributes.values())}
    lookup = Lookup(op="lookup", of="tags", stats=["cnt"])

    def by_hand(user, item):
        values = attributes.get(item) or []
        known = of_user.get(user)
        return None if not known or not values else np.float32(np.mean([counts.get((user, v), 0) for v in values]))

    together = columns_of(lookup, pairs=pairs, users=users, items=items)["cross__tags_cnt"]
    assert together == [by_hand(*pair) for pair in pairs]
    assert together[-1:] == columns_of(lookup, pairs=pairs[-1:], users=users, items=items)["cross__tags_cnt"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"op": "lookup", "of": "colour"}, "ranking.features[0] (lookup): of: 'colour' is none of features.preference"),
        ({"op": "combo", "of": ["user__gender", "item__colour"]}, "no text column 'item__colour'"),
        ({"op": "raw", "of": "item__weight", "transform": "log"}, "no number 'item__weight'"),
        ({"op": "raw", "of": "item__duration", "transform": "bucket"}, "bounds: given with transform bucket"),
        ({"op": "similarity", "of": "hot", "last": 2}, "'hot' is no recall that can be read so; there are: etrec_i2i"),
        ({"op": "recall_score", "of": "etrec_i2i"}, "there are: hot, etrec_u2i"),
        ({"op": "text_overlap", "last": 50}, "last: 50 items are asked for, features.preference.recent keeps 3"),
        ({"op": "days_since", "of": "item__pub"}, "'item__pub' is no numerical column"),
        ({"op": "match", "of": "category", "top": 11}, "11 values are asked for, features.preference.top keeps 10"),
        ({"op": "raw", "of": "cross__item_days_since", "transform": "log"}, "no number 'cross__item_days_since'"),
        ({"op": "nonsense"}, "nonsense"),
    ],
)
def test_a_line_that_cannot_work_is_refused_when_the_file_is_read(line, said):
    with pytest.raises(ValidationError) as refused:
        demo_solution(features={"preference": PREFERENCE}, ranking={"features": [line]}, recalls=RECALLS,
                      tables={"item": {"roles": {"tags": "tags"}}})  # fmt: skip
    assert said in str(refused.value)


def test_the_id_of_a_feature_list_follows_from_its_definitions():
    ids = [
        feature_list(solution_with(*operators)).id
        for operators in ((), (History(op="history"),), (Match(op="match", of="category"),),
                          (Match(op="match", of="category", top=2),), ())
    ]  # fmt: skip
    assert len(set(ids)) == 4 and ids[0] == ids[-1]


def test_lists_are_of_the_last_sunday_or_of_the_day_itself():
    weekly, daily = (RecallScore(op="recall_score", of="hot", every_days=n) for n in (7, 1))
    days = ["20261114", "20261115", "20261116", "20261121"]  # the 15th is a Sunday
    assert [list_day(ds, weekly) for ds in days] == ["20261108", "20261115", "20261115", "20261115"]
    assert [list_day(ds, daily) for ds in days] == days
