"""Every kind of check, with a row that breaks it. Each ds is one case: one aggregation measures them all."""

import pytest

from jobs.lib import quality
from jobs.lib.contracts import Contract
from jobs.lib.figures import Figures, figures
from jobs.lib.unique_keys import may_repeat

EVENTS = "request string, item string, event string, time bigint, value double, ds string"
END = {f"202611{day:02}": 1_793_491_200 + 86_400 * day for day in range(1, 31)}  # midnight after ds, UTC


def contract(*checks):
    columns = [{"name": c.split()[0], "type": c.split()[1], "comment": "."} for c in EVENTS.split(", ")]
    about = {"table": "events", "comment": ".", "owner": "tests", "grain": ["request"], "columns": columns}
    return Contract.model_validate(about | {"checks": [{"severity": "fail", **check} for check in checks]})


CHECKS = contract(
    {"name": "one_per_item", "kind": "unique", "columns": ["request", "item", "event"]},
    {"name": "one_per_time", "kind": "unique", "columns": ["request", "time"], "red": 1},
    {"name": "item_given", "kind": "not_null", "columns": ["item"], "orange": "1%", "red": "40%"},
    {"name": "value_in_range", "kind": "range", "column": "value", "min": 0, "max": 10},
    {"name": "event_known", "kind": "allowed_values", "column": "event", "values": ["expr", "click"]},
    {"name": "request_form", "kind": "regex", "column": "request", "pattern": "r[0-9]+"},
    {"name": "click_is_worth", "kind": "expression", "expression": "event <> 'click' or value > 0"},
    {"name": "item_listed", "kind": "referential", "column": "item", "references": {"table": "items", "column": "id"}},
    {
        "name": "click_after_expr",
        "kind": "event_order",
        "columns": ["request", "item"],
        "column": "event",
        "time": "time",
        "first": "expr",
    },
    {"name": "some_rows", "kind": "row_count", "min": 2, "orange_max": 4},
    {"name": "up_to_date", "kind": "freshness", "column": "time", "timezone": "UTC", "orange": 6, "red": 12},
)


def at(ds, hours):
    return END[ds] - 3600 * hours


def case(ds, *rows):
    """A good day (an exposure and a click on it, 2 and 1 hours before midnight) and what is added to it."""
    good = [("r1", "a", "expr", at(ds, 2), 0.0), ("r1", "a", "click", at(ds, 1), 5.0)]
    return [(*row, ds) for row in [*good, *rows]]


CASES = {
    "20261101": ([], []),
    "20261102": ([("r1", "a", "click", 7, 5.0)], ["one_per_item: red, 1 of 3", "click_after_expr: red, 1 of 1"]),
    "20261103": ([("r2", None, "expr", 7, 0.0)], ["item_given: orange, 1 of 3"]),
    "20261104": ([("r2", None, "expr", 7, 0.0), ("r3", None, "expr", 7, 0.0)], ["item_given: red, 2 of 4"]),
    "20261105": ([("r2", "a", "expr", 7, 11.0)], ["value_in_range: red, 1 of 3"]),
    "20261106": ([("r2", "a", "expr", 7, float("nan"))], ["value_in_range: red, 1 of 3"]),
    "20261107": ([("r2", "a", "share", 7, 0.0)], ["event_known: red, 1 of 3", "click_after_expr: red, 1 of 2"]),
    "20261108": ([("x2", "a", "expr", 7, 0.0)], ["request_form: red, 1 of 3"]),
    "20261109": ([("r2", "a", "expr", 6, 0.0), ("r2", "a", "click", 7, 0.0)], ["click_is_worth: red, 1 of 4"]),
    "20261110": ([("r2", "z", "expr", 7, 0.0)], ["item_listed: red, 1 of 3"]),
    "20261111": ([("r2", "a", "click", 7, 1.0)], ["click_after_expr: red, 1 of 2"]),
    "20261112": ([("r2", "a", "expr", 8, 0.0), ("r2", "a", "click", 7, 1.0)], ["click_after_expr: red, 1 of 2"]),
    # one repeat is not above the limit of one_per_time
    "20261113": ([("r2", i, "expr", 7 if i < "c" else 8, 0.0) for i in "abc"], ["some_rows: orange, 5"]),
}  # fmt: skip
STALE = {"20261120": (7, "orange"), "20261121": (13, "red")}
EMPTY = "20261122"


