"""The filters' language: what it means, missing values included, and what it refuses and where."""

from __future__ import annotations

import ast
import operator

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.lib.expression import parsed
from jobs.lib.expression_tree import NUMBER, TAGS, TEXT, Leaf, Names, possible
from jobs.ranking.conditions import is_true
from tests.features.builders import demo_solution

NAMES = Names(
    {
        "item": {"stock": NUMBER, "price": NUMBER, "category": TEXT, "odd name": TEXT},
        "user": {"age": NUMBER, "tags": TAGS, "city": TEXT},
        "context": {"weekday": NUMBER},
    },
    ("click", "buy it"),
)
COLUMNS = {
    "item.stock": pa.array([0.0, 5.0, None, float("nan")]),
    "item.price": pa.array([2.0, 0.0, float("inf"), -0.0]),
    "item.category": pa.array(["adult", "toys", None, "jazz"]),
    "item.odd name": pa.array(["x", "x", "x", None]),
    "user.age": pa.array([17.0, None, 40.0, 18.0]),
    "user.tags": pa.array([["toys", "jazz"], [], None, ["jazz"]], pa.list_(pa.string())),
    "user.city": pa.array(["Oslo", "Oslo", None, "Bergen"]),
    "context.weekday": pa.array([5.0] * 4),
    "days_since.click.30": pa.array([0.0, 30.0, None, 7.0]),
    "days_since.click.60": pa.array([0.0, 30.0, 60.0, 7.0]),
    "count.buy it.7": pa.array([0.0, 1.0, 2.0, 3.0]),
}


def column(leaf):
    return COLUMNS[".".join(map(str, leaf[: 3 if leaf.days else 2]))]


def where(text):
    """Of the four rows, which it is true of."""
    return "".join("10"[not found] for found in is_true(parsed(text, NAMES), column, 4))


@pytest.mark.parametrize(("text", "rows"), [
    ("item.stock <= 0", "1000"),
    ("not item.stock <= 0", "0100"),
    ("item.category = 'toys'", "0100"),
    ("item.stock is missing", "0011"),
    ("item.stock is not missing", "1100"),
    ("user.age < 18 and item.category in ['adult']", "1000"),
    ("user.age is missing or user.age < 18", "1100"),
    ("item.category in user.tags", "0001"),
    ("item.category not in user.tags", "1100"),
    ('"jazz" in user.tags', "1001"),
    ("item.stock / item.price == 0", "1000"),
    ("1 / item.price is missing", "0111"),
    ("item.price * 2 - 1 >= -item.price + 5", "1000"),
    ("2 + 2 * 2 == 6", "1111"),
    ("(2 + 2) * 2 == 6", "0000"),
    ("-1 * -1 == 1 and .5 == 5e-1", "1111"),
    ("item.price in [0, 7]", "0101"),
    ("user.city == item.`odd name` or user.city != 'Oslo'", "0001"),
    ("days_since(click) <= 30", "1101"),
    ("days_since(click, 60) > 30", "0010"),
    ("30 > days_since(click, 30) or days_since(click) >= 30 or days_since(click) in [30]", "1101"),
    ("count('buy it', 7) >= 2", "0011"),
    ("context.weekday >= 5", "1111"),
    ("item.stock > 1 or true", "1111"),
    ("not (item.stock > 1 and false)", "1111"),
    ("true and item.stock > 1\n  or false", "0100"),
    ("false or true and false", "0000"),
])  # fmt: skip
def test_what_expressions_are_true_of(text, rows):
    assert where(text) == rows


