"""A range in one pass leaves the tables that its days one by one do: through the jobs, with gaps and an empty day."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.features import packed, window_kernel
from jobs.features.packed import Layout
from jobs.flow.running import run_node
from jobs.lib import partitions
from jobs.lib.days import day_range, first_moment
from jobs.lib.delta_files import DayFile
from jobs.lib.errors import QualityError
from jobs.lib.tables import read_days
from tests.features.builders import demo_solution

SOLUTION = demo_solution(
    features={"windows": [1, 3, 4], "preference": {"event": "click", "window": 3, "top": 2}},
    ranking={"training_days": 3},
)
JOBS = ("actions_daily", "user_features", "item_features", "rank_samples")
BEFORE_GAP, AFTER_GAP, LAST = "20261101", "20261103", "20261108"  # nothing is there of the 2nd
HISTORY, RANGE = [BEFORE_GAP, *day_range(AFTER_GAP, "20261105")], day_range("20261106", LAST)
EMPTY = "20261107"
BEHAVIOR = (
    "ds string, request_id string, user_id string, exp_id string, page string, net_type string, event_time bigint, "
    "item_id string, event string, playtime double"
)
ITEM = (
    "ds string, item_id bigint, title string, category string, author bigint, duration double, click_count bigint, "
    "praise_count bigint, pub_time bigint"
)
USER = (
    "ds string, user_id bigint, gender string, age bigint, city string, item_cnt bigint, follow_cnt bigint, "
    "follower_cnt bigint, register_time bigint, tags string"
)

some_events = st.lists(
    st.tuples(
        st.sampled_from([ds for ds in HISTORY + RANGE if ds != EMPTY]),
        st.integers(1, 6),  # user
        st.integers(1, 5),  # item
        st.sampled_from(["expr", "expr", "click", "praise"]),
        st.integers(0, 86_399),
        st.floats(0, 1e6, allow_nan=False) | st.none(),
    ),
    min_size=20,
    max_size=80,
)
some_categories = st.lists(st.sampled_from(["a", "b,c", None]), min_size=40, max_size=40)


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(events=some_events, categories=some_categories)
def test_a_range_leaves_the_tables_that_its_days_one_by_one_do(spark, tmp_path_factory, events, categories):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "ROWS_PER_BUCKET", 7)  # several buckets, and tables of a bucket
        patch.setattr(window_kernel, "CELLS_AT_ONCE", 20)
        found = []
        for runs in ([RANGE], [[ds] for ds in RANGE]):
            _install(spark, patch, tmp_path_factory.mktemp("home"), events, categories)
            for days in runs:
                for job in JOBS:
                    run_node(SOLUTION, job, days)
            found.append({job: _table(SOLUTION.table(job)) for job in JOBS})
    in_one_pass, day_by_day = found
    for job in JOBS:
        assert in_one_pass[job] == day_by_day[job], job
        assert set(RANGE) <= set(in_one_pass[job])
    assert in_one_pass["actions_daily"][EMPTY][1] == [] == in_one_pass["rank_samples"][EMPTY][1]


def test_what_a_check_refuses_leaves_no_file_and_no_day(spark, warehouse, monkeypatch):
    _install(spark, monkeypatch, warehouse, [(HISTORY[0], 1, 1, "click", 5, 1.0)], ["a"] * 40)
    for job in ("actions_daily", "item_features"):
        importlib.import_module(SOLUTION.node(job).module).main([BEFORE_GAP], SOLUTION, SOLUTION.node(job))
    table = SOLUTION.table("item_features")
    kept = sorted(Path(partitions.table_path(table)).rglob("*.parquet"))
    monkeypatch.setattr(window_kernel, "_features", _without_history(window_kernel._features))
    with pytest.raises(QualityError, match="history_is_counted"):
        importlib.import_module("jobs.features.item_features").main([BEFORE_GAP], SOLUTION, None)
    assert sorted(Path(partitions.table_path(table)).rglob("*.parquet")) == kept
    assert partitions.present_days(table) == [BEFORE_GAP]


def test_tasks_and_buckets_follow_the_rows(spark):
    cores = spark.sparkContext.defaultParallelism

    def layout(rows: int) -> Layout:
        return Layout.of([DayFile("20261101", "x", rows)])

    assert layout(0) == layout(packed.ROWS_PER_BUCKET) == Layout(1, 1)
    assert layout(10 * packed.ROWS_PER_BUCKET) == Layout(10, cores)
    assert layout(100 * packed.ROWS_PER_TASK).tasks == 100


def _without_history(features):
    def broken(*arguments):
        table = features(*arguments)
        at = table.column_names.index("item__history_days")
        return table.set_column(at, "item__history_days", [[0.0] * table.num_rows])

    return broken


def _install(spark, patch, home, events: list[tuple], categories: list) -> None:
    patch.setenv("RECFLOW_HOME", str(home))
    rows = [
        (
            ds,
            f"r{user}",
            str(user),
            "e",
            "home",
            "wifi",
            first_moment(ds, "Asia/Shanghai") + second,
            str(item),
            event,
            value,
        )
        for ds, user, item, event, second, value in events
    ]
    listed = [
        (ds, item, f"t{item}", categories[(item * 8 + number) % 40], item % 3, 9.5, number, 1, 1_700_000_000)
        for number, ds in enumerate(HISTORY + RANGE)
        for item in range(1, 5)  # item 5 is not listed
    ]
    users = [
        (ds, user, "f", 30, "Oslo", 0, 1, 2, 1_700_000_000, None) for ds in HISTORY + RANGE for user in range(1, 6)
    ]
    tables = SOLUTION.tables
    for config, there, columns in (
        (tables.behavior, rows, BEHAVIOR),
        (tables.item, listed, ITEM),
        (tables.user, users, USER),
    ):
        frame = spark.createDataFrame(there, columns).coalesce(1)
        frame.write.format("delta").partitionBy("ds").save(partitions.table_path(config.table))
        for ds in HISTORY + RANGE:
            partitions.write_record(config.table, ds, {"rows": 1, "content": f"{config.table}{ds}"})


def _table(table: str) -> dict[str, tuple]:
    """ds -> the content hash that was recorded, and the sorted rows."""
    rows = sorted((row.asDict() for row in read_days(table, partitions.present_days(table)).collect()), key=repr)
    return {
        ds: (partitions.record(table, ds)["content"], [row for row in rows if row["ds"] == ds])
        for ds in partitions.present_days(table)
    }
