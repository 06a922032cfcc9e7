"""A day's metrics: out of which records they come, as text, JSON and for Prometheus."""

from __future__ import annotations

import json
import threading

import pytest

from jobs.flow import alerts, backfill
from jobs.flow.metrics import metrics_of, shown
from jobs.flow.plan import Request
from jobs.flow.prometheus import exposition
from jobs.lib import partitions, quality_results, runs
from jobs.lib.cli import main
from jobs.lib.days import day_range
from jobs.lib.object_store import open_store
from jobs.lib.quality_results import Result
from jobs.lib.settings import settings
from tests.flow.world import World, small_solution

DAYS = day_range("20261101", "20261103")
LAST = DAYS[-1]
VERSION = f"ds={LAST}/v=c-0123456789abcdef"


@pytest.fixture
def solution(warehouse, monkeypatch):
    """Three days made and the last published; figures of the model are another file's (rank_model)."""
    world = World(small_solution(), monkeypatch)
    world.arrive(DAYS)
    backfill.run(world.solution, Request(DAYS[0], LAST))
    gate = {"status": "held_back", "reason": "AUC 0.6 is worse"}
    monkeypatch.setattr("jobs.flow.alerts.model_of", lambda solution, ds: gate if ds == LAST else None)
    return world.solution


def publish(solution):
    store = open_store(f"{settings().publish_root}/{solution.scenario}")
    metric = {"subject": "list", "slice": "", "measure": "coverage", "k": 10, "value": 0.5}
    objects = [{"key": f"recommendations/part-{n}.jsonl.gz", "rows": 40} for n in range(2)]
    objects.append({"key": "recommendations/rows/part-0.parquet", "rows": 900})
    manifest = {"objects": objects, "metrics": [metric, metric | {"slice": "new"}, metric | {"k": 20, "value": None}]}
    store.put(f"{VERSION}/manifest.json", json.dumps(manifest).encode())
    store.put(
        "latest.json",
        json.dumps({"ds": LAST, "version": "c-0123456789abcdef", "manifest": f"{VERSION}/manifest.json"}).encode(),
    )


def test_a_day_is_told_by_its_nodes_checks_gate_and_bundle(solution):
    publish(solution)
    runs.done("home_page_hot", DAYS[0], {}, {}, 2.0)
    runs.done("home_page_hot", DAYS[1], {}, {}, 99.0, days=30)  # a share of a pass says nothing about one day
    green = Result(LAST, "complete", "not_null", "fail", "green", 0, 10)
    red = Result(LAST, "fresh", "freshness", "fail", "red", 30)
    quality_results.keep("home_page_hot", "home_page_hot", "recall_hot", "c", LAST, {"results": [green.as_dict()]})
    quality_results.keep("home_page_u2i", "home_page_u2i", "recall_u2i", "c", LAST, {"results": [red.as_dict()]})
    quality_results.keep("other", "other", "recall_u2i", "c", LAST, {"results": [red.as_dict()]})  # another scenario's
    found = metrics_of(solution, LAST)
    hot = next(node for node in found.nodes if node.node == "home_page_hot")
    assert (hot.state, hot.rows, hot.seconds, hot.usual_seconds) == ("present", 1, 0.5, 2.0)
    assert hot.started == hot.ended - 0.5
    runs.done("home_page_u2i", LAST, {}, {}, 0.5, days=30)
    shared = next(node for node in metrics_of(solution, LAST).nodes if node.node == "home_page_u2i")
    assert (shared.seconds, shared.started) == (0.5, None)  # who knows when it began in a pass over 30 days
    assert found.quality == {"green": 1, "orange": 0, "red": 1, "no_history": 0} and found.blocking == ("fresh",)
    assert (found.bundle["lists"], found.bundle["objects"], found.bundle["is_latest"]) == (80, 3, True)
    assert found.measures == {"list.coverage@10": 0.5} and found.late == ()
    text = shown(found, "UTC")
    for line in ("model: held_back: AUC 0.6 is worse", "checks: 1 green, 0 orange, 1 red, 0 no_history; blocks: fresh"):
        assert line in text.splitlines()


def test_a_day_that_is_not_published_says_what_it_waits_for(solution, monkeypatch):
    monkeypatch.setattr("jobs.flow.metrics.yesterday", lambda solution: "20261104")
    found = metrics_of(solution, "20261104")
    behavior = solution.tables.behavior.table
    assert f"waiting for {behavior} ds=20261104: not committed yet (newest: ds={LAST})" in found.late
    assert found.bundle is None and {node.state for node in found.nodes} == {"missing"}


def test_a_day_made_as_history_is_not_late_and_one_that_there_was_an_alert_about_is(solution):
    found = metrics_of(solution, DAYS[0])
    assert (found.is_published, found.late) == (False, ())
    assert 'recflow_published{scenario="home_page"} 0' in exposition(found).splitlines()
    alerts.send(alerts.Alert(alerts.MISSED, "home_page", DAYS[0], "home_page_publish", "07:30 was the deadline"))
    assert metrics_of(solution, DAYS[0]).late[0].startswith("home_page_hot, home_page_i2i: not started")


def test_in_brief_each_node_costs_one_request_and_tells_how_long_it_took(solution, monkeypatch):
    publish(solution)
    asked = []
    real = runs.run_of
    monkeypatch.setattr(runs, "run_of", lambda table, ds: asked.append(table) or real(table, ds))
    monkeypatch.setattr(partitions, "record", None)
    monkeypatch.setattr(runs, "days_of", None)
    found = metrics_of(solution, LAST, in_brief=True)
    assert sorted(asked) == sorted([*(node.node for node in found.nodes), "home_page_publish"])  # is it published?
    assert {node.seconds for node in found.nodes} == {0.5} and found.seconds == 0.5 * len(found.nodes)


def test_nodes_are_read_side_by_side(solution, monkeypatch):
    publish(solution)
    begun, second = [], threading.Event()

    def usual(table, ds):
        begun.append(table)
        if len(begun) > 1:
            second.set()
        assert second.wait(10)

    monkeypatch.setattr(runs, "usual_seconds", usual)
    assert len(metrics_of(solution, LAST).nodes) == len(begun)


def test_prometheus_takes_it(solution):
    publish(solution)
    lines = exposition(metrics_of(solution, LAST)).splitlines()
    for line in (
        'recflow_ds{scenario="home_page"} 20261103',
        'recflow_published{scenario="home_page"} 1',
        'recflow_node_seconds{scenario="home_page",node="home_page_hot"} 0.5',
        'recflow_model_accepted{scenario="home_page"} 0',
        'recflow_bundle_lists{scenario="home_page"} 80',
        'recflow_measure{scenario="home_page",measure="list.coverage@10"} 0.5',
    ):
        assert line in lines
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    samples = [line.partition("{")[0] for line in lines if not line.startswith("#") and line]
    assert [name for n, name in enumerate(samples) if n == 0 or samples[n - 1] != name] == names  # one group each


def test_the_command_prints_json_or_the_other_and_not_both(solution, capsys):
    publish(solution)
    assert main(["metrics", "--ds", LAST, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gate"]["status"] == "held_back"
    assert main(["metrics", "--ds", LAST, "--json", "--prometheus"]) == 1
    assert "give either --json or --prometheus" in capsys.readouterr().err
