"""A user leaves every table and does not come back; everything else, records included, stays as it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import deltalake
import polars as pl
import pyarrow as pa
import pytest

from jobs.data import forget as forgetting
from jobs.data import forget_records
from jobs.data.forget import forget, lift
from jobs.data.import_stage import Tally, stage
from jobs.data.user_places import columns_of_users, naming
from jobs.lib import forgotten, partitions, runs
from jobs.lib.cli import main
from jobs.lib.contracts import load_contract
from jobs.lib.errors import RecflowError
from jobs.lib.input_tables import TableConfig
from jobs.lib.object_store import open_store
from jobs.lib.settings import SCHEMAS
from jobs.lib.tables import read_days, write_days
from tests.data.imports import GOOD, HEADER, registration, work_on
from tests.data.stored_tables import DAY1, DAY2, ROLES, contents, events, everywhere, rows, run, written
from tests.features.builders import ACTIONS, demo_solution
from tests.lib.stores import new_bucket, versitygw  # noqa: F401 - a fixture


def test_no_file_of_the_warehouse_names_the_user_afterwards(solution):
    written("shop_behavior", {DAY1: events("gone-7", "u2"), DAY2: events("u2", "u3")})
    written("shop_behavior", {DAY2: events("u2", "gone-7", "gone-7")})  # the file before is dead, and young
    written("shop_candidates", {DAY1: events("gone-7"), DAY2: events("u3", "gone-7")}, "quarantine")
    sided = {"side": ["user", "item", "user"], "id": ["gone-7", "gone-7", "u2"], "shown": [1.0, 2.0, 3.0]}
    written("shop_actions_daily", {DAY1: sided}, "quarantine")
    refused = {"source": ["behavior"] * 4, "file": ["a"] * 4, "line": [1, 2, 3, 4],
               "value": ["gone-7", 'x;"gone-7",1', "gone-77", None]}  # fmt: skip
    written("shop_quarantine", {DAY1: refused}, "quarantine")
    done = forget([solution], "gone-7")
    assert done.removed == {
        "shop_behavior": [DAY1, DAY2],
        "shop_actions_daily": [DAY1],
        "shop_candidates": [DAY1, DAY2],
        "shop_quarantine": [DAY1],
    }
    assert rows("shop_behavior") == [(DAY1, "u2", "i1"), (DAY2, "u2", "i0")]
    assert rows("shop_candidates") == [(DAY2, "u3", "i0")]
    assert rows("shop_actions_daily") == [(DAY1, "item", "gone-7", 2.0), (DAY1, "user", "u2", 3.0)]
    assert [row[3] for row in rows("shop_quarantine")] == [3, 4]
    left = everywhere(partitions.table_path("x").removesuffix("/x"), "gone-7")
    assert [path.split("/")[0] for path in left] == [
        "shop_actions_daily",
        "shop_quarantine",
    ]  # an item, and user gone-77
    assert forget([solution], "gone-7").removed == {}


def test_an_object_storage_keeps_nothing_either(solution, versitygw, monkeypatch):  # noqa: F811
    bucket = new_bucket(versitygw.url, monkeypatch)
    monkeypatch.setenv("RECFLOW_WAREHOUSE", f"s3a://{bucket}/warehouse")
    written("shop_behavior", {DAY1: events("gone-7", "u2")})
    written("shop_behavior", {DAY1: events("u2", "gone-7")})
    assert forget([solution], "gone-7").removed == {"shop_behavior": [DAY1]}
    assert rows("shop_behavior") == [(DAY1, "u2", "i0")]
    store = open_store(f"s3://{bucket}")
    [left] = [key for key in store.list() if key.endswith(".parquet")]
    assert pl.read_parquet(store.get(left))["user_id"].to_list() == ["u2"]
    assert not [key for key in store.list() if b"gone-7" in store.get(key)]


def test_records_tell_the_rows_that_are_there_as_if_they_had_been_written_so(solution):
    written("shop_behavior", {DAY1: events("u1", "u2", "u1"), DAY2: events("u2")}, note="kept")
    before = contents("shop_behavior")
    forget([solution], "u1")
    kept = partitions.record("shop_behavior", DAY1)
    assert (kept["rows"], kept["note"], kept["contract"]) == (1, "kept", "imported_behavior")
    after = contents("shop_behavior")
    written("shop_behavior", {DAY1: {"user_id": ["u2"], "item_id": ["i1"]}})
    assert contents("shop_behavior") == after and after[DAY1] != before[DAY1] and after[DAY2] == before[DAY2]


def test_what_was_present_stays_present_and_what_was_stale_stale(solution):
    written("shop_behavior", {DAY1: events("u1", "u2"), DAY2: events("u2")})
    before = contents("shop_behavior")
    run("shop_input_checks", DAY1, {"shop_behavior": {DAY1: before[DAY1], DAY2: None}}, {})
    run("other_hot", DAY1, {"shop_behavior": {DAY1: before[DAY1]}}, {"other_hot": "h"})
    run("shop_hot", DAY2, {"shop_behavior": {DAY1: "older rows", DAY2: before[DAY2]}}, {"shop_behavior": before[DAY1]})
    run("shop_behavior", DAY1, {}, {"shop_behavior": before[DAY1]})
    runs.failed("shop_hot", DAY1, "it failed")
    forget([solution], "u1")
    after = contents("shop_behavior")
    assert runs.run_of("shop_input_checks", DAY1)["origin"]["inputs"] == {
        "shop_behavior": {DAY1: after[DAY1], DAY2: None}
    }
    assert runs.run_of("other_hot", DAY1)["origin"]["inputs"] == {"shop_behavior": {DAY1: after[DAY1]}}
    stale = runs.run_of("shop_hot", DAY2)
    assert stale["origin"]["inputs"] == {"shop_behavior": {DAY1: "older rows", DAY2: before[DAY2]}}
    assert stale["made"] == {"shop_behavior": before[DAY1]}  # of another day
    assert runs.run_of("shop_behavior", DAY1)["made"] == {"shop_behavior": after[DAY1]}
    failed = runs.run_of("shop_hot", DAY1)
    assert (failed["state"], failed["error"]) == ("failed", "it failed")


STEPS = [
    (forgotten, "remember"), (forget_records, "note"), (forgetting, "replace_days"), (forgetting, "follow_up"),
    (partitions, "write_record"), (runs, "replace_contents"), (forgetting, "_delete_dead"),
]  # fmt: skip


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize(("module", "step"), STEPS)
def test_killed_anywhere_the_next_one_makes_up_for_it(solution, monkeypatch, module, step, is_done):
    written("shop_behavior", {DAY1: events("gone-7", "u2"), DAY2: events("gone-7")})
    before = contents("shop_behavior")
    run("shop_hot", DAY2, {"shop_behavior": before}, {})
    act = getattr(module, step)

    def dying(*arguments):
        if is_done:
            act(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, step, dying)
        if module is forget_records:
            patch.setattr(forgetting, step, dying)
        forget([solution], "gone-7")
    forget([solution], "somebody else")  # records follow whoever comes next
    assert runs.run_of("shop_hot", DAY2)["origin"]["inputs"]["shop_behavior"] == contents("shop_behavior")
    forget([solution], "gone-7")
    assert rows("shop_behavior") == [(DAY1, "u2", "i1")]
    after = contents("shop_behavior")
    assert runs.run_of("shop_hot", DAY2)["origin"]["inputs"] == {"shop_behavior": after} and after != before
    assert partitions.record("shop_behavior", DAY2)["rows"] == 0
    root = Path(partitions.table_path("x")).parent
    assert everywhere(root, "gone-7") == [] and not list((root / "_forgetting").rglob("*.json"))


def test_a_day_that_was_written_anew_meanwhile_keeps_its_own_record(solution):
    written("shop_behavior", {DAY1: events("u1", "u2")})
    run("shop_hot", DAY1, {"shop_behavior": contents("shop_behavior")}, {})
    forget_records.note("shop_behavior", [DAY1])
    written("shop_behavior", {DAY1: events("u3")})
    fresh, origin = contents("shop_behavior"), runs.run_of("shop_hot", DAY1)
    forget_records.follow_up()
    assert contents("shop_behavior") == fresh and runs.run_of("shop_hot", DAY1) == origin


def test_hashes_of_rows_that_spark_wrote_are_sparks(spark, warehouse):
    solution, table = demo_solution(), "home_page_actions_daily"
    both = [(ds, user, "i", "click", 1, 0, 1) for ds in (DAY1, DAY2) for user in ("u1", "u2")]
    write_days(spark.createDataFrame(both, ACTIONS), table, [DAY1, DAY2], "actions_daily")
    assert forget([solution], "u1").removed == {table: [DAY1, DAY2]}
    after = {ds: partitions.record(table, ds) for ds in (DAY1, DAY2)}
    write_days(spark.createDataFrame(both[1::2], ACTIONS), table, [DAY1, DAY2], "actions_daily")
    again = {ds: partitions.record(table, ds) for ds in (DAY1, DAY2)}
    assert {ds: (r["content"], r["rows"]) for ds, r in after.items()} == {
        ds: (r["content"], r["rows"]) for ds, r in again.items()
    }


def test_reads_of_a_table_in_place_leave_the_user_out_and_the_table_alone(spark, warehouse, tmp_path):
    lake = pa.table({"user_id": [7.0, 8.0, None], "item_id": ["a"] * 3, "event": ["click"] * 3,
                     "event_time": [1] * 3, "dt": [DAY1] * 3})  # fmt: skip
    deltalake.write_deltalake(tmp_path / "lake", lake, partition_by=["dt"])
    source = {"path": str(tmp_path / "lake"), "day": {"column": "dt"}}
    solution = demo_solution(tables={"behavior": {"table": "lake_log", "source": source}})
    in_place = {"table": "lake_log", "roles": ROLES, "source": source}  # the solution has further roles
    config = TableConfig.model_validate(in_place)
    done = forget([solution], "7")
    assert "lake_log" in done.in_place and done.removed == {}
    assert [row.user_id for row in read_days(config, [DAY1]).orderBy("user_id").collect()] == [None, 8.0]
    assert deltalake.DeltaTable(tmp_path / "lake").version() == 0
    assert lift([solution], "7") == 2 and read_days(config, [DAY1]).count() == 3


def test_an_import_leaves_the_user_out_of_everything(warehouse, tmp_path):
    (tmp_path / "in").mkdir()
    lines = [HEADER, GOOD, "gone-7,a,view,1712937599,,\n", "gone-7,a,view,soon,,\n", "u2,b,buy,1712937600,9.5,N\n"]
    (tmp_path / "in" / "log.csv").write_text("".join(lines) + '"x,gone-7\n')
    forgotten.remember("shop_behavior", ["gone-7"])
    work, [file] = work_on(tmp_path / "in", registration(), "behavior", None, tmp_path)
    work = dataclasses.replace(work, marks={"behavior": forgotten.marks("shop_behavior")})
    [tally] = [found for found in stage(work, "behavior", 0, file) if isinstance(found, Tally)]
    assert (tally.kept, tally.forgotten) == (2, 2)
    staged = b"".join(f.read_bytes() for f in (tmp_path / "_staging").rglob("*.arrow"))
    assert b"gone-7" not in staged and b"u2" in staged


def test_other_tables_are_named_and_taken_on_demand(solution, capsys, monkeypatch):
    written("shop_behavior", {DAY1: events("u1", "u2")})
    written("elsewhere", {DAY1: events("u1", "u2")})
    assert forget([solution], "u1").others == ["elsewhere"]
    assert forget([solution], "u1", ["elsewhere"]).removed == {"elsewhere": [DAY1]}
    assert forget([solution], "u1").others == []
    with pytest.raises(RecflowError, match="nowhere is no table that recflow writes; there are: elsewhere, shop_b"):
        forget([solution], "u1", ["nowhere"])


def test_the_command_says_what_went(warehouse, capsys):
    assert main(["forget", "--user", "7"]) == 0
    said = capsys.readouterr().out
    assert "no table names the user" in said and "rec_sln_demo_behavior_table_v1: not touched" in said
    assert main(["forget", "--user", "7", "--lift"]) == 0
    assert capsys.readouterr().out == "2 input tables may show the user again\n"


# Where each contract names users. A new contract has to be put here, and `columns_of_users` has to know its place.
USERS = {"actions_daily", "candidates", "filtered", "imported_behavior", "imported_user", "rank_samples", "recall_u2i",
         "recommendations", "suspicious_users", "user_features", "rec_sln_demo_behavior_table_v1",
         "rec_sln_demo_user_table_v1", "input_behavior", "input_user"}  # fmt: skip
SIDES, QUARANTINE = {"biases", "recall_vectors"}, {"quarantine"}
NOBODY = {"diagnostics", "evaluation", "fusion_weights", "imported_item", "input_item", "item_features",
          "quality_result",
          "rank_model", "rec_sln_demo_item_table_v1", "recall_fallback", "recall_hot", "recall_i2i"}  # fmt: skip


def test_every_contract_says_where_it_names_users():
    expected = dict.fromkeys(USERS, ("user_id",)) | dict.fromkeys(SIDES, ("side", "id")) | dict.fromkeys(NOBODY, ())
    expected |= dict.fromkeys(QUARANTINE, ("source", "file", "line", "value"))
    names = [file.stem for file in SCHEMAS.glob("*.yaml")]
    assert {
        name: columns_of_users([c.name for c in load_contract(name).columns if c.name]) for name in names
    } == expected
    assert columns_of_users(["uid", "user_id"], "uid") == ("uid",)


def test_ids_of_any_type_are_compared_as_text():
    for column in (
        pa.array([7, 77, None]),
        pa.array(["7", "77", None]),
        pa.array(["7", "77", None], pa.large_string()),
    ):
        batch = pa.record_batch({"user_id": column})
        assert naming({"7"}, ("user_id",))(batch).to_pylist() == [True, False, False]
    assert TableConfig(table="t", roles={}).roles.user_id is None
