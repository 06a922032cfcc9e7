"""Candidates to lists: filters, fill-ups, pins and re-rank, against a plain reading of the solution."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from jobs.lib import list_params
from jobs.ranking import fill_ups, filters
from jobs.ranking import recommendations as rec
from jobs.ranking.filtered import filtered
from jobs.ranking.filters import removed_for_strangers
from jobs.recall.inputs import Day
from tests.features.builders import ACTIONS, ITEMS, USERS, demo_solution, rows_of
from tests.ranking.builders import at as moment

DS = "20261120"
CANDIDATES = (
    "user_id string, item_id string, score double, rank int, sources array<struct<recall:string,score:double,rank:int>>"
)
HOT = "group_key string, item_id string, score double, rank int"
FILTERS = [
    {"name": "clicked_recently", "exclude": "days_since(click, 5) <= 5 or count(praise, 3) > 1"},
    {"name": "out_of_stock", "exclude": "item.duration <= 0"},
    {"name": "adults", "exclude": 'user.age < 18 and item.category in ["adult"]'},
    {"name": "theirs", "only": "item.category in user.tags or user.tags is missing or context.weekday != 5"},
]
TOP_N = 6


@dataclass(frozen=True)
class Made(Day):
    """A day whose tables are in memory."""

    frames: dict = field(default_factory=dict)

    def actions(self, days):
        from jobs.lib.days import window
        from jobs.lib.spark import F

        return self.frames["actions"].where(F.col("ds").isin(window(self.ds, days)))

    def items(self):
        return self.frames["items"]

    def users(self):
        return self.frames["users"]

    def made(self, name):
        return self.frames[name]


def world():
    """Plain rows: users, items, actions, candidates and the hot list."""
    rng = random.Random(5)
    users = {f"u{n}": {"age": rng.choice([12, 30, None]), "tags": rng.choice(["adult, toys", "games", "", None])}
             for n in range(8)}  # fmt: skip
    items = {
        f"i{n:02}": {
            "category": rng.choice(["adult", "toys", "games", None]),
            "duration": rng.choice([0.0, 5.0, None]),
            "listed": rng.choice([None, *range(1, 15)]),
        }
        for n in range(30)
    }
    acts = {(f"u{rng.randrange(8)}", f"i{rng.randrange(32):02}", rng.choice(["click", "praise", "expr"]),
             rng.randrange(13, 21)): rng.choice([1, 2]) for _ in range(90)}  # fmt: skip
    acts |= {(user, "i00", "expr", 20): 1 for user in users}
    chosen = {user: rng.sample(sorted(items), rng.choice([0, 3, 8, 20])) for user in users}
    return SimpleNamespace(users=users, items=items, acts=acts, candidates=chosen, hot=rng.sample(sorted(items), 8))


def values(item):
    return item["category"], item["duration"]


def day(spark, solution, told, **more):
    frames = {
        "users": [
            (DS, user, None, of["tags"], "f", "Oslo", of["age"] and float(of["age"]), 0.0, 0.0, 0.0)
            for user, of in told.users.items()
        ],
        "items": [
            (DS, item, None, "a", of["listed"] and moment(of["listed"], 12), None, *values(of), 0.0, 0.0)
            for item, of in told.items.items()
        ],
        "actions": [
            (f"202611{day:02}", user, item, event, cnt, 0, moment(day, 12))
            for (user, item, event, day), cnt in told.acts.items()
        ],
        "candidates": [
            (user, item, 1 - n / 100, n + 1, [("i2i", 0.5, 1)])
            for user, items in told.candidates.items()
            for n, item in enumerate(items)
        ],
        "hot": [("-1", item, 9.0 - n, n + 1) for n, item in enumerate(told.hot)],
    }
    schemas = {"users": USERS, "items": ITEMS, "actions": ACTIONS, "candidates": CANDIDATES, "hot": HOT}
    made = {name: spark.createDataFrame(rows, schemas[name]) for name, rows in frames.items()}
    return Made(solution, DS, {**made, **more})


def removed_by(told, user, item):
    """The filters that remove a pair, read off the solution by hand. ds + 1 is a Saturday: weekday 5."""
    age, tags = told.users[user]["age"], told.users[user]["tags"]
    category, duration = told.items[item]["category"], told.items[item]["duration"]
    found = []
    clicks = [20 - d for (u, i, event, d) in told.acts if (u, i, event) == (user, item, "click") and 20 - d <= 5]
    praises = sum(n for (u, i, event, d), n in told.acts.items() if (u, i, event) == (user, item, "praise") and d > 17)
    if clicks or praises > 1:
        found.append("clicked_recently")
    if duration == 0:
        found.append("out_of_stock")
    if age == 12 and category == "adult":
        found.append("adults")
    if tags is not None and category is not None and category not in [tag.strip() for tag in tags.split(",")]:
        found.append("theirs")
    return found + (["banned"] if item == "i29" else [])


def list_of(told, user):
    """Candidates that are left, then the hot list, then the catalog, the newest first."""
    seen = {i for (u, i, event, _) in told.acts if u == user and event != "expr"}
    newest = sorted(told.items, key=lambda item: (-(told.items[item]["listed"] or 0), item))
    own = [(item, "i2i") for item in told.candidates[user]]
    others = [(item, "hot_fallback") for item in told.hot] + [(i, "catalog") for i in newest if i not in told.hot]
    found = {item: source for item, source in own if not removed_by(told, user, item)}
    for item, source in others:
        if len(found) < TOP_N and item not in found and item not in seen and item not in told.candidates[user]:
            found |= {} if removed_by(told, user, item) else {item: source}
    return list(found.items())[:TOP_N]


def solution_of(**rerank):
    recalls = [{"name": "hot", "job": "hot"}, {"name": "hot_fallback", "job": "hot_fallback", "source": "hot"}]
    publish = {"top_n": TOP_N, "seen_days": 30, "fallback": "hot_fallback", "filters": FILTERS}
    return demo_solution(recalls=recalls, publish={**publish, "rerank": {"banned": ["i29"], **rerank}})


@pytest.fixture(scope="module")
def stored(spark, tmp_path_factory):
    told, solution = world(), solution_of()
    at = day(spark, solution, told)
    found = filters.lookup(at, [], list_params.rules(solution), {"hour": None, "weekday": 5})
    removed = filtered(at.made("candidates").select("user_id", "item_id"), at, found).persist()
    return told, removed


def test_each_filter_removes_what_its_expression_is_true_of(stored):
    told, removed = stored
    expected = [(user, item, name) for user, items in told.candidates.items() for item in items
                for name in removed_by(told, user, item)]  # fmt: skip
    assert [tuple(r.values()) for r in rows_of(removed, "user_id", "item_id", "filter")] == sorted(expected)
    assert {name for *_, name in expected} == {line["name"] for line in FILTERS} | {"banned"}


def test_lists_are_full_again_and_hold_nothing_that_a_filter_removes(spark, warehouse, stored):
    told, removed = stored
    lists = rows_of(rec.lists_of(day(spark, solution_of(), told, filtered=removed)), "user_id", "rank")
    expected = [(user, n + 1, item, source) for user in sorted(told.users)
                for n, (item, source) in enumerate(list_of(told, user))]  # fmt: skip
    assert [(r["user_id"], r["rank"], r["item_id"], r["sources"][0]["recall"]) for r in lists] == expected
    assert {source for *_, source in expected} == {"i2i", "hot_fallback", "catalog"}
    assert all(r["rank"] == r["model_rank"] and r["moves"] == [] for r in lists)


def test_pins_and_rerank_keep_the_filters_however_rows_lie(spark, warehouse, stored):
    told, removed = stored
    solution = solution_of(
        diversity={"by": "category", "window": 2, "most": 1},
        new_items={"share": 0.3, "days": 9},
        pinned=[
            {"item": "i22", "place": 2, "users": "user.age < 18"},
            {"item": "i08", "place": 1},
            {"item": "i99", "place": 3},
        ],
    )  # fmt: skip
    at = day(spark, solution, told, filtered=removed)
    made = rec.lists_of(at)
    lists = rows_of(made, "user_id", "rank")
    by_user = {user: [r for r in lists if r["user_id"] == user] for user in told.users}
    for user, rows in by_user.items():
        assert all(not removed_by(told, user, r["item_id"]) for r in rows)
        assert [r["rank"] for r in rows] == list(range(1, len(rows) + 1))
        assert len(rows) >= len(list_of(told, user)) and len({r["item_id"] for r in rows}) == len(rows)
        pinned = {r["item_id"]: r["rank"] for r in rows if r["moves"] == ["pinned"]}
        wanted = {"i08": 1} | ({"i22": 2} if told.users[user]["age"] == 12 else {})
        assert pinned == {item: place for item, place in wanted.items() if not removed_by(told, user, item)}
    assert {move for r in lists for move in r["moves"]} >= {"pinned", "diversity"}
    counts = {item: sum(r["item_id"] == item and r["moves"] == ["pinned"] for r in lists) for item in ("i22", "i08")}
    assert rec.pin_counts(spark.createDataFrame(lists, made.schema), at) == [
        ("i22", counts["i22"], True), ("i08", counts["i08"], True), ("i99", 0, False)
    ]  # fmt: skip
    assert counts["i22"] and counts["i08"]
    (both,) = [r for r in by_user["u5"] if r["item_id"] == "i22"]  # a candidate that is pinned keeps its sources
    assert [(source["recall"], source["rank"]) for source in both["sources"]] == [("i2i", 1), ("pinned", 2)]
    shuffled = [frame.orderBy(frame.columns[-1]).repartition(3) for frame in at.frames.values()]
    again = Made(solution, DS, dict(zip(at.frames, shuffled, strict=True)))
    assert rows_of(rec.lists_of(again), "user_id", "rank") == lists


def test_what_a_stranger_is_not_shown_counts_whatever_hour_it_is(spark):
    told = world()
    rules = [
        {"name": "late", "exclude": 'not (context.hour < 22 or item.category != "adult")'},
        {"name": "shy", "only": 'user.age is not missing or item.category != "games"'},
        {"name": "weekly", "exclude": 'context.weekday != 5 and item.category == "toys"'},
        {"name": "old_friends", "exclude": 'count(click, 3) > 0 or days_since(click) > 9 or user.user_id == "u1"'},
    ]
    at = day(spark, demo_solution(publish={"filters": rules}), told)
    expected = {item for item, of in told.items.items() if of["category"] in ("adult", "games")}
    assert removed_for_strangers(at.items(), at) == expected


def test_hot_items_that_fill_a_list_up_are_on_offer(spark):
    hot = spark.createDataFrame([("-1", "a", 3.0, 1), ("-1", "gone", 2.0, 2), ("f", "b", 9.0, 1)], HOT)
    offered = spark.createDataFrame([("a",), ("b",)], "item_id string")
    rows = rows_of(fill_ups.offers(hot, None, 5, offered), "item_id")
    assert [(r["item_id"], r["hot_rank"], r["hot_score"]) for r in rows] == [("a", 1, 3.0)]
    assert len(rows_of(fill_ups.offers(hot, None, 5), "item_id")) == 2  # nobody says what is on offer
