"""The window kernel: a range equals day by day equals a slow reference, bit for bit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.features import window_kernel
from jobs.features import windows as w
from jobs.features.window_kernel import features_of, order_of
from tests.features import reference
from tests.features.builders import demo_solution

FIRST = 20_000  # day number of the first day asked for

WINDOWS = w.Windows(
    side="user", events=("expr", "click", "praise"), value_events=("click",), windows=(1, 2, 4), longest=5,
    smoothing=10.0, rates=(("ctr", "expr", "click"), ("praise_rate", "click", "praise")),
    attributes=("category", "author"), preference=("click", 3, 2), seen_event="expr", recent=2,
)  # fmt: skip

FACTS = pa.schema({
    "key": pa.string(), "event": pa.int8(), "counterpart": pa.string(), "day": pa.int32(), "cnt": pa.int64(),
    "value_micros": pa.int64(),
})  # fmt: skip
PREFERENCES = pa.schema({
    "key": pa.string(), "day": pa.int32(), "until": pa.int32(), "cnt": pa.int64(),
    **{f"value_{n}": pa.string() for n in range(5)},
})  # fmt: skip

actions = st.dictionaries(
    st.tuples(st.sampled_from("abc"), st.sampled_from(WINDOWS.events), st.sampled_from("wxyz"), st.integers(-6, 7)),
    st.tuples(st.integers(1, 3), st.integers(-(10**12), 10**12)),
    max_size=40,
)
# item -> per day its category; None = not listed that day
by_day = st.lists(st.sampled_from(["p", "q", "r", None]), min_size=8, max_size=8)
catalogs = st.dictionaries(st.sampled_from("wxyz"), by_day)


def test_names_of_the_demo_solution():
    solution = demo_solution()
    names = w.feature_names(solution, "user")
    assert len(names) == len(set(names)) == 3 * 3 * 3 + 2 * 3 + 3 + 2 * 3 + 1 + 4
    assert {"user__click_cnt_7d", "user__ctr_15d", "user__praise_rate_3d", "user__expr_days_since"} <= set(names)
    assert {"user__category_click_kv_15d", "user__author_click_top_share_15d"} <= set(names)
    assert {"user__click_value_mean_7d", "user__history_days"} <= set(names)
    item = w.feature_names(solution, "item")
    assert "item__ctr_15d" in item and not [n for n in item if "_kv_" in n or "top_share" in n]


@settings(max_examples=150, deadline=None)
@given(rows=actions, catalog=catalogs, n_days=st.integers(1, 8))
def test_range_equals_day_by_day_equals_reference(rows, catalog, n_days):
    facts = [(key, event, other, day, *amounts) for (key, event, other, day), amounts in rows.items()]
    whole = _run(facts, catalog, 0, n_days)
    single = {}
    for day in range(n_days):
        single |= _run(facts, catalog, day, 1)
    assert whole == single
    expected = {}
    for day in range(n_days):
        attributes = {i: {"category": days[day], "author": days[day]} for i, days in catalog.items() if days[day]}
        prefers = reference.preferences(facts, attributes, WINDOWS, day, FIRST)
        for key, row in reference.features(facts, WINDOWS, day, _history(day)).items():
            expected[key, day] = {name: None for name in WINDOWS.names} | row | prefers.get(key, {})
    assert whole == expected


def test_a_row_counts_on_exactly_the_days_of_its_window():
    rows = _run([("a", "click", "x", 0, 2, 3_000_000)], {}, 0, 7)
    assert [day for _, day in rows] == [0, 1, 2, 3, 4]
    assert [row["user__click_cnt_4d"] for row in rows.values()] == [2, 2, 2, 2, 0]
    assert [row["user__click_value_sum_2d"] for row in rows.values()] == [3, 3, 0, 0, 0]
    assert [row["user__click_value_mean_2d"] for row in rows.values()] == [1.5, 1.5, None, None, None]
    assert [row["user__click_days_since"] for row in rows.values()] == [0, 1, 2, 3, 4]
    assert {row["user__expr_days_since"] for row in rows.values()} == {None}


def test_rates_are_smoothed_towards_everyone():
    # everyone: 40 impressions, 10 clicks. a: (10 + 1) / (10 * 40/10 + 10); no praise after a click: the limit, 0
    rows = _run([("a", "expr", "x", 0, 10, 0), ("a", "click", "x", 0, 1, 0),
                 ("b", "expr", "x", 0, 30, 0), ("b", "click", "x", 0, 9, 0)], {}, 0, 1)  # fmt: skip
    assert rows["a", 0]["user__ctr_1d"] == 11 / 50
    assert rows["a", 0]["user__praise_rate_1d"] == 0.0
    clicks_only = _run([("a", "click", "x", 0, 1, 0)], {}, 0, 1)
    assert clicks_only["a", 0]["user__ctr_1d"] is None


def test_preferences_break_ties_by_value_and_share_counts_all():
    catalog = {"w": ["q"], "x": ["p"], "y": ["r"]}
    rows = _run([("a", "click", item, 0, n, 0) for item, n in (("w", 1), ("x", 1), ("y", 3))], catalog, 0, 1)
    assert rows["a", 0]["user__category_click_kv_3d"] == "r:3,p:1"
    assert rows["a", 0]["user__category_click_top_share_3d"] == 0.6


@settings(max_examples=30, deadline=None)
@given(rows=actions, catalog=catalogs)
def test_keys_in_several_tables_give_what_one_table_does(rows, catalog):
    facts = [(key, event, other, day, *amounts) for (key, event, other, day), amounts in rows.items()]
    whole = _run(facts, catalog, 0, 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_kernel, "CELLS_AT_ONCE", 1)
        assert _run(facts, catalog, 0, 8) == whole


@pytest.mark.parametrize("bound", [3, 1 << 62])
def test_rows_are_ordered_by_the_first_column_first(bound):
    first, second = np.array([2, 0, 2, 1]), np.array([1, 2, 0, 0])
    assert order_of((first, bound), (second, 2)).tolist() == [1, 3, 2, 0]


def _history(day: int) -> int:
    return min(5, day + 3)


def _run(facts: list[tuple], catalog: dict, day: int, n_days: int) -> dict:
    """The kernel on days [day, day + n_days): (key, day) -> features. Preference rows are made here by hand."""
    reached = [f for f in facts if day - WINDOWS.longest < f[3] < day + n_days]
    totals: w.Totals = {}
    for _, event, _, acted, cnt, _ in reached:
        by_day = totals.setdefault(event, {})
        by_day[FIRST + acted] = by_day.get(FIRST + acted, 0) + cnt
    asked = w.Range(WINDOWS, FIRST + day, [_history(d) for d in range(day, day + n_days)], totals)
    tables = features_of(_facts(reached), _preferences(reached, catalog, day, n_days), asked)
    computed = [row for table in tables for row in table.to_pylist()]
    result = {(row.pop("user_id"), row.pop("day") - FIRST): row for row in computed}
    assert len(result) == len(computed)
    return result


def _facts(facts: list[tuple]) -> pa.Table:
    numbers = {event: number for number, event in enumerate(WINDOWS.events)}
    return _table([(key, numbers[e], other, FIRST + d, *amounts) for key, e, other, d, *amounts in facts], FACTS)


def _preferences(facts: list[tuple], catalog: dict, day: int, n_days: int) -> pa.Table:
    _, window, _ = WINDOWS.preference
    rows, last = [], {}
    for key, e, item, acted, cnt, _ in facts:
        for t in range(day, day + n_days):
            if not t - window < acted <= t:
                continue
            span = (key, FIRST + t, FIRST + t + 1)  # of one day: the kernel must not care how days are cut
            value = catalog.get(item, [None] * 8)[t]
            values = [value if kv.event == e and kv.attribute != w.RECENT else None for kv in WINDOWS.kvs]
            rows.append((*span, cnt, *values))
            if e == WINDOWS.preference[0]:
                last[*span, item] = max(last.get((*span, item), 0), FIRST + acted)
    rows += [(*span, newest, *[None] * 4, item) for (*span, item), newest in last.items()]
    return _table(rows, PREFERENCES)


def _table(rows: list[tuple], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