@pytest.mark.parametrize(("text", "said"), [
    ("item.categry == 'x'", "item has no column 'categry' at column 6; there are: stock, price, category, odd name"),
    ("item.category == 3", "== at column 15 cannot compare text with a number"),
    ("item.category < 'b'", "a side of < must be a number: column 1 is text"),
    ("item.stock", "the whole expression must be true or false: column 1 is a number"),
    ("1 < 2 < 3", "and, or, or the end expected at column 7, not '<'"),
    ("days_since(click) <= 31", "days_since(click) at column 1 looks back 30 days: write days_since(click, 31)"),
    ("days_since(click) > 30", "days_since(click) at column 1 looks back 30 days: write days_since(click, 31)"),
    ("30.5 < days_since(click)", "days_since(click) at column 8 looks back 30 days: write days_since(click, 31)"),
    ("days_since(click, 7) in [1, 8]", "days_since(click) at column 1 looks back 7 days: write days_since(click, 8)"),
    ("days_since(click, 0) <= 1", "a whole number of days from 1 to 400 expected at column 19"),
    ("count(click) > 1", "',' expected at column 12, not ')'"),
    ("count(klick, 3) > 1", "unknown event 'klick' at column 7; allowed: click, buy it"),
    ("__import__('os')", "unknown name '__import__' at column 1; allowed: item.<column>, user.<column>, context."),
    ("item.__class__ == 'x'", "item has no column '__class__' at column 6"),
    ("item.stock in [1, 'a']", "a list holds text only or numbers only: column 19 is text"),
    ("item.stock in [item.price]", "a list holds text and numbers as written, not a number at column 16"),
    ("item.stock in ['a']", "`in` at column 12 takes text and a list of text"),
    ("item.stock in []", "a value expected at column 16, not ']'"),
    ("'é' == item.category and item.stok > 0", "item has no column 'stok' at column 31"),
    ("(item.stock > 0", "')' expected at column 16, not the end"),
    ("item.category == 'x", "text that is not closed at column 18"),
    ("user.tags == 'x'", "== at column 11 cannot compare tags with text"),
    ("not item.stock", "what `not` turns round must be true or false: column 5 is a number"),
    ("item.stock is nothing", "'missing' expected at column 15, not 'nothing'"),
    ("", "a value expected at column 1, not the end"),
    ("item.stock > 1e999", "the number at column 14 is too large"),
    ("(" * 31 + "true" + ")" * 31, "nested deeper than 30 levels at column 31"),
    ("not " * 31 + "true", "nested deeper than 30 levels"),
    ("1 + " * 30 + "1 > 0", "more than 30 terms in a row"),
    ("true " * 1000, "the expression has 5000 characters; allowed: 4000"),
])  # fmt: skip
def test_anything_else_is_refused_by_column(text, said):
    with pytest.raises(ValueError) as refused:
        parsed(text, NAMES)
    assert said in str(refused.value)


NUMBERS = st.sampled_from(["item.stock", "item.price", "user.age", "0", "2", "5.5"])
TEXTS = st.sampled_from(["item.category", "user.city", "'toys'", "'Oslo'"])
COMPARED = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
COMPARING = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
             ">=": operator.ge}  # fmt: skip
computed = st.recursive(NUMBERS, lambda part: st.tuples(part, st.sampled_from("+-*/"), part), max_leaves=4)
compared = st.one_of(
    st.tuples(computed, COMPARED, computed),
    st.tuples(TEXTS, st.sampled_from(["==", "!="]), TEXTS),
    st.tuples(TEXTS, st.sampled_from(["in", "not in"]), st.sampled_from(["user.tags", "['toys', 'Oslo']"])),
    st.tuples(st.one_of(computed, TEXTS), st.sampled_from(["is missing", "is not missing"])),
)
conditions = st.recursive(
    compared,
    lambda part: st.one_of(st.tuples(part, st.sampled_from(["and", "or"]), part), st.tuples(st.just("not"), part)),
)


def text_of(tree):
    return tree if isinstance(tree, str) else "(" + " ".join(text_of(part) for part in tree) + ")"


def value_of(tree, row):
    """The plain reading, one row at a time; None is missing."""
    if isinstance(tree, str):
        if tree in COLUMNS:
            found = COLUMNS[tree][row].as_py()
            return None if isinstance(found, float) and not abs(found) < float("inf") else found
        return tree in ("and", "or", "not") or ast.literal_eval(tree)
    if len(tree) == 2:
        if tree[0] == "not":
            found = value_of(tree[1], row)
            return None if found is None else not found
        return (value_of(tree[0], row) is None) == (tree[1] == "is missing")
    left, sign, right = value_of(tree[0], row), tree[1], value_of(tree[2], row)
    if sign in ("and", "or"):
        decides = sign == "or"
        if decides in (left, right):
            return decides
        return None if None in (left, right) else not decides
    if left is None or right is None:
        return None
    if sign in ("in", "not in"):
        return (left in right) == (sign == "in")
    if sign in COMPARING:
        return COMPARING[sign](left, right)
    return None if sign == "/" and right == 0 else ARITHMETIC[sign](left, right)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(conditions)
