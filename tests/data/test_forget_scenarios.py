"""Whom else forgetting is about: other scenarios, other keys, items' authors, and who works meanwhile."""

from __future__ import annotations

import contextlib
import io

import polars as pl
import pyarrow as pa
import pytest

from jobs.data import forget as forgetting
from jobs.data import import_files
from jobs.data.forget import forget, lift
from jobs.data.registration import Pseudonymise
from jobs.data.user_places import naming, possible_ids
from jobs.lib import forgotten, partitions, pseudonyms, runs
from jobs.lib.errors import SettingError
from jobs.lib.input_tables import TableConfig
from jobs.lib.object_store import open_store
from jobs.lib.pseudonyms import pseudonym
from jobs.lib.settings import settings
from tests.data.imports import GOOD, HEADER, registration
from tests.data.stored_tables import DAY1, KEY, ROLES, events, everywhere, rows, run, written
from tests.features.builders import demo_solution


def test_both_the_id_and_its_pseudonym_are_marked_whatever_the_tables_hold(solution, monkeypatch):
    monkeypatch.setenv("RECFLOW_USER_KEY", KEY)
    hidden = pseudonym("gone-7", KEY.encode())
    written("shop_behavior", {DAY1: events(hidden, "u2")})
    for _ in range(2):  # the second time no table names the user; bundles may
        assert forget([solution], "gone-7").ids == (hidden, "gone-7")
    assert rows("shop_behavior") == [(DAY1, "u2", "i1")]
    assert forgotten.marks("shop_behavior") == {forgotten.mark("shop_behavior", one) for one in ("gone-7", hidden)}
    assert forgotten.mark("other", hidden) != forgotten.mark("shop_behavior", hidden)
    assert lift([solution], "gone-7") == 1 and forgotten.marks("shop_behavior") == frozenset()


def test_the_key_that_a_table_was_imported_with_is_used_and_asked_for(solution, monkeypatch):
    hidden = pseudonym("gone-7", KEY.encode())
    written("shop_behavior", {DAY1: events(hidden, "u2")})
    pseudonyms.note("shop_behavior", "SHOP_KEY")
    with pytest.raises(SettingError, match="^shop_behavior: user ids are pseudonyms, and SHOP_KEY, .* is not set$"):
        forget([solution], "gone-7")
    assert forget([solution], "0" * 32).removed == {}  # a pseudonym needs no key
    monkeypatch.setenv("SHOP_KEY", KEY)
    assert forget([solution], "gone-7").removed == {"shop_behavior": [DAY1]}


