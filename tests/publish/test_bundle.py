"""Verification finds what is wrong; tools that are not ours open what is right."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from jobs.lib.object_store import MissingObject, open_store
from jobs.lib.settings import PROJECT_ROOT
from jobs.publish.bundle import BundleError, entry, latest, manifest_of, verify
from jobs.publish.formats import json_bytes
from tests.publish.builders import DS


def put_bundle(root: str, ds: str = DS, text: bytes = b"{}\n") -> str:
    """A bundle of one object, and the pointer to it."""
    store = open_store(root)
    manifest = manifest_of([entry("model/none.json", text)], {"scenario": "s", "ds": ds})
    folder = f"ds={ds}/v={manifest['version']}"
    store.put(f"{folder}/model/none.json", text)
    store.put(f"{folder}/manifest.json", json_bytes(manifest))
    pointer = {"ds": ds, "version": manifest["version"], "manifest": f"{folder}/manifest.json"}
    store.put("latest.json", json_bytes(pointer))
    return f"{root}/{folder}"


def test_a_whole_bundle_holds_by_each_of_its_addresses(store_url):
    address = put_bundle(store_url)
    assert verify(address) == verify(f"{address}/") == verify(f"{address}/manifest.json") == verify(store_url) == []


def test_tampering_missing_and_unlisted_objects_are_found(store_url):
    store = open_store(put_bundle(store_url))
    store.put("model/none.json", b"[]\n")
    assert verify(store.root) == ["model/none.json has other content than the manifest says (sha256)"]
    store.put("model/none.json", b"{} \n")
    assert verify(store.root) == ["model/none.json has 4 bytes, the manifest says 3"]
    store.delete("model/none.json")
    store.put("model/other.json", b"")
    assert verify(store.root) == ["model/none.json is missing", "model/other.json is not in the manifest"]


def test_a_changed_manifest_gives_itself_away(store_url):
    store = open_store(put_bundle(store_url))
    manifest = json.loads(store.get("manifest.json"))
    store.put("manifest.json", json_bytes({**manifest, "notes": ["all is well"]}))
    assert "the version does not follow from the content" in verify(store.root)[0]


def test_wrong_rows_and_columns_are_found(store_url):
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({"item_id": ["1"]}), buffer)
    column = [{"name": "item_id", "type": "string"}]
    store = open_store(store_url)
    for rows, schema in ((2, column), (1, [{"name": "item", "type": "string"}])):
        manifest = manifest_of([entry("x.parquet", buffer.getvalue(), rows, schema)], {"ds": DS})
        folder = f"ds={DS}/v={manifest['version']}"
        store.put(f"{folder}/x.parquet", buffer.getvalue())
        store.put(f"{folder}/manifest.json", json_bytes(manifest))
        (problem,) = verify(f"{store_url}/{folder}")
        assert problem.startswith("x.parquet has")
    manifest = manifest_of([entry("x.jsonl.gz", b"no gzip", 2, [])], {"ds": DS})
    folder = f"ds={DS}/v={manifest['version']}"
    store.put(f"{folder}/x.jsonl.gz", b"no gzip")
    store.put(f"{folder}/manifest.json", json_bytes(manifest))
    assert verify(f"{store_url}/{folder}")[0].startswith("x.jsonl.gz cannot be opened")


def test_a_manifest_may_not_lead_out_of_its_folder(store_url):
    store = open_store(store_url)
    manifest = manifest_of([entry("../../latest.json", b"")], {"ds": DS})
    store.put(f"ds={DS}/v={manifest['version']}/manifest.json", json_bytes(manifest))
    (problem,) = verify(f"{store_url}/ds={DS}/v={manifest['version']}")
    assert "is no key" in problem


def test_a_broken_or_dangling_pointer_is_a_problem_and_not_a_crash(store_url):
    address = put_bundle(store_url)
    store = open_store(store_url)
    outside = b'{"ds": "20261121", "version": "x", "manifest": "/m"}'
    for broken in (b"{", b"[]", b'{"ds": 1, "version": "c", "manifest": "m"}', outside):
        store.put("latest.json", broken)
        assert "is no pointer" in verify(store_url)[0]
        with pytest.raises(BundleError):
            latest(store_url)
    store.put("latest.json", json_bytes({"ds": DS, "version": "c-0", "manifest": f"ds={DS}/v=c-0/manifest.json"}))
    assert "which is missing" in verify(store_url)[0]
    store.put("latest.json", json_bytes({"ds": DS, "version": "c-0", "manifest": "elsewhere/manifest.json"}))
    assert "is not that of its ds and version" in verify(store_url)[0]
    assert verify(address) == []


def test_nothing_at_an_address_is_a_problem(store_url):
    assert verify(store_url) == [f"{store_url}: neither manifest.json nor latest.json is here"]
    with pytest.raises(MissingObject):
        latest(store_url)


def test_tools_that_are_not_ours_open_the_bundle(bundle):
    """In a process that does not know recflow."""
    code = """
