"""One node: what its windows lack is made first, one writer per table, and how it ended is kept."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from jobs.flow import running
from jobs.flow.lineage import Ledger
from jobs.lib import partitions, runs
from jobs.lib.days import day_range
from jobs.lib.errors import MissingPartition, QualityError, Skipped
from jobs.lib.locks import writing
from jobs.lib.settings import PROJECT_ROOT
from jobs.ranking import retraining
from tests.flow.world import World, small_solution

DAYS = day_range("20261101", "20261120")
DS = "20261120"


@pytest.fixture
def world(warehouse, monkeypatch):
    made = World(small_solution(), monkeypatch)
    made.arrive(DAYS)
    return made


def never_made(world, name):
    return {node.name: days for node, days in running.never_made(world.solution, world.solution.node(name), [DS])}


def test_what_the_windows_of_a_node_lack_is_found_through_all_it_is_made_from(world):
    world.make(world.solution, world.solution.node("rank_samples"), [])
    assert never_made(world, "user_features") == {"actions_daily": day_range("20261116", "20261119")}
    lacks = never_made(world, "rank_model")
    assert lacks["rank_samples"] == day_range("20261117", "20261119")
    assert lacks["user_features"] == lacks["item_features"] == day_range("20261116", "20261118")
    assert lacks["actions_daily"] == day_range("20261112", "20261118")
    assert set(lacks) == {"rank_samples", "user_features", "item_features", "actions_daily"}


def test_what_is_there_or_cannot_be_made_is_not_asked_for(world):
    for ds in day_range("20261112", "20261117"):
        world.make(world.solution, world.solution.node("actions_daily"), [ds])
    partitions.forget(world.solution.tables.behavior.table, ["20261118"])
    assert never_made(world, "user_features") == {"actions_daily": ["20261119"]}
    assert never_made(world, "hot_fallback") == {}


@pytest.fixture
def job(monkeypatch):
    """Stands in for every job file: does what a test says, and reads what the real one reads."""
    stand_in = SimpleNamespace(main=lambda days, solution, node: None)
    real = running.importlib.import_module
    monkeypatch.setattr(
        running,
        "importlib",
        SimpleNamespace(import_module=lambda name: SimpleNamespace(**{**vars(real(name)), "main": stand_in.main})),
    )
    return stand_in


def test_a_partition_written_by_a_run_that_was_killed_before_its_end_is_stale(world, job):
    """Even where its inputs are back to what the run before it had read."""
    node, solution = world.solution.node("actions_daily"), world.solution
    world.rewrite("home_page_actions_daily", DS, "1")
    running.make(solution, node, [DS])
    assert Ledger(solution).state(DS, node).name == "present"
    world.rewrite("home_page_actions_daily", DS, "2")
    assert Ledger(solution).state(DS, node) == ("stale", "it was written by a run that did not come to its end")


def test_how_a_run_ended_is_kept(world, job):
    node, solution = world.solution.node("actions_daily"), world.solution
    running.make(solution, node, [DS])
    done = runs.run_of("home_page_actions_daily", DS)
    behavior = solution.tables.behavior.table
    assert done["state"] == "done" and done["origin"]["inputs"] == {behavior: {DS: f"{behavior}{DS}v1"}}

    def fails(days, solution, node):
        raise QualityError(f"{days[0]} is bad")

    job.main = fails
    with pytest.raises(QualityError):
        running.make(solution, node, [DS])
    failed = runs.run_of("home_page_actions_daily", DS)
    assert (failed["state"], failed["error"]) == ("failed", f"{DS} is bad") and failed["ended"] >= done["ended"]


def test_an_input_that_is_not_there_is_no_failure_of_the_node(world, job):
    def lacks(days, solution, node):
        raise MissingPartition("t has no partition")

    job.main = lacks
    with pytest.raises(MissingPartition):
        running.make(world.solution, world.solution.node("actions_daily"), [DS])
    assert runs.run_of("home_page_actions_daily", DS) is None


def test_days_with_gaps_between_them_are_given_to_the_windows_in_runs(world, job):
    given = []
    job.main = lambda days, solution, node: given.append(days)
    running.make(world.solution, world.solution.node("actions_daily"), ["20261101", "20261102", "20261104"])
    assert given == [["20261101", "20261102"], ["20261104"]]


def test_a_short_window_is_marked_or_refused_as_the_solution_says(world, job, caplog):
    world.make(world.solution, world.solution.node("actions_daily"), day_range("20261117", DS))
    node = world.solution.node("item_features")
    running.make(world.solution, node, [DS])
    assert "home_page_item_features: a window is short, home_page_actions_daily lacks ds=20261116" in caplog.text
    strict = small_solution(short_history="fail")
    with pytest.raises(MissingPartition, match="home_page_actions_daily has no partition ds=20261116"):
        running.make(strict, node, [DS])


def test_a_node_that_is_not_due_is_skipped_only_where_that_is_asked_for(world, job, monkeypatch):
    monkeypatch.setattr(retraining, "finished_days", lambda solution: {"20261118": "trained"})
    world.make(world.solution, world.solution.node("actions_daily"), DAYS)
    for name in ("user_features", "item_features", "rank_samples"):
        world.make(world.solution, world.solution.node(name), DAYS)
    with pytest.raises(Skipped, match="the model of ds=20261118 serves ds=20261120"):
        running.run_node(world.solution, "rank_model", [DS], if_due=True)
    assert runs.run_of("home_page_rank_model", DS)["state"] == "skipped"
    running.run_node(world.solution, "rank_model", [DS])
    assert runs.run_of("home_page_rank_model", DS)["state"] == "done"


@pytest.mark.parametrize(
    ("ds", "trained", "held_back", "is_due"),
    [
        ("20261122", ["20261121"], [], True),  # a Sunday
        ("20261121", ["20261115"], [], False),
        ("20261121", [], [], True),  # nothing to serve with
        ("20261121", ["20261114"], [], True),  # older than the cadence
        ("20261121", ["20261120", "20261121"], [], True),  # there is one: run again, it ends in the same
        ("20261121", ["20261122"], [], True),  # a later one does not serve
        ("20261121", ["20261108"], ["20261115"], False),  # one was tried, and waits for the next turn
        ("20261121", [], ["20261115"], True),  # one was tried, but nothing serves
        ("20261121", ["20261115"], ["20261121"], True),
    ],
)
def test_when_a_model_is_due(world, monkeypatch, ds, trained, held_back, is_due):
    finished = dict.fromkeys(trained, "trained") | dict.fromkeys(held_back, "held_back")
    monkeypatch.setattr(retraining, "finished_days", lambda solution: finished)
    assert (retraining.not_due(ds, world.solution) is None) == is_due


def test_a_table_has_one_writer_among_processes_and_threads(warehouse):
    code = "import sys\nfrom jobs.lib.locks import writing\nwith writing('t'):\n    print('has it'); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    other = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT_ROOT, **pipes)
    assert other.stdout.readline() == "has it\n"
    got = threading.Event()

    def wait():
        with writing("s", "t"):
            got.set()

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.2)
    assert not got.is_set()
    other.kill()  # whoever dies lets go
    assert got.wait(10)
    thread.join()
    other.communicate()


def test_a_blocked_day_is_not_made_on_the_way(world):
    runs.failed("home_page_input_checks", "20261118", "refused")
    assert never_made(world, "user_features")["actions_daily"] == ["20261116", "20261117", "20261119"]


def test_days_that_are_done_stay_done_when_a_later_one_fails(world, job):
    def fails_late(days, solution, node):
        if "20261104" in days:
            raise QualityError("ds=20261104 is bad")

    job.main = fails_late
    with pytest.raises(QualityError):
        running.make(world.solution, world.solution.node("actions_daily"), ["20261101", "20261102", "20261104"])
    states = {ds: runs.run_of("home_page_actions_daily", ds)["state"] for ds in ("20261102", "20261104")}
    assert states == {"20261102": "done", "20261104": "failed"}


def test_an_input_that_is_not_there_is_named_before_anything_runs(world, job):
    job.main = None
    with pytest.raises(MissingPartition, match="rec_sln_demo_behavior_table_v1 has no partition ds=20261225"):
        running.make(world.solution, world.solution.node("actions_daily"), ["20261225"])


def test_a_day_that_is_skipped_makes_nothing_on_the_way(world, monkeypatch):
    monkeypatch.setattr(retraining, "finished_days", lambda solution: {"20261118": "trained"})
    monkeypatch.setattr(running, "make", world.make)
    with pytest.raises(Skipped):
        running.run_node(world.solution, "rank_model", [DS], if_due=True)
    assert world.made == []
