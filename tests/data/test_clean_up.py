"""The clean-up: what goes, what stays, and that a reader in progress does not notice."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import deltalake
import pyarrow as pa
import pytest

from jobs.data.clean_up import as_of, clean_bundles, clean_up
from jobs.lib import partitions
from jobs.lib.cli import main
from jobs.lib.days import add_days, window
from jobs.lib.object_store import open_store
from jobs.lib.settings import settings
from jobs.lib.tables import read_days, write_days
from jobs.publish.versions import pin
from tests.features.builders import ACTIONS, demo_solution
from tests.publish.test_release import publish

DS = "20261121"
TABLE = "home_page_actions_daily"
SMALL = {"ranking": {"training_days": 3}, "features": {"windows": [3], "preference": {"window": 3}}}
SMALL |= {"publish": {"active_days": 3, "seen_days": 3}, "retention": {"days": 25}}


@pytest.fixture
def solution(warehouse):
    return demo_solution(**SMALL)


@pytest.fixture(scope="module")
def thirty_days(spark, tmp_path_factory):
    """An installation with thirty days of partials, one row each. Not to be changed: copy it."""
    home = tmp_path_factory.mktemp("thirty_days")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECFLOW_HOME", str(home))
        for name in ("RECFLOW_WAREHOUSE", "RECFLOW_ENV"):
            patch.delenv(name, raising=False)
        rows = [(ds, "u", "i", "click", n, 0, n) for n, ds in enumerate(window(DS, 30), start=1)]
        write_days(spark.createDataFrame(rows, ACTIONS), TABLE, window(DS, 30), "actions_daily")
    return home


@pytest.fixture
def filled(thirty_days, solution, warehouse):
    """The days of a copy of `thirty_days` as the installation at work."""
    shutil.copytree(thirty_days, warehouse, dirs_exist_ok=True)
    return window(DS, 30)


def files(table=TABLE):
    root = Path(partitions.table_path(table))
    return {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*.parquet") if "_delta_log" not in f.parts}


def test_old_days_go_and_kept_days_stay_byte_by_byte(solution, filled):
    before, records = files(), {ds: partitions.record(TABLE, ds) for ds in filled[5:]}
    [cleaned] = clean_up(solution, DS)
    assert cleaned.removed == tuple(filled[:5])
    assert partitions.present_days(TABLE) == filled[5:]
    assert {ds: partitions.record(TABLE, ds) for ds in filled[5:]} == records
    judged = Path(partitions.table_path(TABLE)).parent / "_quality"
    assert sorted(day.name for day in judged.iterdir() if any(day.rglob("*.json"))) == filled[5:]
    live = {ds for (ds,) in read_days(TABLE, filled[5:]).select("ds").collect()}
    assert live == set(filled[5:]) == {part["ds"] for part in partitions.delta_table(TABLE).partitions()}
    kept = {path: content for path, content in files().items() if path[3:11] >= filled[5]}
    assert kept == {path: content for path, content in before.items() if path[3:11] >= filled[5]}


def test_a_reader_that_opened_the_table_before_reads_on(spark, solution, filled):
    opened = partitions.delta_table(TABLE)
    in_progress = read_days(TABLE, filled).toLocalIterator()  # one of several tasks at a time
    first = next(in_progress)
    clean_up(solution, DS)
    assert opened.to_pyarrow_table().num_rows == 30
    assert sorted(row["ds"] for row in [first, *in_progress]) == filled
    assert partitions.delta_table(TABLE).to_pyarrow_table().num_rows == 25


def test_dead_files_are_deleted_only_after_a_week(solution, filled):
    folder = Path(partitions.table_path(TABLE)) / f"ds={DS}"
    for name, days in (("old", 8), ("young", 6)):
        (folder / f"{name}.parquet").write_bytes(b"left by a job that was killed")
        os.utime(folder / f"{name}.parquet", times=(time.time() - days * 86_400,) * 2)
    clean_up(solution, DS)
    assert not (folder / "old.parquet").exists() and (folder / "young.parquet").exists()


def test_small_files_of_a_day_become_one_with_the_same_rows(spark, solution, filled):
    more = pa.table(
        {
            "user_id": ["v"],
            "item_id": ["i"],
            "event": ["click"],
            "cnt": [1],
            "value_micros": [0],
            "last_time": [1],
            "ds": [DS],
        }
    )
    deltalake.write_deltalake(partitions.table_path(TABLE), more, mode="append")
    rows = sorted(read_days(TABLE, [DS]).collect())
    [cleaned] = clean_up(solution, DS)
    assert cleaned.joined == 2
    assert sorted(read_days(TABLE, [DS]).collect()) == rows and len(rows) == 2
    assert sum(DS in uri for uri in partitions.delta_table(TABLE).file_uris()) == 1
    log = Path(partitions.table_path(TABLE)) / "_delta_log"
    told = [json.loads(line) for file in log.glob("*.json") for line in file.read_text().splitlines()]
    joined = [one["add"] for one in told if not one.get("add", {"dataChange": True})["dataChange"]]
    stats = [json.loads(one["stats"]) for one in joined]
    assert [one["numRecords"] for one in stats] == [2]
    assert not any(one.get(part) for one in stats for part in ("minValues", "maxValues"))  # they would be users' ids
    assert clean_up(solution, DS)[0].joined == 0


def test_rows_without_a_record_go_with_the_old_days(solution, filled):
    partitions.forget(TABLE, filled[:1])  # as after a clean-up that was killed half-way
    clean_up(solution, DS)
    assert {part["ds"] for part in partitions.delta_table(TABLE).partitions()} == set(filled[5:])


def test_a_table_that_recflow_does_not_own_is_not_touched(spark, solution, filled):
    table = solution.tables.behavior.table
    rows = pa.table({"user_id": ["u"] * 2, "ds": ["20250101", DS]})
    deltalake.write_deltalake(partitions.table_path(table), rows, partition_by=["ds"])
    before = files(table)
    assert [cleaned.table for cleaned in clean_up(solution, DS)] == [TABLE]
    assert files(table) == before and partitions.delta_table(table).version() == 0


def test_ages_are_counted_from_the_last_day_there_is_and_the_newest_day_is_always_kept(spark, solution, filled):
    clean_up(solution, "20361121")
    assert partitions.present_days(TABLE) == [DS]  # neither behavior nor lists: nothing says where the flow stands
    for table, ds in (
        (solution.tables.behavior.table, add_days(DS, -2)),
        (solution.table("recommendations"), "20261110"),
    ):
        partitions.write_record(table, ds, {"rows": 0})
    assert as_of(solution, "20361121") == "20261110"
    assert as_of(solution, "20261101") == "20261101"


def test_the_newest_trained_model_outlives_its_day(spark, solution):
    table, days = solution.table("rank_model"), [add_days(DS, -60), add_days(DS, -50), DS]
    trained = ("trained", [("is_click", bytearray(b"x"))], '{"features": [], "features_version": "1"}')
    rows = [(*trained, days[0]), (*trained, days[1]), ("too_little_data", None, "{}", days[2])]
    schema = "status string, boosters array<struct<label:string,booster:binary>>, metadata string, ds string"
    write_days(spark.createDataFrame(rows, schema), table, days, "rank_model")
    clean_up(solution, DS)
    assert partitions.present_days(table) == days[1:]


def test_the_command_names_what_went(warehouse, spark, capsys):
    days = [add_days(DS, -200), add_days(DS, -180), add_days(DS, -179), DS]
    rows = [(ds, "u", "i", "click", 1, 0, 1) for ds in days]
    write_days(spark.createDataFrame(rows, ACTIONS), TABLE, days, "actions_daily")
    assert main(["clean-up", "--ds", DS]) == 0
    assert f"{TABLE}: ds={days[0]}..{days[1]} (2 days) removed" in capsys.readouterr().out
    assert main(["clean-up"]) == 1


def test_bundles_go_with_the_tables_but_not_those_that_are_kept(warehouse, solution):
    store = open_store(f"{settings().publish_root}/{solution.scenario}")
    folders = [publish(store, ds.encode(), ds) for ds in window(DS, 4)]
    pin(store, folders[0], "")
    few = solution.model_copy(update={"retention": solution.retention.model_copy(update={"bundles": 2})})
    assert [line.partition(": ")[0] for line in clean_bundles(few)] == [f"{store.root}/{folders[1]}"]
    assert clean_bundles(few) == []
