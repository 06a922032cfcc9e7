"""Who is flagged, at the thresholds and one below them; and what training leaves out."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from jobs.flow.running import never_made, run_node
from jobs.lib import partitions
from jobs.lib.days import window
from jobs.lib.spark import F
from jobs.lib.tables import read_days, write_days
from jobs.ranking.rank_model import rank_model
from jobs.ranking.suspicious_users import suspicious_users
from jobs.ranking.training_rows import IS_FLAGGED
from tests.diagnostics.test_table_figures import RAW
from tests.features.builders import EVENTS, demo_solution, rows_of
from tests.ranking.builders import DAY, at, sample_table

LIMITS = {"burst_acts_per_minute": 3, "click_everything_share": 0.75, "click_everything_items": 4}
SMALL = {"rounds": 20, "early_stopping_rounds": 5, "params": {"max_depth": 2}}


def event(user, item, name, second=0, ds=DAY):
    return (ds, "r", user, item, name, at(2, 9) + second, None, "home", None)


def flagged(spark, rows, **solution):
    events = spark.createDataFrame(rows, EVENTS)
    found = suspicious_users(events, demo_solution(diagnostics=LIMITS, **solution))
    return [(r["ds"], r["user_id"], r["reason"], r["figure"]) for r in rows_of(found, "ds", "user_id", "reason")]


def test_a_burst_is_acts_within_one_minute_of_the_clock(spark):
    rows = [event("fast", f"i{n}", "click", n) for n in range(3)]
    rows += [event("edge", f"i{n}", "click", 58 + n) for n in range(4)]  # two in each minute
    rows += [event("slow", f"i{n}", "click", 60 * n) for n in range(9)]
    rows += [event("shown", f"i{n}", "expr") for n in range(9)]  # being shown much is no act
    assert flagged(spark, rows) == [(DAY, "fast", "burst", 3.0)]


def test_click_everything_needs_enough_items_and_nearly_all_of_them(spark):
    def user(name, shown, clicked):
        acts = [event(name, f"i{n}", "click", 60 * n) for n in range(clicked)]
        return [event(name, f"i{n}", "expr", 60 * n) for n in range(shown)] + acts

    rows = [*user("all", 4, 3), *user("few", 3, 3), *user("choosy", 4, 2)]
    rows += [event("elsewhere", f"i{n}", "click", 60 * n) for n in range(5)]  # never shown
    assert flagged(spark, rows) == [(DAY, "all", "click_everything", 0.75)]


def test_without_impressions_only_bursts_can_be_seen(spark):
    rows = [event("u", f"i{n}", "expr", 60 * n) for n in range(9)] + [event("u", "i1", "click", n) for n in range(3)]
    no_impressions = {"behavior": {"impressions": False}}
    assert flagged(spark, rows, tables=no_impressions) == [(DAY, "u", "burst", 4.0)]
    assert flagged(spark, []) == []


@pytest.mark.parametrize("is_on", [True, False])
def test_the_days_of_the_training_window_are_judged_when_training_needs_them(spark, warehouse, is_on):
    days = window(DAY, 3)
    rows = [("r", "u", "home", "wifi", at(2, 9), "i", "click", 0.0, ds) for ds in days]
    solution = demo_solution(ranking={"training_days": 3, "exclude_suspicious_users": is_on})
    behavior = solution.tables.behavior.table
    write_days(spark.createDataFrame(rows, RAW).withColumn("exp_id", F.lit("e")), behavior, days, behavior)
    run_node(solution, "suspicious_users", [DAY])
    table = solution.table("suspicious_users")
    assert partitions.present_days(table) == [DAY] and read_days(table, [DAY]).count() == 0
    before_training = {node.name: of for node, of in never_made(solution, solution.node("rank_model"), [DAY])}
    assert before_training.get("suspicious_users") == (days[:-1] if is_on else None)


def test_training_leaves_flagged_rows_out_and_says_how_many_and_evaluation_keeps_them():
    solution = demo_solution(ranking=SMALL | {"min_positives": 1})
    samples = sample_table(solution)
    of_u1 = pa.array([user == "u1" or None for user in samples.column("user_id").to_pylist()], pa.bool_())
    model = rank_model(samples.append_column(IS_FLAGGED, of_u1), solution)
    plain = rank_model(samples, solution)
    assert model.metadata["excluded"] == {"suspicious_users": 1, "rows": 30}  # ten a day, three days of training
    spans, before = model.metadata["spans"], plain.metadata["spans"]
    assert spans["train"]["rows"] == before["train"]["rows"] - 30
    assert (spans["validation"], spans["test"]) == (before["validation"], before["test"])
    assert "excluded" not in plain.metadata
    json.dumps(model.metadata, allow_nan=False)
