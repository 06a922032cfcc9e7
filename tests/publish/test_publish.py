"""What is published, and that it is the same whenever the tables are."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.lib.contracts import load_contract
from jobs.lib.errors import MissingPartition
from jobs.lib.object_store import open_store
from jobs.publish.bundle import latest, verify
from jobs.publish.notes import of_pins
from jobs.publish.publish import publish
from tests.publish.builders import DS, boosters, metadata, solution, source, write_table


def content(address: str) -> dict[str, bytes]:
    store = open_store(address)
    return {key: store.get(key) for key in store.list()}


def manifest(address: str) -> dict:
    return json.loads(open_store(address).get("manifest.json"))


def test_a_day_becomes_one_bundle_that_holds(bundle):
    root, _, folder = bundle.partition(f"/ds={DS}")
    assert verify(bundle) == verify(root) == []
    version = folder.removeprefix("/v=")
    assert latest(root) == {"ds": DS, "version": version, "manifest": f"ds={DS}/v={version}/manifest.json"}
    assert sorted(content(bundle)) == [
        "fallback/hot.json",
        "features/item/part-00000.parquet",
        "features/lists/etrec_i2i/part-00000.parquet",
        "features/lists/etrec_u2i/part-00000.parquet",
        "features/lists/hot/part-00000.parquet",
        "features/user/part-00000.parquet",
        "filtered/part-00000.parquet",
        "filters/events/part-00000.parquet",
        "filters/item/part-00000.parquet",
        "filters/rules.json",
        "filters/user/part-00000.parquet",
        "manifest.json",
        "model/card.md",
        "model/features.json",
        "model/is_click.ubj",
        "model/training.json",
        "recall/etrec_i2i/pairec/part-00000.parquet",
        "recall/etrec_i2i/part-00000.parquet",
        "recall/etrec_u2i/pairec/part-00000.parquet",
        "recall/etrec_u2i/part-00000.parquet",
        "recall/hot/pairec/part-00000.parquet",
        "recall/hot/part-00000.parquet",
        "recall/hot_fallback/part-00000.parquet",
        "recommendations/part-00000.jsonl.gz",
        "recommendations/rows/part-00000.parquet",
        "report/index.html",
    ]
    assert [key for key in open_store(root).list() if not key.startswith(f"ds={DS}/v=")] == ["latest.json"]


def test_lists_come_in_the_shape_of_batch_inference(bundle):
    lines = gzip.decompress(open_store(bundle).get("recommendations/part-00000.jsonl.gz")).decode().splitlines()
    assert lines[0] == (
        '{"input":{"userId":"1"},"output":{"recommendedItems":["2","3"],"scores":[0.75,0.125]},"error":null}'
    )
    assert [json.loads(line)["input"]["userId"] for line in lines] == ["1", "2", "ü-3"]


def test_the_manifest_says_from_what_it_was_made_and_nothing_of_the_machine(bundle, one_day):
    about, page = manifest(bundle), open_store(bundle).get("report/index.html").decode()
    (hot,) = [table for table in about["inputs"] if table["table"] == "home_page_hot"]
    assert (hot["ds"], hot["rows"]) == (DS, 2) and hot["content"]
    contracts = about["config"]["contracts"]
    assert contracts["home_page_hot"] == {"recall_hot": load_contract("recall_hot").content_id}
    item_table = "rec_sln_demo_item_table_v1"
    assert contracts[item_table] == {name: load_contract(name).content_id for name in (item_table, "input_item")}
    assert set(contracts[solution().tables.behavior.table]) == {"input_behavior"}
    auc = {"value": 0.731, "low": 0.7, "high": 0.75, "n": 4}
    assert {"subject": "ranking", "slice": "", "measure": "auc", "k": 0, **auc} in about["metrics"]
    assert "Short history: user_features lacks 14 of 14 days of home_page_actions_daily." in about["notes"]
    removed = [note for note in about["notes"] if note.startswith("The filter ")]
    assert removed[1] == "The filter young removed 1 candidates: 1 items, for 1 users." and len(removed) == 4
    others = [note for note in about["notes"] if note not in removed]
    assert all(note.startswith("Short history: ") for note in others)  # the day stands alone
    for text in (json.dumps(about), page):
        assert str(one_day.parent) not in text


def test_the_report_shows_the_day(bundle):
    page = open_store(bundle).get("report/index.html").decode()
    for shown in (
        "Title &lt;2&gt;",
        "0.731",
        "12.5%",
        "etrec_u2i (1), hot (1)",
        "Lately: Title &lt;1&gt;",
        "Because of their click on “Title &lt;1&gt;”",
        "the busiest 1% (1 item) 25.0% of the recommendations",  # item 1: one of four rows, and the only click
        "100.0% of the clicks",
        "ü-3",
        "62.5%",
    ):
        assert shown in page


def test_the_same_tables_published_anywhere_and_again_are_the_same_bytes(
    bundle, one_day, spark, store_url, executors_reach, monkeypatch, request
):
    monkeypatch.setenv("RECFLOW_WAREHOUSE", str(one_day))
    monkeypatch.setenv("RECFLOW_PUBLISH", store_url)
    monkeypatch.delenv("RECFLOW_ENV", raising=False)
    executors_reach()
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", 1)
    try:
        address = publish(solution(), DS)
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")
    assert content(address) == content(bundle)
    request.getfixturevalue("exported")
    assert publish(solution(), DS) == address and content(address) == content(bundle)
    assert verify(f"{store_url}/dev/home_page") == []
    assert open_store(store_url).list("dev/home_page/_staging/") == []


def test_other_rows_or_another_configuration_are_another_version(bundle, published, exported):
    configured = publish(solution(publish=solution().publish.model_dump() | {"top_n": 10}), DS)
    exported.undo()
    write_table("home_page_hot", [("-1", "2", 3.5, 1)])
    changed = publish(solution(), DS)
    assert len({address.rsplit("/", 1)[1] for address in (bundle, configured, changed)}) == 3
    assert changed.endswith(latest(published)["version"])
    assert verify(configured) == verify(changed) == []


def test_vectors_are_published_as_they_are_by_their_full_key(published):
    lines = [{"name": "vectors", "job": "vectors"}]
    store = open_store(publish(solution(recalls=lines, publish={"fallback": None}, ranking={}), DS))
    assert [key for key in store.list() if "/vectors/" in key] == ["recall/vectors/part-00000.parquet"]
    rows = pq.read_table(pa.BufferReader(store.get("recall/vectors/part-00000.parquet"))).to_pylist()
    assert [(row["id"], row["side"], row["vector"]) for row in rows] == [
        ("10", "item", [0.0, 0.25]),
        ("10", "user", [1.5, 2.0]),
        ("2", "item", [1.0, -1.0]),
        ("2", "user", [0.5, 1.0]),
    ]


def test_without_a_model_the_bundle_says_why(published, exported):
    rows = [("1", "2", 0.5, 1, 1, [], [source("hot", 3.0, 1)], "recall")]
    write_table("home_page_recommendations", rows)
    why = metadata(status="too_little_data", reason="2 positives, 100 are needed")
    write_table("home_page_rank_model", [("too_little_data", None, why)])
    address = publish(solution(), DS)
    said = "Lists are ordered by recall score: too little data to train (2 positives, 100 are needed)."
    assert said in manifest(address)["notes"]
    assert json.loads(open_store(address).get("model/none.json")) == {"reason": said}
    assert said in open_store(address).get("report/index.html").decode()
    assert verify(address) == []


def test_a_model_that_was_held_back_is_named_with_the_reason_and_the_one_that_serves(published, exported):
    gate = {
        "accepted": False,
        "reason": "GAUC 0.5500 on the test days, the item's own rate 0.5800: it does not beat it",
    }
    held_back = metadata(status="held_back", gate={**gate, "margin": 0.005})
    write_table("home_page_rank_model", [("held_back", boosters(), held_back)])
    write_table("home_page_rank_model", [("trained", boosters(b"older"), metadata())], "20261118")
    write_table("home_page_recommendations", [("1", "2", 0.5, 1, 1, [], [source("hot", 3.0, 1)], "20261118")])
    address = publish(solution(), DS)
    said = f"The model trained on {DS} was held back: {gate['reason']}. The one of 20261118 serves."
    assert said in manifest(address)["notes"]
    assert manifest(address)["model"]["newest"] == {"ds": DS, **gate}
    assert open_store(address).get("model/is_click.ubj") == b"older"

    write_table("home_page_recommendations", [("1", "2", 0.5, 1, 1, [], [source("hot", 3.0, 1)], "recall")])
    address = publish(solution(), DS)
    said = f"Lists are ordered by recall score: no model has passed the gate ({gate['reason']})."
    assert said in manifest(address)["notes"] and verify(address) == []
    assert json.loads(open_store(address).get("model/none.json")) == {"reason": said}


def test_an_older_model_is_named(published, exported):
    write_table("home_page_recommendations", [("1", "2", 0.5, 1, 1, [], [source("hot", 3.0, 1)], "20261118")])
    write_table("home_page_rank_model", [("trained", boosters(b"older"), metadata())], "20261118")
    address = publish(solution(), DS)
    assert manifest(address)["model"]["ds"] == "20261118"
    assert any("model of 20261118" in note for note in manifest(address)["notes"])
    assert open_store(address).get("model/is_click.ubj") == b"older"


def test_pinned_items_are_counted_and_those_that_are_nowhere_are_named(published):
    pinned = [{"item": item, "place": place} for place, item in enumerate(("3", "4", "nope"), start=1)]
    rows = [(user, "3", 0.5, 1, 2, ["pinned"], [source("hot", 3.0, 1), source("pinned", 0.0, 1)], DS) for user in "12"]
    write_table("home_page_recommendations", [*rows, ("5", "4", 0.5, 1, 1, [], [source("hot", 3.0, 1)], DS)])
    assert of_pins(solution(publish={"rerank": {"pinned": pinned}}), DS) == [
        "The pinned item 3 is in 2 lists.",
        "The pinned item 4 is in no list: filters or its own condition leave it to nobody.",
        "The pinned item nope is in no list: it is not on offer.",
    ]
    assert of_pins(solution(), DS) == []


def test_a_day_without_lists_is_published_and_says_so(published):
    for name in ("recommendations", "evaluation", "etrec_i2i", "user_features"):
        write_table(f"home_page_{name}", [])
    address = publish(solution(), DS)
    assert verify(address) == []
    assert "No lists: no user was active." in manifest(address)["notes"]


def test_a_missing_partition_is_named_and_nothing_is_published(published):
    with pytest.raises(MissingPartition, match=r"home_page_\w+ has no partition ds=20261122"):
        publish(solution(), "20261122")
    assert open_store(published).list() == []
