"""The pages of metrics in the UI."""

from __future__ import annotations

import runpy

import pytest
from starlette.testclient import TestClient

from jobs.lib import partitions, runs
from tests.dags.conftest import DAGS

DS = "20261121"


@pytest.fixture
def client(solution_file):
    page = runpy.run_path(str(DAGS / "flowlib" / "plugins" / "metrics_page.py"))
    page["app"].dependency_overrides[page["signed_in"]] = lambda: None
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


def test_an_unknown_scenario_is_not_found(client):
    answer = client.get("/nowhere")
    assert answer.status_code == 404 and "no scenario 'nowhere'; there are: detail_page, home_page" in answer.text


def test_whoever_is_not_signed_in_sees_nothing(solution_file):
    page = runpy.run_path(str(DAGS / "flowlib" / "plugins" / "metrics_page.py"))
    assert TestClient(page["app"], raise_server_exceptions=False).get(f"/home_page/{DS}").status_code >= 400
