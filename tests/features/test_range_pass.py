"""A range in one pass leaves the tables that its days one by one do: through the jobs, with gaps and an empty day."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from jobs.features import packed
from jobs.features.packed import Layout
from jobs.lib import partitions, tables
from jobs.lib.checks import Check
from jobs.lib.contracts import load_contract
from jobs.lib.days import day_range, first_moment
from jobs.lib.delta_files import DayFile
from jobs.lib.errors import QualityError
from jobs.lib.tables import read_days
from tests.features.builders import demo_solution

SOLUTION = demo_solution(
    features={"windows": [1, 3, 4], "preference": {"event": "click", "window": 3, "top": 2}, "biases": {"window": 3}},
    ranking={"training_days": 3},
)
JOBS = ("actions_daily", "user_features", "item_features", "biases", "rank_samples")
BEFORE_GAP = "20261101"  # nothing is there of the 2nd
HISTORY, RANGE = day_range("20261103", "20261105"), day_range("20261106", "20261107")
EMPTY = "20261106"
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


@settings(
    max_examples=1, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
)
@given(seed=st.integers(0, 1 << 32))
def test_a_range_leaves_the_tables_that_its_days_one_by_one_do(spark, tmp_path_factory, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "ROWS_PER_BUCKET", 20)  # several buckets and tasks
        found, homes = [], tmp_path_factory.mktemp("homes")
        _install(spark, patch, homes / "history", np.random.default_rng(seed))
        _run("actions_daily", [BEFORE_GAP])
        for job in JOBS[:-1]:
            _run(job, HISTORY)
        for runs in ([RANGE], [[ds] for ds in RANGE]):
            home = shutil.copytree(homes / "history", homes / str(len(runs)))
            patch.setenv("RECFLOW_HOME", str(home))
            for days in runs:
                for job in JOBS:
                    _run(job, days)
            found.append({job: _table(SOLUTION.table(job)) for job in JOBS})
    in_one_pass, day_by_day = found
    for job in JOBS:
        assert in_one_pass[job] == day_by_day[job], job
        filled = {ds for ds, (_, rows) in in_one_pass[job].items() if rows}
        assert filled & set(RANGE) == ({*RANGE} - {EMPTY} if job in ("actions_daily", "rank_samples") else {*RANGE})


def test_what_a_check_refuses_leaves_no_file_and_no_day(spark, warehouse, monkeypatch):
    _install(spark, monkeypatch, warehouse, np.random.default_rng(1))
    _run("actions_daily", [BEFORE_GAP])
    strict = load_contract("item_features")
    never = Check(name="never", kind="row_count", severity="fail", max=0)
    monkeypatch.setattr(tables, "load_contract", lambda _: strict.model_copy(update={"checks": [never]}))
    with pytest.raises(QualityError, match="never"):
        _run("item_features", [BEFORE_GAP])
    folder = Path(partitions.table_path(SOLUTION.table("item_features")))
    assert [file for file in folder.rglob("*") if file.is_file()] == []
    assert partitions.present_days(SOLUTION.table("item_features")) == []


def test_tasks_and_buckets_follow_the_rows(spark):
    cores = spark.sparkContext.defaultParallelism

    def layout(rows: int) -> Layout:
        return Layout.of([DayFile("20261101", "x", rows)])

    assert layout(0) == layout(packed.ROWS_PER_BUCKET) == Layout(1, 1)
    assert layout(10 * packed.ROWS_PER_BUCKET) == Layout(10, cores)
    assert layout(100 * packed.ROWS_PER_TASK).tasks == 100


def _run(job: str, days: list[str]) -> None:
    importlib.import_module(SOLUTION.node(job).module).main(days, SOLUTION, SOLUTION.node(job))


def _install(spark, patch, home, random: np.random.Generator) -> None:
    """Events of every day but one, and snapshots in which an item is missing and categories change."""
    patch.setenv("RECFLOW_HOME", str(home))
    there = [BEFORE_GAP, *HISTORY, *RANGE]
    drawn = zip(
        random.choice([ds for ds in there if ds != EMPTY], 150).tolist(),
        random.integers(1, 7, 150).tolist(),
        random.integers(1, 6, 150).tolist(),
        random.choice(["expr", "expr", "click", "praise"], 150).tolist(),
        random.integers(0, 86_400, 150).tolist(),
        [None, *(random.random(149) * 1e6).tolist()],
        strict=True,
    )
    fixed = ("e", "home", "wifi")
    events = [
        (ds, f"r{user}", str(user), *fixed, first_moment(ds, SOLUTION.timezone) + second, str(item), event, value)
        for ds, user, item, event, second, value in drawn
    ]
    items = [
        (ds, item, f"t{item}", random.choice(["a", "b,c", None]), item % 3, 9.5, number, 1, 1_700_000_000)
        for number, ds in enumerate(there)
        for item in range(1, 5)  # the fifth is not listed
    ]
    users = [(ds, user, "f", 30, "Oslo", 0, 1, 2, 1_700_000_000, None) for ds in there for user in range(1, 6)]
    given_tables = {"behavior": (events, BEHAVIOR), "item": (items, ITEM), "user": (users, USER)}
    for name, (rows, columns) in given_tables.items():
        config, frame = getattr(SOLUTION.tables, name), spark.createDataFrame(rows, columns).coalesce(1)
        frame.write.format("delta").partitionBy("ds").save(partitions.table_path(config.table))
        for ds in there:
            partitions.write_record(config.table, ds, {})


def _table(table: str) -> dict[str, tuple]:
    """ds -> the content hash that was recorded, and the sorted rows."""
    rows = sorted((row.asDict() for row in read_days(table, partitions.present_days(table)).collect()), key=repr)
    return {
        ds: (partitions.record(table, ds)["content"], [row for row in rows if row["ds"] == ds])
        for ds in partitions.present_days(table)
    }
