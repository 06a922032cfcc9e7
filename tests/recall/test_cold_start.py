"""Cold start: ridge weights by hand, histories that are masked and found again, and what may not change a result."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError

from jobs.lib.errors import MissingPartition, SolutionError
from jobs.lib.tables import read_days, write_days
from jobs.recall import cold_start as job
from jobs.recall import vectors as vectors_job
from jobs.recall.attributes import described
from jobs.recall.cold_start import Params, cold_start
from tests.features.builders import ACTIONS, ITEMS, USERS, demo_solution
from tests.recall.builders import PAIRS, layouts, table
from tests.recall.test_vectors import ACTS

VECTORS = "side string, id string, vector array<double>"
TOKENS = "id string, tokens array<string>"
COLUMNS = ("user_id", "rank", "item_id", "score")
# Ridge by hand, one dimension and regularization 1: users start from the mean 2, f adds -0.5, m 0.5 (half of the
# difference of 1: each is one row against a regularization of 1); items start from 1.5, a adds -0.25, b 0.25.
KNOWN = [("user", "u1", [1.0]), ("user", "u2", [3.0]), ("item", "i1", [1.0]), ("item", "i2", [2.0])]
OF_USERS = [("u1", ["g=f"]), ("u2", ["g=m"]), ("u3", ["g=f"]), ("u4", ["g=x"])]
OF_ITEMS = [("i1", ["c=a"]), ("i2", ["c=b"]), ("i3", ["c=b"])]


def params(**more):
    return Params(name="cold_start", job="cold_start", source="vectors", **more)


def recalled(spark, p, users=OF_USERS, items=OF_ITEMS, active=(), seen=None, offered=None, known=KNOWN):
    found = cold_start(
        spark.createDataFrame(known, VECTORS),
        None if users is None else spark.createDataFrame(users, TOKENS),
        None if items is None else spark.createDataFrame(items, TOKENS),
        spark.createDataFrame([(user,) for user in active], "user_id string"),
        None if seen is None else spark.createDataFrame(seen, PAIRS),
        None if offered is None else spark.createDataFrame([(item,) for item in offered], "item_id string"),
        p,
    )
    return table(found, *COLUMNS)


def test_weights_and_scores_by_hand(spark):
    assert recalled(spark, params(regularization=1), active=["u1", "u5", "u5"]) == [
        ("u1", 1, "i3", 1.75),
        ("u2", 1, "i3", 3 * 1.75),
        ("u3", 1, "i2", 1.5 * 2), ("u3", 2, "i3", 1.5 * 1.75), ("u3", 3, "i1", 1.5),
        ("u4", 1, "i2", 4.0), ("u4", 2, "i3", 3.5), ("u4", 3, "i1", 2.0),  # x is new: the average user
        ("u5", 1, "i2", 4.0), ("u5", 2, "i3", 3.5), ("u5", 3, "i1", 2.0),  # not in the user table
    ]  # fmt: skip


def test_seen_items_and_items_not_on_offer_are_left_out_and_lists_end(spark):
    p, seen = params(regularization=1, recall_count=1), [("u3", "i2"), ("u3", "i2"), ("u2", "i3"), ("u9", "i1")]
    assert recalled(spark, p, seen=seen, offered=["i2", "i3"]) == [
        ("u1", 1, "i3", 1.75), ("u3", 1, "i3", 1.5 * 1.75), ("u4", 1, "i2", 4.0)
    ]  # fmt: skip
    assert [row[0] for row in recalled(spark, params(new_items=0))] == ["u3"] * 3 + ["u4"] * 3


def test_without_a_user_table_the_cold_are_average_and_without_an_item_table_nothing_is_new(spark):
    p = params(regularization=1)
    assert recalled(spark, p, users=None, active=["u1", "u7"]) == [
        ("u1", 1, "i3", 1.75), ("u2", 1, "i3", 5.25),
        ("u7", 1, "i2", 4.0), ("u7", 2, "i3", 3.5), ("u7", 3, "i1", 2.0),
    ]  # fmt: skip
    assert recalled(spark, p, users=OF_USERS[:3], items=None) == [("u3", 1, "i2", 3.0), ("u3", 2, "i1", 1.5)]


def test_without_vectors_nobody_is_served(spark, caplog):
    assert recalled(spark, params(), known=[]) == []
    assert "nothing to learn from" in caplog.text


def test_only_the_most_frequent_attributes_count_and_that_is_said(spark, caplog):
    users = [(user, [*tokens, "all"]) for user, tokens in OF_USERS]
    with caplog.at_level("INFO", logger="recflow"):
        found = recalled(spark, params(max_features=1), users=users, items=None)
    assert {row[3] for row in found if row[0] == "u3"} == {2.0, 4.0}  # `all` tells nothing
    assert "users: of 3 attribute values the 1 most frequent count" in caplog.text


def test_attributes_become_tokens(spark):
    tables = demo_solution(tables={"item": {"roles": {"tags": "tags"}}}).tables
    items = [
        ("20261121", "1", "t", "7", 0, " jazz, pop,,jazz", "m", 30.0, 0.0, -3.0),
        ("20261121", "2", None, None, None, None, None, None, float("nan"), float("inf")),
    ]
    found = table(described(spark.createDataFrame(items, ITEMS), tables.item, "item_id"), "id", "tokens")
    assert found == [
        ("1", ["category=m", "author=7", "duration~9", "click_count~0", "praise_count~-4", "tags:jazz", "tags:pop"]),
        ("2", ["category=", "author=", "duration~", "click_count~", "praise_count~", "tags:"]),
    ]  # fmt: skip
    users = [("20261121", "1", 0, None, "female", "Oslo", 30.0, 1.0, 2.0, 3.0)]
    found = table(described(spark.createDataFrame(users, USERS), tables.user, "user_id"), "tokens")
    assert found == [
        (["gender=female", "city=Oslo", "age~9", "item_cnt~2", "follow_cnt~3", "follower_cnt~4", "tags:"],)
    ]


# A planted world: a user's city is their taste, an item's category the taste that it is for; some items appeal to all.
PLANTED = np.random.default_rng(11)
TASTE, KIND = np.arange(120) % 4, np.arange(80) % 4
APPEAL = PLANTED.uniform(0.5, 2, 80)
LIKED = []
for liker in range(120):
    pull = np.where(TASTE[liker] == KIND, 8, 1) * APPEAL
    LIKED += [(liker, int(item)) for item in PLANTED.choice(80, 15, replace=False, p=pull / pull.sum())]
MASKED_USERS, MASKED_ITEMS = set(range(0, 120, 11)), set(range(0, 80, 9))


@pytest.fixture(scope="module")
def masked(spark):
    """The lists of the planted world where a tenth of the users and of the items has no history."""
    tables = demo_solution().tables
    users = [("20261121", f"u{n}", 0, None, "x", f"city {TASTE[n]}", 30.0, 0.0, 0.0, 0.0) for n in range(120)]
    items = [("20261121", f"i{n}", "t", f"a{n % 20}", 0, None, f"kind {KIND[n]}", 9.0, 0.0, 0.0) for n in range(80)]
    acts = [(f"u{u}", f"i{i}", 1.0, 0) for u, i in LIKED if u not in MASKED_USERS and i not in MASKED_ITEMS]
    learned = vectors_job.vectors(
        spark.createDataFrame(acts, ACTS), vectors_job.Params(name="v", job="vectors", factors=8)
    ).persist()
    of_users = described(spark.createDataFrame(users, USERS), tables.user, "user_id")
    of_items = described(spark.createDataFrame(items, ITEMS), tables.item, "item_id")
    return learned, of_users, of_items, spark.createDataFrame([], "user_id string")


@pytest.fixture(scope="module")
def lists(masked):
    found: dict[int, list[int]] = {}
    for user, _, item in table(cold_start(*masked, None, None, params()), "user_id", "rank", "item_id"):
        found.setdefault(int(user[1:]), []).append(int(item[1:]))
    return found


def test_users_whose_history_is_masked_are_found_better_than_by_what_is_popular(lists):
    popular = [i for i, _ in Counter(i for u, i in LIKED if u not in MASKED_USERS).most_common(15)]
    liked = {user: {i for u, i in LIKED if u == user} for user in MASKED_USERS}
    by_list = sum(len(liked[user] & set(lists[user][:15])) for user in MASKED_USERS)
    by_popularity = sum(len(liked[user] & set(popular)) for user in MASKED_USERS)
    assert by_list > 1.5 * by_popularity > 0


def test_items_whose_history_is_masked_are_found_for_the_right_users(lists):
    """Users get three of the nine new items: by chance they would be a third of those that they like."""
    wanted = [(u, i) for u, i in LIKED if i in MASKED_ITEMS and u not in MASKED_USERS]
    hits = sum(i in lists.get(u, [])[:3] for u, i in wanted)
    assert all(set(lists[u]) <= MASKED_ITEMS for u in lists if u not in MASKED_USERS)
    assert hits > 1.8 * len(wanted) * 3 / len(MASKED_ITEMS)


def test_order_and_partitions_change_no_bit(spark, masked):
    learned, of_users, of_items, active = masked
    expected = table(cold_start(*masked, None, None, params()), *COLUMNS)
    rows = [tuple(row) for row in learned.select("side", "id", "vector").collect()]
    for parts, again in enumerate(layouts(spark, rows, VECTORS), 3):
        shuffled = of_users.repartition(parts), of_items.repartition(parts + 1)
        assert table(cold_start(again, *shuffled, active, None, None, params()), *COLUMNS) == expected


@pytest.fixture
def stored(spark, warehouse):
    """Tables of one day: u1 and u2 acted on items 1 and 2, u3 was shown one, item 3 is new."""
    lines = [{"name": "vectors", "job": "vectors"}, {"name": "cold_start", "job": "cold_start", "source": "vectors"}]
    solution, ds = demo_solution(recalls=lines), "20261121"
    acted = [(ds, user, item, "click", 1, 0, 1) for user in ("1", "2") for item in ("1", "2")]
    acted += [(ds, "3", "1", "expr", 1, 0, 1)]
    write_days(spark.createDataFrame(acted, ACTIONS), "home_page_actions_daily", [ds], "actions_daily")
    item = "item_id bigint, duration double, title string, category string, author bigint, click_count bigint, "
    item += "praise_count bigint, pub_time bigint, ds string"
    rows = [(n, 1.0, "t", "c", 1, 0, 0, 1_700_000_000, ds) for n in (1, 2, 3)]
    write_days(spark.createDataFrame(rows, item), solution.tables.item.table, [ds], solution.tables.item.table)
    user = "user_id bigint, gender string, age bigint, city string, item_cnt bigint, follow_cnt bigint, "
    user += "follower_cnt bigint, register_time bigint, tags string, ds string"
    rows = [(n, "female", 30, "c", 0, 0, 0, 1_700_000_000, "a,b", ds) for n in (1, 2, 3, 4)]
    write_days(spark.createDataFrame(rows, user), solution.tables.user.table, [ds], solution.tables.user.table)
    return solution, ds


def test_the_nodes_write_their_tables(stored):
    solution, ds = stored
    for name, module in (("vectors", vectors_job), ("cold_start", job)):
        node = solution.node(name)
        assert all(table.startswith(("home_page", "rec_sln")) for table, _ in module.reads(ds, solution, node).needs)
        module.main([ds], solution, node)
    found = table(read_days("home_page_cold_start", [ds]), "user_id", "rank", "item_id")
    assert found == [
        ("1", 1, "3"), ("2", 1, "3"),
        ("3", 1, "1"), ("3", 2, "2"), ("3", 3, "3"),
        ("4", 1, "1"), ("4", 2, "2"), ("4", 3, "3"),
    ]  # fmt: skip
    with pytest.raises(MissingPartition, match="home_page_vectors has no partition ds=20261122"):
        job.main(["20261122"], solution, solution.node("cold_start"))


def test_without_any_attributes_there_is_no_recall():
    solution = demo_solution(
        recalls=[{"name": "v", "job": "vectors"}, {"name": "c", "job": "cold_start", "source": "v"}]
    )
    bare = solution.model_copy(update={"tables": solution.tables.model_copy(update={"user": None, "item": None})})
    with pytest.raises(SolutionError, match=r"recalls \(c\): .* neither a user nor an item table"):
        job.recalled(job.inputs.Day(bare, "20261121"), bare.node("c").params)


@pytest.mark.parametrize(
    "wrong", [{"recall_count": 0}, {"new_items": -1}, {"regularization": 0}, {"max_features": 4001}, {"source": None}]
)
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        Params(**{"name": "cold_start", "job": "cold_start", "source": "vectors"} | wrong)