import gzip, json, sys
import duckdb, pandas, polars, xgboost
folder = sys.argv[1]
pairec = {name: dict(duckdb.sql(f"select * exclude (ds, v) from '{folder}/recall/{name}/pairec/*.parquet'").fetchall())
          for name in ('etrec_i2i', 'etrec_u2i', 'hot')}
assert pairec['etrec_i2i'] == {'1': '2:0.5', '10': '1:0.1', '2': '1:0.5,3:0.25'}, pairec
assert pairec['etrec_u2i'] == {'1': '2:etrec_u2i:0.5,3:etrec_u2i:0.2', '2': '1:etrec_u2i:0.25'}, pairec
assert pairec['hot'] == {'-1': '2:hot:3.0,1:hot:0.5'}, pairec
long = polars.read_parquet(f'{folder}/recall/etrec_i2i/*.parquet')
assert long.rows() == [('1', '2', 0.5, 1), ('10', '1', 0.1, 1), ('2', '1', 0.5, 1), ('2', '3', 0.25, 2)], long
items = polars.read_parquet(f'{folder}/features/item/*.parquet').select('item_id', 'item__ctr_15d', 'title')
assert items.rows() == [('1', 1 / 3, 'Title <1>'), ('10', 0.5, None), ('2', 0.25, 'Title <2>'),
                        ('3', None, 'Title <3>'), ('4', None, 'Title <4>')], items
users = polars.read_parquet(f'{folder}/features/user/*.parquet')
users = users.select('user_id', 'user__click_cnt_15d', 'user__category_click_kv_15d', 'user__gender', 'tags')
assert users.rows() == [('1', 4.0, 'food:4,a%3Ab:1', 'female', ['food', 'toys']), ('2', None, None, 'male', None),
                        ('5', None, None, None, ['toys'])], users
shown = duckdb.sql(f"select user_id, item_id, rank, sources[1].recall from '{folder}/recommendations/rows/*.parquet'")
assert shown.fetchall()[0] == ('1', '2', 1, 'etrec_u2i'), shown
with gzip.open(f'{folder}/recommendations/part-00000.jsonl.gz', 'rt') as lines:
    assert [json.loads(line)['output']['recommendedItems'] for line in lines] == [['2', '3'], ['1'], ['2']]
assert json.load(open(f'{folder}/fallback/hot.json'))['key'] == '-1'
features = json.load(open(f'{folder}/model/features.json'))['columns']
gender = pandas.Categorical(['male'], categories=features[1]['categories'])
rows = pandas.DataFrame({features[0]['name']: [0.3], features[1]['name']: gender})
booster = xgboost.Booster(model_file=f'{folder}/model/is_click.ubj')
scores = booster.predict(xgboost.DMatrix(rows, enable_categorical=True))
assert 0 < scores[0] < 1
"""
    subprocess.run([sys.executable, "-I", "-c", code, bundle.removeprefix("file://")], check=True)


def test_bundles_are_verified_without_spark():
    code = "import sys, jobs.publish.bundle; assert 'pyspark' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT_ROOT)
