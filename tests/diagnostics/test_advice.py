"""Each rule speaks when its limit is passed, with the figures, and is silent below it."""

from __future__ import annotations

import pytest

from jobs.diagnostics.advice import advice, not_measured
from jobs.diagnostics.figure import Figure, Figures
from tests.features.builders import demo_solution

SPEAKS = [
    ([("table", "behavior", "other_event_share", 0.02, 500)], "2.0% of 500 rows are of events that `events`"),
    ([("table", "behavior", "other_day_share", 0.5, 500)], "in Asia/Shanghai: is `timezone` right?"),
    ([("table", "item", "duplicate_share", 0.1, 50)], "rec_sln_demo_item_table_v1: 5 of 50 rows repeat an id"),
    (
        [("join", "user", "events_found_share", 0.9, 70), ("join", "user", "ids_found_share", 0.8, 10)],
        "only 90.0% of the day's events, and 80.0% of its 10 users",
    ),
    (
        [("column", "user.city", "is_constant", 1.0, 50)],
        "nothing to learn from (one value, or none at all): user.city.",
    ),
    ([("column", "user.tags", "missing_share", 0.5, 50)], "mostly missing: user.tags (50.0%)"),
    ([("column", "user.item_cnt", "zero_share", 0.97, 50)], "almost always zero: user.item_cnt (97.0%)"),
    (
        [("column", "item.category", "distinct", 900.0, 1000)],
        "too many values to learn from: item.category (about 900)",
    ),
    ([("funnel", "praise", "events", 0.0, 0)], "No praise at all"),
    ([("funnel", "click", "rate", 1.5, 100)], "More clicks than impressions (1.50 each)"),
    (
        [("funnel", "expr", "events", 40.0, 40), ("funnel", "expr", "of_usual_day", 0.4, 100)],
        "40 exprs are 40% of a usual day's",
    ),
    (
        [("window", "15d", "reached_share", 0.5, 90), ("window", "21d", "reached_share", 0.6, 90)],
        "50.0% of 90 active users have a click in the last 15 days, 60.0% in 21: add 21 to features.windows",
    ),
    ([("window", "15d", "reached_share", 0.2, 90)], "only 20.0% of 90 active users"),
    (
        [("window", "15d", "reached_share", 0.902, 90), ("window", "3d", "reached_share", 0.9, 90)],
        "Windows beyond 3 days add no users",
    ),
    ([("head", "item", "top_1_percent", 0.6, 500)], "1% of 500 items hold 60.0% of the clicks"),
    (
        [("cold", "item", "new_share", 0.4, 30), ("cold", "item", "new_events_share", 0.1, 300)],
        "40.0% of the day's 30 active items, with 10.0% of the events",
    ),
    ([("cold", "item", "idle_share", 0.8, 30)], "80.0% of 30 items on offer had no click"),
    ([("skew", "user__x", "psi_shown", 0.3, 10)], "user__x (0.30). Did a source change"),
    (
        [("skew", "user__x", "gain", 0.2, 10), ("skew", "user__x", "psi", 0.3, 10)],
        "1 of the 1 features that lead the model are unlike",
    ),
    (
        [("skew", "user__x", "missing_training", 0.1, 10), ("skew", "user__x", "missing_scoring", 0.3, 10)],
        "user__x (10% in training, 30% in scoring)",
    ),
    (
        [("suspicious", "burst", "users", 2.0, 2), ("suspicious", "all", "events_share", 0.3, 90)],
        "2 for burst, with 30.0% of the day's events; ranking.exclude_suspicious_users would",
    ),
]
SILENT = [
    ("table", "behavior", "other_event_share", 0.01, 500),
    ("table", "item", "duplicate_share", 0.0, 50),
    ("join", "user", "events_found_share", 0.95, 70),
    ("join", "user", "ids_found_share", 0.5, 10),
    ("column", "user.exotic", "is_constant", 1.0, 50),  # plays no role
    ("column", "user.tags", "missing_share", 0.49, 50),
    ("column", "item.category", "distinct", 90.0, 100),
    ("funnel", "click", "rate", 1.0, 100),
    ("funnel", "expr", "of_usual_day", 2.0, 100),
    ("window", "15d", "reached_share", 0.7, 90),
    ("window", "21d", "reached_share", 0.9, 90),
    ("window", "3d", "reached_share", 0.5, 90),
    ("head", "item", "top_1_percent", 0.9, 50),  # one of fifty items
    ("cold", "item", "idle_share", 0.7, 30),
    ("skew", "user__x", "psi", 3.0, 10),
    ("skew", "user__x", "gain", 0.01, 10),
    ("skew", "user__history_days", "is_constant", 1.0, 10),
    ("suspicious", "all", "events_share", 0.0, 90),
]


def figures(rows):
    return Figures(Figure(*row) for row in rows)


@pytest.mark.parametrize(("rows", "said"), SPEAKS, ids=[said[:40] for _, said in SPEAKS])
def test_a_finding_is_said_with_its_figures(rows, said):
    [line] = advice(figures(rows), demo_solution())
    assert said in line


def test_below_the_limits_nothing_is_said():
    assert advice(figures(SILENT), demo_solution()) == []


def test_undefined_figures_and_tables_that_are_not_there_are_no_finding():
    solution = demo_solution(tables={"user": None, "item": None})
    assert advice(figures([("join", "user", "events_found_share", None, 0)]), solution) == []
    assert advice(figures([]), solution) == []


def test_with_the_switch_on_the_advice_says_what_is_done():
    found = figures([("suspicious", "burst", "users", 2.0, 2), ("suspicious", "all", "events_share", 0.3, 90)])
    [line] = advice(found, demo_solution(ranking={"exclude_suspicious_users": True}))
    assert line.endswith("training leaves them out.")


def test_what_could_not_be_measured_yet_is_said():
    assert len(not_measured(figures([("window", "history", "days", 4.0, 4)]))) == 2
    done = [("window", "history", "days", 21.0, 21), ("skew", "user__x", "psi", 0.0, 1)]
    assert not_measured(figures(done)) == []