def test_an_import_notes_the_key_of_its_tables(warehouse, tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_KEY", KEY)
    (tmp_path / "log.csv").write_text("".join([HEADER, GOOD]))
    monkeypatch.setattr(import_files, "_imported", lambda *_: [])
    hidden = registration().model_copy(
        update={"pseudonymise": Pseudonymise.model_validate({"user_id": {"key_env": "SHOP_KEY"}})}
    )
    import_files.import_folder(hidden, tmp_path)
    assert open_store(settings().warehouse_root).list("_pseudonymised/") == ["_pseudonymised/shop_behavior/SHOP_KEY"]


def test_all_scenarios_forget_by_their_own_columns(solution, monkeypatch):
    about = {"table": "clinic_log", "roles": ROLES | {"user_id": "uid"}}
    other = solution.model_copy(
        update={
            "scenario": "clinic",
            "tables": solution.tables.model_copy(update={"behavior": TableConfig.model_validate(about)}),
        }
    )
    monkeypatch.setattr(forgetting, "those_that_hold", lambda: ({"shop": solution, "clinic": other}, []))
    written("clinic_log", {DAY1: {"uid": ["gone-7", "u2"], "item_id": ["a", "b"]}})
    written("clinic_hot", {DAY1: events("gone-7", "u2")})
    done = forget([solution], "gone-7")
    assert (done.removed, done.others) == ({}, ["clinic_hot", "clinic_log"])
    assert forget([solution], "gone-7", ["clinic_log"]).removed == {"clinic_log": [DAY1]}
    assert forgotten.marks("clinic_log") == {forgotten.mark("clinic_log", "gone-7")}
    written("clinic_log", {DAY1: {"uid": ["gone-7", "u2"], "item_id": ["a", "b"]}})
    assert forget([solution, other], "gone-7").removed == {"clinic_log": [DAY1]}


def test_nodes_of_other_scenarios_and_imports_are_waited_for(solution, monkeypatch):
    held = []
    monkeypatch.setattr(forgetting, "writing", lambda *tables: held.extend(tables) or contextlib.nullcontext())
    store = open_store(settings().warehouse_root)
    store.put("_staging/shop/behavior-00000.arrow", b"gone-7")
    written("elsewhere", {DAY1: events("u1")})
    forget([solution], "gone-7")
    assert {"shop_publish", "home_page_publish", "detail_page_publish", "elsewhere", "_import-shop"} <= set(held)
    assert store.list("_staging/") == []


def test_items_stay_and_those_that_the_user_published_are_told(warehouse, capsys):
    item = {"table": "shop_item", "roles": {"item_id": "item_id", "author": "author", "categorical": []}}
    shop = demo_solution(scenario="shop", demo=None, tables={"item": item})
    written("shop_item", {DAY1: {"item_id": ["a", "b"], "author": ["gone-7", "u2"], "user_id": ["gone-7", "u2"]}})
    done = forget([shop], "gone-7")
    assert (done.removed, done.authors, done.others) == ({}, ["shop_item"], [])
    assert len(rows("shop_item")) == 2
    assert forget([shop], "u3").authors == []


def test_a_file_without_the_column_of_users_is_no_obstacle(solution):
    written("shop_behavior", {DAY1: events("gone-7", "u2")})
    odd = io.BytesIO()
    pl.DataFrame({"uid": ["gone-7"]}).write_parquet(odd)
    open_store(partitions.table_path("shop_behavior")).put(f"ds={DAY1}/dead.parquet", odd.getvalue())
    assert forget([solution], "gone-7").removed == {"shop_behavior": [DAY1]}
    assert everywhere(partitions.table_path("shop_behavior"), "gone-7") == []
    batch = pa.record_batch({"item_id": ["gone-7"]})
    assert naming({"gone-7"}, ("user_id",))(batch).to_pylist() == [False]


def test_runs_that_end_or_go_meanwhile_are_not_spoiled(solution, monkeypatch):
    store = open_store(settings().warehouse_root)
    for table in ("shop_a", "shop_b", "shop_c"):
        run(table, DAY1, {"shop_behavior": {DAY1: "old"}}, {})
    get = type(store).get

    def meanwhile(self, key):
        content = get(self, key)
        if key == f"_runs/shop_a/{DAY1}.json" and b"done" in content:
            runs.failed("shop_a", DAY1, "it failed")
        if key == f"_runs/shop_b/{DAY1}.json":
            store.delete(key)
        return content

    monkeypatch.setattr(type(store), "get", meanwhile)
    runs.replace_contents({("shop_behavior", DAY1): ("old", "new")})
    assert runs.run_of("shop_a", DAY1)["error"] == "it failed" and runs.run_of("shop_b", DAY1) is None
    assert runs.run_of("shop_c", DAY1)["origin"]["inputs"] == {"shop_behavior": {DAY1: "new"}}


UNREADABLE = ['{"user_id":7,"a":1}', '{"user_id": 7}', "a 7:3", "uid=7", "x\x017\x01y", "7", "é;7", "'7'"]
OTHERS = ["77", "x7", "7_a", "a-7", "é7", "0.77", ""]


def test_an_id_is_found_in_any_format_and_only_whole():
    batch = pa.record_batch({"value": [*UNREADABLE, *OTHERS], **dict.fromkeys(("source", "file", "line"), ["x"] * 15)})
    found = naming({"7"}, ("source", "file", "line", "value"))(batch).to_pylist()
    assert found == [True] * len(UNREADABLE) + [False] * len(OTHERS)
    assert [text for text in (*UNREADABLE, *OTHERS) if "7" in possible_ids(text)] == UNREADABLE
    assert "jo.doe@a.example" in possible_ids('{"mail":"jo.doe@a.example"}')
