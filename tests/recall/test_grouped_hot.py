"""Grouped hot: literal users and actions in, the whole lists out; keys as pairec builds them."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.lib.errors import RecflowError, SolutionError
from jobs.lib.solution import load_solution
from jobs.recall import grouped_hot as job
from jobs.recall.grouped_hot import Params, group_keys, grouped_hot
from tests.features.builders import ACTIONS, HOME_PAGE, demo_solution
from tests.recall.builders import layouts, table

DS = "20261121"
USERS = "user_id string, gender string, city string, age double"
ITEMS = "item_id string, listing_time bigint"
COLUMNS = ("group_key", "rank", "item_id", "score")
PLAIN = "target_uv"  # a formula whose scores can be counted on fingers


def params(**more):
    return Params(name="grouped_hot", job="grouped_hot", **{"formula": PLAIN, "min_users": 1, **more})


def clicks(*pairs):
    return [(DS, user, item, "click", 1, 0, 1) for user, item in pairs]


PEOPLE = [("f1", "f", "X", 20.0), ("f2", "f", "Y", 30.0), ("m1", "m", "X", 40.0), ("m2", "m", None, None)]
PEOPLE += [("idle", "d", "X", 99.0)]  # nobody of gender d did anything
ACTED = clicks(
    ("f1", "a"), ("f2", "a"), ("f1", "b"), ("m1", "b"), ("m2", "c"), ("m1", "c"), ("m1", "a"), ("unknown", "d")
)  # a 3 users, b 2, c 2, d 1


@pytest.fixture(scope="module")
def acted(spark):
    return spark.createDataFrame(ACTED, ACTIONS).persist()


@pytest.fixture(scope="module")
def people(spark):
    return spark.createDataFrame(PEOPLE, USERS).persist()


def lists(frame) -> dict[str, list]:
    listed = defaultdict(list)
    for key, rank, item, score in table(frame, *COLUMNS):
        listed[key].append((item, score))
        assert rank == len(listed[key])
    return dict(listed)


def test_a_group_has_its_own_order_and_everyones_items_below(acted, people):
    result = grouped_hot(acted, people, None, DS, demo_solution(), params(groups=[["gender"]], top_n=3))
    assert result.columns == ["group_key", "item_id", "score", "rank"]
    assert lists(result) == {
        "-1": [("a", 3.0), ("b", 2.0), ("c", 2.0)],
        "f": [("a", 2.0), ("b", 1.0), ("c", 0.0)],  # c: 1 below b, being the best that was left
        "m": [("c", 2.0), ("a", 1.0), ("b", 1.0)],
        "d": [("a", 3.0), ("b", 2.0), ("c", 2.0)],  # nothing of their own: everyone's
        "NULL": [("d", 1.0), ("a", 0.0), ("b", -1.0)],  # who acted but is no known user; a - b = 1 as for everyone
    }


def test_a_group_of_too_few_users_reads_everyones_list(spark, acted, people):
    more = acted.union(spark.createDataFrame([(DS, "idle", "a", "expr", 9, 0, 1)], ACTIONS))  # shown is not acted on
    more = more.union(spark.createDataFrame([(DS, "other", "a", "expr", 9, 0, 1)], ACTIONS))
    result = lists(grouped_hot(more, people, None, DS, demo_solution(), params(groups=[["gender"]], min_users=2)))
    assert result["m"] == [("c", 2.0), ("a", 1.0), ("b", 1.0), ("d", 0.0)]
    assert result["d"] == result["NULL"] == result["-1"] == [("a", 3.0), ("b", 2.0), ("c", 2.0), ("d", 1.0)]


def test_several_groupings_of_one_line_are_told_apart_and_numbers_are_bucketed(spark, people):
    line = params(groups=[["gender", "age"], ["city"], ["gender"]], buckets={"age": [18, 25]})
    ids = spark.createDataFrame([("f1",), ("m2",), ("nobody",), ("f1",)], "user_id string")
    assert table(group_keys(ids, people, demo_solution(), line), "user_id", "place", "group_key") == [
        ("f1", 1, "[gender+age]_f_18-25"), ("f1", 2, "[city]_X"), ("f1", 3, "[gender]_f"),
        ("m2", 1, "[gender+age]_m_NULL"), ("m2", 2, "[city]_NULL"), ("m2", 3, "[gender]_m"),
        ("nobody", 1, "[gender+age]_NULL_NULL"), ("nobody", 2, "[city]_NULL"), ("nobody", 3, "[gender]_NULL"),
    ]  # fmt: skip


def test_every_categorical_field_alone_is_the_default(people):
    keys = table(group_keys(people, people, demo_solution(), params()), "user_id", "group_key")
    assert [key for user, key in keys if user == "m2"] == ["[city]_NULL", "[gender]_m"]


def test_a_user_has_the_list_of_the_first_grouping(spark, acted, people):
    line = params(groups=[["gender"], ["city"]], top_n=2)
    listed = grouped_hot(acted, people, None, DS, demo_solution(), line)

    class Day:
        ds, solution = DS, demo_solution()
        actions, users, made = (lambda self, *_: acted), (lambda self: people), (lambda self, name: listed)

    columns = ("user_id", "rank", "item_id", "score")
    ids = spark.createDataFrame([("m2",), ("new",), ("idle",)], "user_id string")
    assert table(job.for_users(Day(), line, ids), *columns) == [
        ("idle", 1, "a", 3.0), ("idle", 2, "b", 2.0),
        ("m2", 1, "c", 2.0), ("m2", 2, "a", 1.0),
        ("new", 1, "d", 1.0), ("new", 2, "a", 0.0),
    ]  # fmt: skip
    assert {row[0] for row in table(job.for_users(Day(), line), *columns)} == {"f1", "f2", "m1", "m2", "unknown"}


AGES = [(-3.0, "<=-2"), (-2.5, "<=-2"), (-1.5, "-2-18"), (17.0, "-2-18"), (18.0, "-2-18"), (18.9, "-2-18")]
AGES += [(19.0, "18-60"), (60.0, "18-60"), (61.0, ">60"), (float("inf"), ">60"), (float("nan"), "NULL"), (None, "NULL")]


def test_an_equal_value_stays_in_the_lower_bucket_and_fractions_do_not_count(spark):
    users = spark.createDataFrame([(f"{n:02}", "g", "c", age) for n, (age, _) in enumerate(AGES)], USERS)
    line = params(groups=[["age"]], buckets={"age": [-2, 18, 60]})
    found = table(group_keys(users, users, demo_solution(), line), "user_id", "group_key")
    assert [key for _, key in found] == [key for _, key in AGES]
    one = params(groups=[["age"]], buckets={"age": [18]})
    assert {key for _, key in table(group_keys(users, users, demo_solution(), one), "user_id", "group_key")} == {
        "<=18", ">18", "NULL",
    }  # fmt: skip


def test_users_with_one_key_are_one_group_and_the_key_of_everyone_is_everyones(spark):
    users = spark.createDataFrame([("u1", "a_b", "c", 1.0), ("u2", "a", "b_c", 1.0)], USERS)
    acted = spark.createDataFrame(clicks(("u1", "x"), ("u2", "x"), ("u2", "y")), ACTIONS)
    merged = grouped_hot(acted, users, None, DS, demo_solution(), params(groups=[["gender", "city"]]))
    both = [("x", 2.0), ("y", 1.0)]
    assert lists(merged) == {"-1": both, "a_b_c": both, "NULL_NULL": both}
    coded = spark.createDataFrame([("u1", "-1", "c", 1.0), ("u2", "2", "c", 1.0)], USERS)
    alone = grouped_hot(acted, coded, None, DS, demo_solution(), params(groups=[["gender"]]))
    assert lists(alone) == {"-1": both, "2": [("x", 1.0), ("y", 1.0)], "NULL": both}


def test_only_items_on_offer_are_listed_also_below(spark, acted, people):
    on_offer = spark.createDataFrame([("b", None), ("d", None)], ITEMS)
    result = lists(grouped_hot(acted, people, on_offer, DS, demo_solution(), params(groups=[["gender"]])))
    assert result["-1"] == [("b", 2.0), ("d", 1.0)] and result["f"] == [("b", 1.0), ("d", 0.0)]


def test_order_and_partitions_change_nothing_and_no_actions_make_an_empty_list(spark, acted, people):
    line = params(groups=[["gender"], ["city"]], formula=job.hot.FORMULA)
    first, second = (
        table(grouped_hot(rows, users, None, DS, demo_solution(), line), *COLUMNS)
        for rows, users in zip(layouts(spark, ACTED, ACTIONS), layouts(spark, PEOPLE, USERS), strict=True)
    )
    assert first == second
    assert table(grouped_hot(acted.limit(0), people, None, DS, demo_solution(), line), *COLUMNS) == []


def reference(people, acts, line) -> dict[str, list]:
    """The definition, group by group."""
    key_of = {user: gender or "NULL" for user, gender, _, _ in people}
    everyone = defaultdict(set)
    for user, item in acts:
        everyone[item].add(user)
    members = defaultdict(set, {"NULL": set()})
    for user in {*key_of, *(user for user, _ in acts)}:
        members[key_of.get(user, "NULL")].add(user)

    def best(scores):
        return sorted(scores, key=lambda row: (-row[1], row[0]))[: line.top_n]

    result = {"-1": best([(item, float(len(users))) for item, users in everyone.items()])}
    for key, users in members.items():
        own = []
        if len(users & {user for user, _ in acts}) >= line.min_users:
            own = best([(item, float(len(users & by))) for item, by in everyone.items() if users & by])
        left = [row for row in result["-1"] if row[0] not in dict(own)]
        if own:
            left = [(item, own[-1][1] - 1 - (left[0][1] - score)) for item, score in left]
        result[key] = best(own + left)
    return {key: rows for key, rows in result.items() if rows}


GENDERS = st.lists(st.sampled_from(["f", "m", "d", None]), min_size=5, max_size=5)
ACTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=30)


@settings(max_examples=2, deadline=None, derandomize=True)
@given(genders=GENDERS, acts=ACTS, top_n=st.integers(1, 6), min_users=st.integers(1, 2))
def test_the_job_equals_the_reference(spark, genders, acts, top_n, min_users):
    rows = [(f"u{n}", gender, "X", 1.0) for n, gender in enumerate(genders)]  # u5 and u6 are in no table
    pairs = [(f"u{user}", f"i{item}") for user, item in acts]
    line = params(groups=[["gender"]], top_n=top_n, min_users=min_users)
    actions, users = spark.createDataFrame(clicks(*pairs), ACTIONS), spark.createDataFrame(rows, USERS)
    assert lists(grouped_hot(actions, users, None, DS, demo_solution(), line)) == reference(rows, pairs, line)


def test_more_groups_than_could_be_meant_are_refused_with_advice(acted, people, monkeypatch):
    monkeypatch.setattr(job, "MAX_GROUPS", 3)
    with pytest.raises(RecflowError, match=r"recalls \(grouped_hot\) ds=20261121: 4 groups, at most 3: group by fewer"):
        grouped_hot(acted, people, None, DS, demo_solution(), params(groups=[["gender"]]))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"groups": []}, "groups"),
        ({"groups": [[]]}, "groups"),
        ({"groups": [["city", "city"]]}, "names a field twice"),
        ({"groups": [["city"], ["city"]]}, "is there twice"),
        ({"groups": [["age"]], "buckets": {"age": []}}, "buckets"),
        ({"groups": [["age"]], "buckets": {"age": [25, 18]}}, "do not ascend"),
        ({"groups": [["age"]], "buckets": {"age": [18, 18]}}, "do not ascend"),
        ({"groups": [["age"]], "buckets": {"age": [18.5]}}, "buckets"),
        ({"groups": [["city"]], "buckets": {"age": [18]}}, "'age' is in none of the groups"),
        ({"min_users": 0}, "min_users"),
    ],
)
def test_parameters_out_of_range_are_refused(wrong, named):
    with pytest.raises(ValidationError, match=named):
        params(**wrong)


@pytest.mark.parametrize(
    ("line", "user", "named"),
    [
        ({"groups": [["colour"]]}, {}, "'colour' is not among tables.user.roles.categorical; allowed: gender, city"),
        ({"groups": [["age"]]}, {}, "'age' is not among .*; a number needs `buckets`"),
        ({"groups": [["city"]], "buckets": {"city": [1]}}, {}, "'city' is not among tables.user.roles.numerical"),
        ({}, {"categorical": []}, "has no categorical field"),
        ({}, None, "has no tables.user"),
    ],
)
def test_a_field_that_the_user_table_lacks_is_refused_when_the_solution_is_loaded(tmp_path, line, user, named):
    import yaml

    file = tmp_path / "solution.yaml"
    tables = HOME_PAGE["tables"]
    table = None if user is None else tables["user"] | {"roles": tables["user"]["roles"] | user}
    recalls = [{"name": "by_group", "job": "grouped_hot"} | line]
    file.write_text(
        yaml.safe_dump(
            HOME_PAGE | {"tables": tables | {"user": table}, "recalls": recalls, "publish": {"fallback": None}}
        )
    )
    with pytest.raises(SolutionError, match=rf"recalls\[by_group\]\.groups: .*{named}"):
        load_solution(file)
