"""The pages behind the `Output` links."""

from __future__ import annotations

import runpy

import deltalake
import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from jobs.lib import partitions, quality_results, runs
from jobs.lib.object_store import open_store
from jobs.lib.quality_results import Result
from jobs.lib.settings import settings
from tests.dags.conftest import DAGS


@pytest.fixture
def page(solution_file):
    """The plugin's module, as Airflow loads it: by its file."""
    return runpy.run_path(str(DAGS / "flowlib" / "plugins" / "output_page.py"))


@pytest.fixture
def client(page):
    [signed_in] = page["app"].router.dependencies
    page["app"].dependency_overrides[signed_in.dependency] = lambda: None
    return TestClient(page["app"])


def test_a_partition_shows_its_record_and_its_first_rows(client):
    rows = pa.table({"item_id": ["<b>7</b>"], "score": [0.5], "ds": ["20261121"]})
    deltalake.write_deltalake(partitions.table_path("home_page_hot"), rows, partition_by=["ds"])
    partitions.write_record("home_page_hot", "20261121", {"rows": 1})
    shown = client.get("/home_page_hot/20261121").text
    assert "&lt;b&gt;7&lt;/b&gt;" in shown and "<b>7" not in shown


def test_checks_are_shown_with_their_levels_also_of_a_write_that_was_blocked(client):
    result = Result("20261121", "score_finite", "range", "fail", "red", 3, 10, red="> 0")
    quality_results.keep("t", "t", "scores", "c-1", "20261121", {"results": [result.as_dict()]})
    shown = client.get("/t/20261121").text
    assert "No record" in shown
    for cell in ("score_finite", "red, blocks", "3 offending rows of 10 (30.00%)", "&gt; 0"):
        assert f"<td>{cell}</td>" in shown


def test_the_data_docs_of_the_day_are_linked_and_served(client):
    open_store(settings().warehouse_root).put("_data_docs/20261121/home_page/index.html", b"<h1>Docs</h1>")
    page = "20261121/home_page/validations/home_page_hot__recall_hot/20261121/T/figures.html"
    open_store(settings().warehouse_root).put(f"_data_docs/{page}", b"<h1>Hot</h1>")
    assert f'<a href="../data_docs/{page}">home_page_hot__recall_hot</a>' in client.get("/home_page_hot/20261121").text
    assert page not in client.get("/home_page_other/20261121").text
    link = "data_docs/20261121/home_page/index.html"
    assert f'href="../{link}"' in client.get("/home_page_hot/20261121").text
    served = client.get(f"/{link}")
    assert (served.text, served.headers["content-security-policy"]) == ("<h1>Docs</h1>", "sandbox allow-scripts")
    assert client.get("/data_docs/20261121/home_page/other.html").status_code == 404


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


def test_a_partition_shows_how_its_last_run_ended_and_what_it_was_made_from(client):
    inputs = {"home_page_actions_daily": {"20261120": None, "20261121": "abc"}}
    runs.done("home_page_hot", "20261121", {"code": "c", "config": "d", "inputs": inputs}, {}, 1.5)
    shown = client.get("/home_page_hot/20261121").text
    for cell in ("done", "home_page_actions_daily", "20261120..20261121", "20261120"):
        assert f"<td>{cell}</td>" in shown, cell
    runs.failed("home_page_hot", "20261120", "out of luck")
    assert "<td>out of luck</td>" in client.get("/home_page_hot/20261120").text
