"""The pages of metrics in the UI."""

from __future__ import annotations

import json
import runpy

import pytest
from starlette.testclient import TestClient

from jobs.deploy.active import POINTER, deployments
from jobs.deploy.package import PACKAGE, contents, version_of, zipped
from jobs.lib import partitions, runs
from tests.dags.conftest import DAGS, SOLUTION

DS = "20261121"


@pytest.fixture
def client(solution_file):
    page = runpy.run_path(str(DAGS / "flowlib" / "plugins" / "metrics_page.py"))
    [signed_in] = page["app"].router.dependencies
    page["app"].dependency_overrides[signed_in.dependency] = lambda: None
    return TestClient(page["app"])


def test_a_day_shows_its_nodes_and_what_is_late(client, monkeypatch):
    monkeypatch.setattr("jobs.flow.metrics.yesterday", lambda solution: DS)
    partitions.write_record("home_page_hot", DS, {"rows": 1234, "content": "c"})
    runs.failed("home_page_input_checks", DS, "<b>bad</b>")
    shown = client.get(f"/home_page/{DS}").text
    assert '<td class="n">1,234</td>' in shown and "failed: &lt;b&gt;bad&lt;/b&gt;" in shown and "<b>bad" not in shown
    assert "waiting for shop_events ds=20261121: not committed yet (newest: none)" in shown


def test_the_days_are_listed_and_linked(client):
    runs.failed("home_page_input_checks", DS, "bad")
    assert f'<a href="/recflow_metrics/home_page/{DS}">{DS}</a>' in client.get("/home_page").text
    assert '<td class="">no</td><td class=""></td>' in client.get("/home_page").text  # history: nothing is wrong
    assert client.get("/", follow_redirects=False).headers["location"] == "/recflow_metrics/home_page"


def test_what_is_deployed_is_shown_and_not_what_is_installed(client, tmp_path):
    default = tmp_path / "my_page.yaml"
    default.write_text(SOLUTION.read_text().replace("scenario: home_page", "scenario: my_page"))
    files = contents(default)
    files["dags/other_page.yaml"] = files.pop("dags/detail_page.yaml").replace(b"detail_page", b"other_page")
    package = zipped(files)
    version = version_of(package)
    deployments().put(f"{version}/{PACKAGE}", package)
    deployments().put(POINTER, json.dumps({"version": version}).encode())
    assert client.get("/", follow_redirects=False).headers["location"] == "/recflow_metrics/my_page"
    assert client.get("/other_page").status_code == 200
    answer = client.get("/detail_page").text
    assert "no scenario 'detail_page'; there are: home_page, other_page, my_page" in answer


def test_an_unknown_scenario_is_not_found(client):
    answer = client.get("/nowhere")
    assert answer.status_code == 404 and "no scenario 'nowhere'; there are: detail_page, home_page" in answer.text


def test_whoever_is_not_signed_in_sees_nothing(solution_file):
    page = runpy.run_path(str(DAGS / "flowlib" / "plugins" / "metrics_page.py"))
    assert TestClient(page["app"], raise_server_exceptions=False).get(f"/home_page/{DS}").status_code >= 400
