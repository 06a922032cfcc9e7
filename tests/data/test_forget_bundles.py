"""Published bundles that name a forgotten user: listed, removed on demand, and kept where somebody needs them."""

from __future__ import annotations

import argparse
import io
import json

import polars as pl
import pytest

from jobs.data import forget_cli
from jobs.lib import partitions
from jobs.lib.object_store import open_store
from jobs.lib.settings import settings
from jobs.publish import under_way
from jobs.publish.bundle import MANIFEST, entry, folder_of, manifest_of, move_pointer
from jobs.publish.holding import versions_naming
from jobs.publish.versions import all_versions, pin
from tests.features.builders import demo_solution

DAYS = ["20261118", "20261119", "20261120", "20261121"]


@pytest.fixture
def solution(warehouse, monkeypatch):
    made = demo_solution(demo=None)
    monkeypatch.setattr(forget_cli, "scenarios", lambda: {"home_page": made})
    return made


@pytest.fixture
def store(solution):
    return open_store(f"{settings().publish_root}/home_page")


def bundle(store, ds, folder, categories=(), **columns):
    """A bundle of one published table, and of a model that knows users by these categories."""
    data = io.BytesIO()
    rows = pl.DataFrame(columns)
    rows.write_parquet(data)
    schema = [{"name": name, "type": "string"} for name in rows.columns]
    made = entry(f"{folder}/part-00000.parquet", data.getvalue(), rows.height, schema)
    known = json.dumps({"columns": [{"name": "user_id", "categories": list(categories)}]}).encode()
    model = [entry("model/features.json", known)] if categories else []
    manifest = manifest_of([made, *model], {"scenario": "home_page", "ds": ds})
    address = folder_of(ds, manifest["version"])
    if model:
        store.put(f"{address}/model/features.json", known)
    store.put(f"{address}/{made.key}", data.getvalue())
    store.put(f"{address}/{MANIFEST}", json.dumps(manifest).encode())
    move_pointer(store, ds, manifest["version"])
    return address


def command(**given):
    flags = {"solution": None, "lift": False, "also": [], "bundles": False, "user": "gone-7"}
    return forget_cli.run(argparse.Namespace(**flags | given))


def test_every_published_table_is_looked_at(store):
    named = [
        bundle(store, DAYS[3], "recommendations/rows", user_id=["u1", "gone-7"]),
        bundle(store, DAYS[2], "recall/vectors", id=["gone-7"], side=["user"]),
        bundle(store, DAYS[1], "features/user", user_id=["gone-7"], user__cnt=["1"]),
    ]
    bundle(store, DAYS[0], "recall/vectors", id=["gone-7", "u1"], side=["item", "user"])
    assert [version.folder for version in versions_naming(store, ["gone-7"])] == named
    assert versions_naming(store, ["nobody"]) == {}


def test_a_model_in_a_bundle_and_a_bundle_that_cannot_be_read_do_not_go_unnoticed(store, capsys):
    known = bundle(store, DAYS[1], "features/user", ["u1", "gone-7"], user_id=["u1"])
    broken = bundle(store, DAYS[2], "features/user", user_id=["u1"])
    store.put(f"{broken}/features/user/part-00000.parquet", b"torn")
    latest = bundle(store, DAYS[3], "features/user", ["gone-7|3"], user_id=["u1"])
    assert command(bundles=True) == 3
    said = capsys.readouterr().out
    assert f"home_page/{known}: removed\n" in said
    assert f"still named: home_page/{broken}: may name the user, it cannot be read: file://" in said
    day = f"--ds {DAYS[3]} --solution home_page"
    anew = f"`recflow run rank_model {day}` and `recflow run publish {day}` leads"
    assert f"still named: home_page/{latest}: latest.json names it; {anew}" in said
    assert [version.folder for version in all_versions(store)] == [latest, broken]


def test_bundles_are_listed_then_removed_but_for_the_pinned_and_the_one_that_is_followed(store, capsys):
    oldest, pinned, latest = (bundle(store, ds, "features/user", user_id=[f"u{ds}", "gone-7"]) for ds in DAYS[1:])
    clean = bundle(store, DAYS[0], "features/user", user_id=["u1"])
    pin(store, DAYS[2], "sale")
    assert command() == 3
    said = capsys.readouterr().out
    assert f"still named: home_page/{oldest}: `--bundles` removes it\n" in said
    assert f"still named: home_page/{pinned}: it is pinned\n" in said
    assert f"still named: home_page/{latest}: latest.json names it; `recflow run publish --ds {DAYS[3]} " in said
    assert len(all_versions(store)) == 4
    assert command(bundles=True) == 3
    assert f"home_page/{oldest}: removed\n" in capsys.readouterr().out
    assert [version.folder for version in all_versions(store)] == [latest, pinned, clean]
    bundle(store, DAYS[3], "features/user", user_id=["u1"])  # published anew
    assert command(bundles=True) == 3  # for the pinned one
    assert [version.folder for version in versions_naming(store, ["gone-7"])] == [pinned]


def test_what_publishes_that_died_left_is_told_and_removed(store, capsys):
    bundle(store, DAYS[3], "features/user", user_id=["u1"])
    left = [f"ds={DAYS[1]}/v=c-half", f"_staging/ds={DAYS[2]}/abc"]
    for folder in left:
        store.put(f"{folder}/features/user/part-00000.parquet", b"gone-7")
    store.put(f"{left[1]}/claim.json", json.dumps({"machine": under_way._machine(), "pid": 2**22 + 1}).encode())
    assert command() == 3
    said = capsys.readouterr().out
    assert all(
        f"still named: home_page/{one}: not published, may name the user: `--bundles` removes it\n" in said
        for one in left
    )
    assert command(bundles=True) == 0
    said = capsys.readouterr().out
    assert all(f"home_page/{one}: removed\n" in said for one in left)
    assert [key for one in left for key in store.list(f"{one}/")] == []


def test_a_model_that_knows_the_id_is_named(store, solution, capsys, monkeypatch):
    monkeypatch.setattr(partitions, "present_days", lambda table: DAYS[:2] if table == "home_page_rank_model" else [])
    features = {
        DAYS[0]: [{"name": "user__age", "categories": None}, {"name": "item__category", "categories": ["gone-7"]}],
        DAYS[1]: [{"name": "combo__user_id_x_hour", "categories": ["u1|3", "gone-7|3"]}],
    }
    rows = {ds: pl.DataFrame({"metadata": [json.dumps({"features": of})]}).to_arrow() for ds, of in features.items()}
    monkeypatch.setattr(partitions, "read_arrow", lambda table, ds, columns: rows[ds])
    assert command() == 3
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("still named")]
    assert len(said) == 1 and said[0].startswith(f"still named: home_page_rank_model ds={DAYS[1]}: the model knows")