@pytest.fixture(scope="module")
def judged(spark):
    rows = [row for ds, (added, _) in CASES.items() for row in case(ds, *added)]
    for ds, (hours, _) in STALE.items():
        rows += [("r1", "a", "expr", at(ds, hours), 0.0, ds), ("r1", "b", "expr", at(ds, -1), 0.0, ds)]
    days = [*CASES, *STALE, EMPTY]
    items = spark.createDataFrame([("a",), ("b",), ("c",), ("a",)], "id string")
    measured = figures(spark.createDataFrame(rows, EVENTS), CHECKS, days, related=lambda name: items)
    results = quality.judge("events", CHECKS, measured)
    return {ds: [r for r in results if r.ds == ds] for ds in days}


def shown(results):
    return [f"{r.name}: {r.level}, {r.observed}" + (f" of {r.of}" if r.of is not None else "") for r in results]


@pytest.mark.parametrize(("ds", "broken"), [(ds, broken) for ds, (_, broken) in CASES.items()])
def test_a_row_that_breaks_a_check_is_counted_and_the_others_hold(judged, warehouse, ds, broken):
    assert shown(r for r in judged[ds] if not r.passed) == broken


@pytest.mark.parametrize(("ds", "hours", "level"), [(ds, *expected) for ds, expected in STALE.items()])
def test_times_after_the_day_do_not_make_old_ones_fresh(judged, ds, hours, level):
    assert f"up_to_date: {level}, {float(hours)}" in shown(judged[ds])


def test_a_day_without_rows_has_too_few_and_nothing_that_is_fresh(judged):
    broken = [r for r in judged[EMPTY] if not r.passed]
    assert shown(broken) == ["some_rows: red, 0", "up_to_date: red, None"]
    assert str(broken[1]) == "no row has a time before the end of the day"


def test_the_end_of_the_day_is_that_of_the_checks_zone(spark):
    fresh = {"name": "fresh", "kind": "freshness", "column": "time", "red": 1, "timezone": "Asia/Shanghai"}
    rows = spark.createDataFrame([("r1", "a", "expr", at("20261121", 8) - 60, 0.0, "20261121")], EVENTS)
    assert figures(rows, contract(fresh), ["20261121"])["20261121"].stale_sec == {"fresh": 60}


def test_a_reference_with_days_is_looked_up_day_by_day(spark):
    check = {
        "name": "listed",
        "kind": "referential",
        "column": "item",
        "references": {"table": "items", "column": "id"},
    }
    rows = spark.createDataFrame([("r1", "a", "expr", 1, 0.0, ds) for ds in ("20261120", "20261121")], EVENTS)
    items = spark.createDataFrame([("a", "20261120"), ("b", "20261121")], "id string, ds string")
    measured = figures(rows, contract(check), ["20261120", "20261121"], related=lambda name: items)
    assert [figure.offending["listed"] for figure in measured.values()] == [0, 1]


def test_many_rows_are_searched_for_repeated_keys_by_their_hashes(spark):
    rows = spark.range(3000).selectExpr("id", "id % 2999 as most", "cast(null as bigint) as none")
    keys = {"all": ["id"], "most": ["most"], "both": ["id", "most"], "none": ["none"]}
    assert may_repeat(rows.repartition(5), keys) == {"most", "none"}


def test_hashes_and_grouping_find_the_same_repeats(spark, monkeypatch):
    rows = spark.createDataFrame(case("20261102", *CASES["20261102"][0]) + case("20261101"), EVENTS)
    keys = contract(*[c.model_dump() for c in CHECKS.checks if c.kind == "unique"])
    grouped = figures(rows, keys, ["20261101", "20261102"])
    monkeypatch.setattr("jobs.lib.figures.MANY_ROWS", 0)
    assert figures(rows, keys, ["20261101", "20261102"]) == grouped
    assert grouped["20261102"].offending == {"one_per_item": 1, "one_per_time": 0}


VOLUME = contract(
    {"name": "volume_1d", "kind": "volume_change", "days": 1, "orange": "20%", "red": "50%"},
    {"name": "volume_7d", "kind": "volume_change", "days": 7, "orange": "20%", "red": "50%", "severity": "warn"},
)


