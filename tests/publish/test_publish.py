"""What is published, and that it is the same whenever the tables are."""

from __future__ import annotations

import gzip
import io
import json

import pytest

from jobs.lib.errors import MissingPartition
from jobs.lib.object_store import open_store
from jobs.publish import exports
from jobs.publish.bundle import latest, verify
from jobs.publish.publish import publish
from tests.publish.builders import DS, day, metadata, solution, write_table


def content(address: str) -> dict[str, bytes]:
    store = open_store(address)
    return {key: store.get(key) for key in store.list()}


def manifest(address: str) -> dict:
    return json.loads(open_store(address).get("manifest.json"))


def test_a_day_becomes_one_bundle_that_holds(published, spark):
    address = publish(solution(), DS)
    assert verify(address) == []
    assert verify(published) == []
    version = address.rsplit("v=", 1)[1]
    assert latest(published) == {"ds": DS, "version": version, "manifest": f"ds={DS}/v={version}/manifest.json"}
    assert sorted(content(address)) == [
        "fallback/hot.json",
        "features/item/part-00000.parquet",
        "features/user/part-00000.parquet",
        "manifest.json",
        "model/booster.ubj",
        "model/features.json",
        "model/training.json",
        "recall/etrec_i2i/pairec/part-00000.parquet",
        "recall/etrec_i2i/part-00000.parquet",
        "recall/etrec_u2i/pairec/part-00000.parquet",
        "recall/etrec_u2i/part-00000.parquet",
        "recall/hot/pairec/part-00000.parquet",
        "recall/hot/part-00000.parquet",
        "recall/hot_fallback/part-00000.parquet",
        "recommendations/part-00000.jsonl.gz",
        "report/index.html",
    ]
    assert [key for key in open_store(published).list() if not key.startswith(f"ds={DS}/v=")] == ["latest.json"]


def test_lists_come_in_the_shape_of_batch_inference(published, spark):
    store = open_store(publish(solution(), DS))
    lines = gzip.decompress(store.get("recommendations/part-00000.jsonl.gz")).decode().splitlines()
    assert lines[0] == (
        '{"input":{"userId":"1"},"output":{"recommendedItems":["2","3"],"scores":[0.75,0.125]},"error":null}'
    )
    assert [json.loads(line)["input"]["userId"] for line in lines] == ["1", "2", "ü-3"]


def test_publishing_twice_gives_the_same_version_and_bytes(published, spark):
    first = publish(solution(), DS)
    before = content(published)
    assert publish(solution(), DS) == first
    assert content(published) == before


def test_the_same_tables_published_elsewhere_give_the_same_bytes(published, spark, tmp_path, monkeypatch):
    here = content(publish(solution(), DS))
    monkeypatch.setenv("RECFLOW_PUBLISH", f"file://{tmp_path}/elsewhere")
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "1")
    try:
        assert content(publish(solution(), DS)) == here
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")


def test_other_content_is_another_version_and_the_pointer_follows(published, spark, own_tables):
    first = publish(solution(), DS)
    own_tables()
    contract, columns, _ = day()["home_page_hot"]
    write_table(spark, "home_page_hot", contract, columns, [("-1", "2", 3.5, 1)])
    second = publish(solution(), DS)
    assert second != first
    assert second.endswith(latest(published)["version"])
    assert verify(first) == verify(second) == []


def test_a_changed_note_or_configuration_is_another_version_too(published, spark):
    first = publish(solution(), DS)
    assert publish(solution(events=["expr", "click"]), DS) != first


def test_big_tables_become_several_parts_by_key_and_parts_without_rows_exist(published, spark, monkeypatch):
    import pyarrow.parquet as pq

    monkeypatch.setattr(exports, "ROWS_PER_PART", 1)
    address = publish(solution(), DS)
    assert verify(address) == []
    entries = {e["key"]: e for e in manifest(address)["objects"]}
    parts = [f"recall/etrec_i2i/part-0000{n}.parquet" for n in range(4)]
    assert sum(entries[key]["rows"] for key in parts) == 4
    assert 0 in {entries[key]["rows"] for key in parts}
    store, triggers = open_store(address), []
    for key in parts:
        triggers.append(set(pq.read_table(io.BytesIO(store.get(key))).column("trigger_item_id").to_pylist()))
    assert sum(len(t) for t in triggers) == len(set().union(*triggers)) == 3


def test_without_a_model_the_bundle_says_why(published, spark, own_tables):
    own_tables()
    tables = day()
    contract, columns, rows = tables["home_page_recommendations"]
    write_table(spark, "home_page_recommendations", contract, columns, [(*row[:-1], "recall") for row in rows])
    contract, columns, _ = tables["home_page_rank_model"]
    why = metadata(status="too_little_data", reason="2 positives, 100 are needed")
    write_table(spark, "home_page_rank_model", contract, columns, [("too_little_data", None, why)])
    address = publish(solution(), DS)
    said = "Lists are ordered by recall score: too little data to train (2 positives, 100 are needed)."
    assert said in manifest(address)["notes"]
    assert json.loads(open_store(address).get("model/none.json")) == {"reason": said}
    assert said in open_store(address).get("report/index.html").decode()
    assert verify(address) == []


def test_a_day_without_lists_is_published_and_says_so(published, spark, own_tables):
    own_tables()
    for name in ("recommendations", "evaluation", "etrec_i2i", "etrec_u2i", "hot", "user_features"):
        contract, columns, _ = day()[f"home_page_{name}"]
        write_table(spark, f"home_page_{name}", contract, columns, [])
    address = publish(solution(), DS)
    assert verify(address) == []
    assert "No lists: no user was active." in manifest(address)["notes"]


def test_an_older_model_is_named(published, spark, own_tables):
    own_tables()
    contract, columns, rows = day("20261118")["home_page_recommendations"]
    write_table(spark, "home_page_recommendations", contract, columns, rows)
    contract, columns, rows = day()["home_page_rank_model"]
    write_table(spark, "home_page_rank_model", contract, columns, rows, "20261118")
    about = manifest(publish(solution(), DS))
    assert about["model"]["ds"] == "20261118"
    assert any("model of 20261118" in note for note in about["notes"])


def test_a_missing_partition_is_named_and_nothing_is_published(published, spark):
    with pytest.raises(MissingPartition, match="home_page_recommendations has no partition ds=20261122"):
        publish(solution(), "20261122")
    assert open_store(published).list() == []


def test_the_manifest_says_from_what_it_was_made_and_nothing_of_the_machine(published, spark, tmp_path, one_day):
    address = publish(solution(), DS)
    about, page = manifest(address), open_store(address).get("report/index.html").decode()
    assert {"table": "home_page_hot", "ds": DS, "rows": 2}.items() <= next(
        i for i in about["inputs"] if i["table"] == "home_page_hot"
    ).items()
    assert set(about["config"]["contracts"]) >= {"recommendations", "recall_hot", "user_features"}
    assert {"subject": "ranking", "measure": "auc", "k": 0, "value": 0.731, "n": 4} in about["metrics"]
    for text in (json.dumps(about), page):
        assert str(tmp_path) not in text and str(one_day) not in text
