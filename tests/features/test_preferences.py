"""Preference rows from literal actions: tags and words count each, impressions beside the event, the last items."""

from __future__ import annotations

from jobs.features.preferences import constant_spans, preference_rows
from jobs.features.windows import windows_of
from jobs.lib.days import day_number
from tests.features.builders import ACTIONS, ITEMS, demo_solution, rows_of

FIRST, SECOND, THIRD = "20261101", "20261102", "20261103"
ITEM_ROWS = [
    (FIRST, "i1", "Red Car, a red Boat", None, None, "sea, a:b,,sea", "toys", None, None, None),
    (FIRST, "i2", " - ", None, None, None, None, None, None, None),
]
ACTED = [
    (FIRST, "u", "i1", "click", 2, 0, 0),
    (SECOND, "u", "i1", "expr", 3, 0, 0),
    (SECOND, "u", "i1", "praise", 1, 0, 0),
    (SECOND, "u", "i2", "click", 1, 0, 0),
    (THIRD, "u", "i1", "click", 1, 0, 0),
]


def test_each_value_counts_for_its_event_and_the_last_items_until_the_next_event_or_the_windows_end(spark):
    attributes = ["category", "tags", "title_words"]
    preference = {"window": 2, "top": 5, "attributes": attributes, "rates": True, "recent": 3}
    solution = demo_solution(
        features={"preference": preference}, ranking={"features": []}, tables={"item": {"roles": {"tags": "tags"}}}
    )
    windows = windows_of(solution, "user")
    names = [f"{kv.attribute}.{kv.event}" for kv in windows.kvs]
    spans = constant_spans(spark.createDataFrame(ITEM_ROWS, ITEMS), attributes, [FIRST, SECOND, THIRD])
    rows = rows_of(preference_rows(spark.createDataFrame(ACTED, ACTIONS), spans, windows), "day", "until", "cnt")
    first = day_number(FIRST)
    found: dict[str, set] = {name: set() for name in names}
    for row in rows:
        assert row["key"] == "u"
        for n, name in enumerate(names):
            if (value := row[f"value_{n}"]) is not None:
                found[name].add((value, row["day"] - first, row["until"] - first, row["cnt"]))
    clicked, shown = ((0, 2, 2), (2, 3, 1)), ((1, 3, 3),)  # spans end with the last day that is asked for
    values = {"category": ["toys"], "tags": ["sea", "a%3Ab"], "title_words": ["red", "car", "a", "boat"]}
    for attribute, of in values.items():
        assert found[f"{attribute}.click"] == {(value, *when) for value in of for when in clicked}
        assert found[f"{attribute}.expr"] == {(value, *when) for value in of for when in shown}
    # i1 is the last one from the 1st for two days, and again from the 3rd; cnt is the day itself
    assert found["recent.click"] == {("i1", 0, 2, first), ("i2", 1, 3, first + 1), ("i1", 2, 4, first + 2)}


def test_attributes_that_the_item_table_lacks_are_refused():
    import pytest
    from pydantic import ValidationError

    with pytest.raises(ValidationError, match="'colour' is none of the item table's: category, author, title_words"):
        demo_solution(features={"preference": {"attributes": ["colour"]}}, ranking={"features": None})
