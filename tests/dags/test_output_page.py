"""The pages behind the `Output` links."""

from __future__ import annotations

import runpy

import deltalake
import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from jobs.lib import partitions
from jobs.lib.object_store import open_store
from jobs.lib.settings import settings
from tests.dags.conftest import DAGS


@pytest.fixture
def page(solution_file):
    """The plugin's module, as Airflow loads it: by its file."""
    return runpy.run_path(str(DAGS / "flowlib" / "plugins" / "output_page.py"))


@pytest.fixture
def client(page):
    page["app"].dependency_overrides[page["signed_in"]] = lambda: None
    return TestClient(page["app"])


def test_a_partition_shows_its_record_its_checks_and_its_first_rows(client):
    rows = pa.table({"item_id": ["<b>7</b>"], "score": [0.5], "ds": ["20261121"]})
    deltalake.write_deltalake(partitions.table_path("home_page_hot"), rows, partition_by=["ds"])
    check = {"name": "score_finite", "severity": "fail", "passed": True}
    partitions.write_record("home_page_hot", "20261121", {"rows": 1, "checks": [check]})
    shown = client.get("/home_page_hot/20261121").text
    assert "score_finite" in shown and "&lt;b&gt;7&lt;/b&gt;" in shown and "<b>7" not in shown


def test_a_partition_that_was_not_written_says_so(client):
    assert "No record" in client.get("/home_page_hot/20261121").text


def test_a_publish_node_shows_the_report_first_and_serves_it_sandboxed(client):
    store = open_store(settings().publish_root)
    for name in ("manifest.json", "report/index.html"):
        store.put(f"home_page/ds=20261121/v=c-1/{name}", b"<h1>Report</h1>")
    shown = client.get("/home_page_publish/20261121").text
    assert shown.index("report/index.html") < shown.index("manifest.json")
    report = client.get("/published/home_page/ds=20261121/v=c-1/report/index.html")
    assert report.text == "<h1>Report</h1>"
    assert report.headers["content-type"].startswith("text/html")
    assert report.headers["content-security-policy"].startswith("sandbox")


@pytest.mark.parametrize("path", ["/..%2F..%2Fetc/20261121", "/home_page_hot/today", "/published/..%2F..%2Fsecret"])
def test_nothing_but_tables_days_and_published_objects_is_served(client, path):
    assert client.get(path).status_code >= 400


def test_who_is_not_signed_in_sees_nothing(page):
    assert TestClient(page["app"]).get("/home_page_hot/20261121").status_code == 401