def test_an_expression_says_what_a_plain_reading_says(tree):
    expected = "".join("10"[value_of(tree, row) is not True] for row in range(4))
    assert where(text_of(tree)) == expected


UNKNOWN = Leaf("user", "age")


@settings(derandomize=True, max_examples=200, deadline=None)
@given(conditions)
def test_what_is_possible_covers_every_value_of_what_is_unknown(tree):
    condition = parsed(text_of(tree), NAMES)
    covers = is_true(possible(condition, [UNKNOWN]), column, 4)
    for value in (None, -1.0, 0.0, 2.0, 5.5, 40.0):
        ages = pa.array([value] * 4, pa.float64())
        found = is_true(condition, lambda leaf, ages=ages: ages if leaf == UNKNOWN else column(leaf), 4)
        assert (covers | ~found).all()
    if UNKNOWN not in condition.leaves():
        assert (covers == found).all()


def test_what_is_possible_keeps_what_is_known():
    text = "not (user.age >= 18 or item.stock > 0 and not item.price > 1) and not (user.age < 5 and item.stock == 5)"
    condition = possible(parsed(text, NAMES), [UNKNOWN])
    for stock, covers in ((0.0, True), (5.0, False)):  # not (stock > 0 and not price > 1), whatever the age
        known = {"item.stock": pa.array([stock]), "item.price": pa.array([1.0])}
        found = is_true(condition, lambda leaf, known=known: known[".".join(leaf[:2])], 1)
        assert found.tolist() == [covers]


@pytest.mark.parametrize(("publish", "said"), [
    ({"filters": [{"name": "a", "exclude": "true"}, {"name": "b", "only": "item.stok > 0"}]},
     "publish.filters[1] (b): item has no column 'stok' at column 6; there are: item_id, title, author, category"),
    ({"filters": [{"name": "a", "exclude": "true", "only": "true"}]}, "give either `exclude` or `only`"),
    ({"filters": [{"name": "a", "exclude": "true"}] * 2}, "publish.filters: the name 'a' is used twice"),
    ({"filters": [{"name": "banned", "exclude": "true"}]}, "publish.filters: the name 'banned' is taken"),
    ({"rerank": {"diversity": {"by": "title"}}}, "publish.rerank.diversity.by: 'title' is no kind of item; allowed: a"),
    ({"rerank": {"pinned": [{"item": "1", "place": 21}]}}, "rerank.pinned[0].place: 21 is beyond publish.top_n"),
    ({"rerank": {"pinned": [{"item": "1", "place": 1, "users": "item.duration > 1"}]}},
     "publish.rerank.pinned[0].users: unknown name 'item' at column 1; allowed: user.<column>, context.<column>"),
    ({"rerank": {"pinned": [{"item": "1", "place": 1}], "banned": ["1"]}}, "rerank.pinned[0].item: '1' is banned"),
    ({"rerank": {"pool": 19, "freshness": {"weight": 1}}}, "publish.rerank.pool: 19 is below publish.top_n, 20"),
])  # fmt: skip
def test_a_solution_is_refused_by_path(publish, said):
    with pytest.raises(ValidationError) as refused:
        demo_solution(publish=publish)
    assert said in str(refused.value)


def test_filters_make_a_node_and_keep_the_days_that_they_look_back_on():
    from jobs.lib.retention import needed_days

    assert "filtered" not in [node.name for node in demo_solution().nodes()]
    asked = demo_solution(publish={"filters": [{"name": "a", "exclude": "days_since(click, 99) <= 3"}]})
    assert asked.node("recommendations").inputs == ("rank_model", "candidates", "filtered")
    assert needed_days(asked, "actions_daily") == 99 + 1 + 1
    assert "filtered" in [node.name for node in demo_solution(publish={"rerank": {"banned": ["1"]}}).nodes()]