def levels(contract, measured, past):
    return {(r.ds, r.name): (r.level, r.observed) for r in quality.judge("t", contract, measured, past)}


def test_a_days_rows_are_held_against_days_before_it_of_the_same_write_and_of_earlier_ones(warehouse):
    past = {f"202611{day:02}": Figures(100) for day in range(1, 5)}
    judged = levels(VOLUME, {"20261105": Figures(130), "20261106": Figures(65)}, past)
    assert judged == {
        ("20261105", "volume_1d"): ("orange", pytest.approx(0.3)),
        ("20261105", "volume_7d"): ("orange", pytest.approx(0.3)),
        ("20261106", "volume_1d"): ("orange", -0.5),
        ("20261106", "volume_7d"): ("orange", pytest.approx(65 / 106 - 1)),
    }


def test_too_little_history_is_said_and_neither_passes_as_measured_nor_blocks(warehouse):
    results = quality.judge("t", VOLUME, {"20261105": Figures(1)}, {"20261102": Figures(100)})
    assert [(r.level, r.observed, r.blocks) for r in results] == [("no_history", None, False)] * 2
    assert str(results[1]) == "no history: 1 of the 4 days that are needed"


def test_nothing_after_something_is_a_change_and_nothing_after_nothing_is_none(warehouse):
    assert levels(VOLUME, {"20261105": Figures(0)}, {"20261104": Figures(9)})["20261105", "volume_1d"] == ("red", -1.0)
    assert levels(VOLUME, {"20261105": Figures(0)}, {"20261104": Figures(0)})["20261105", "volume_1d"] == ("green", 0.0)


def test_a_changed_mix_is_seen_and_the_same_mix_in_other_numbers_is_not(spark, warehouse):
    check = {"kind": "distribution_change", "days": 1, "orange": 0.1, "red": 0.25}
    by_value = {"name": "events", "column": "event", "values": ["expr", "click"]} | check
    by_bins = {"name": "values", "column": "value", "bins": [0, 10]} | check
    by_hash = {"name": "items", "column": "item"} | check
    mix = {"20261101": (1, 8, 2), "20261102": (2, 8, 2), "20261103": (1, 2, 8)}
    rows = [
        ("r", item, event, 1, value, ds)
        for ds, (times, shown, clicked) in mix.items()
        for item, event, value, n in (("a", "expr", -1.0, shown), ("b", "click", 10.0, clicked))
        for _ in range(n * times)
    ]
    checks = contract(by_value, by_bins, by_hash)
    measured = figures(spark.createDataFrame(rows, EVENTS), checks, list(mix))
    assert measured["20261101"].histograms[checks.checks[0].histogram_id] == [0, 8, 2, 0]
    assert measured["20261101"].histograms[checks.checks[1].histogram_id] == [0, 8, 0, 2]
    found = {key: level for key, (level, _) in levels(checks, measured, {}).items()}
    for name in ("events", "values", "items"):
        assert [found[ds, name] for ds in mix] == ["no_history", "green", "red"]


def test_the_stability_index_is_the_one_of_the_textbooks():
    from jobs.lib.observations import stability_index

    # half a row more in each bucket: shares 0.25 and 0.75 against 0.75 and 0.25; (0.5 * ln 3) twice
    assert stability_index([1, 4], [4, 1]) == pytest.approx(2 * 0.5 * 1.0986122886681098)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ({"kind": "volume_change", "days": 1, "red": 3}, "a limit of volume_change is a share"),
        ({"kind": "freshness", "red": "3%"}, "a limit of freshness is a number"),
        ({"kind": "not_null", "columns": ["item"], "orange": 5, "red": 2}, "orange is above red"),
        ({"kind": "not_null", "columns": ["item"], "orange": "1%", "red": 2}, "both shares"),
        ({"kind": "event_order", "columns": ["item"], "column": "event"}, "lacks the keys"),
        ({"kind": "row_count", "min": 1, "red": 2}, "not orange or red"),
    ],
)
def test_a_check_that_cannot_be_judged_is_refused_when_it_is_read(check, message):
    with pytest.raises(ValueError, match=message):
        contract({"name": "c", **check})
