"""Where events are cut."""

from __future__ import annotations

import pytest

from jobs.evaluate.split import split
from jobs.lib.errors import RecflowError
from tests.features.builders import EVENTS

WEIGHTS = {"click": 1.0}


def event(user, item, time, name="click", ds="20261101"):
    return (ds, None, user, item, name, time, None, None, None)


def parts(spark, rows, by="temporal", share=0.75):
    cut = split(spark.createDataFrame(rows, EVENTS), WEIGHTS, by, share)
    return cut, sorted(tuple(row) for row in cut.train.select("user_id", "item_id", "event").collect())


def held_out(cut):
    return sorted(tuple(row) for row in cut.test.collect())


def test_the_cut_is_the_time_of_the_row_at_the_share_and_falls_into_the_test_part(spark):
    rows = [event("u", "a", 10), event("u", "b", 20), event("v", "a", 30), event("v", "c", 30, ds="20261102")]
    rows += [event("u", "shown", 29, "expr"), event("u", "late", 30, "expr")]
    cut, train = parts(spark, rows)  # row 3 of 4 has time 30, and so has row 2
    assert train == [("u", "a", "click"), ("u", "b", "click"), ("u", "shown", "expr")]
    assert held_out(cut) == [("v", "a"), ("v", "c")] and cut.ds == "20261101"


def test_a_cut_on_a_later_day_counts_the_days_before(spark):
    rows = [event("u", str(n), n) for n in range(6)] + [
        event("u", f"later{n}", 100 + n, ds="20261102") for n in range(4)
    ]
    cut, train = parts(spark, rows, share=0.8)
    assert held_out(cut) == [("u", "later2"), ("u", "later3")] and len(train) == 8 and cut.ds == "20261102"


def test_by_user_the_last_part_of_each_user_is_held_out_and_what_they_were_shown_then(spark):
    rows = [event("u", str(n), n) for n in range(8)] + [event("v", "a", 1), event("v", "b", 2), event("v", "c", 3)]
    rows += [event("u", "early", 5, "expr"), event("u", "late", 6, "expr"), event("w", "x", 99, "expr")]
    cut, train = parts(spark, rows, "user")
    assert held_out(cut) == [("u", "6"), ("u", "7"), ("v", "c")]  # of v's 3 acts floor(2.25) are kept
    assert {row for row in train if row[2] == "expr"} == {("u", "early", "expr"), ("w", "x", "expr")}
    assert len([row for row in train if row[0] == "v"]) == 2


@pytest.mark.parametrize("rows", [[], [event("u", "a", 1, "expr")], [event("u", "a", 1)]], ids=["none", "shown", "one"])
def test_a_part_without_acts_is_refused(spark, rows):
    with pytest.raises(RecflowError, match="no acts to"):
        parts(spark, rows)
