"""How a plan is run: order, failures, going on, several nodes at a time, two at once."""

from __future__ import annotations

import random
import threading

import pytest

from jobs.flow import backfill
from jobs.flow.plan import Request, plan
from jobs.lib import partitions
from jobs.lib.days import day_range
from jobs.lib.errors import QualityError, RecflowError
from jobs.lib.locks import writing
from tests.flow.world import World, small_solution

FIRST, LAST = "20261101", "20261114"
DAYS = day_range(FIRST, LAST)
RANGE = Request(FIRST, LAST)


@pytest.fixture
def world(warehouse, monkeypatch):
    made = World(small_solution(), monkeypatch)
    made.arrive(DAYS)
    return made


def test_a_failure_stops_everything_and_going_on_repeats_nothing_that_is_done(world):
    world.breaks["rank_samples", "20261105"] = QualityError("rank_samples ds=20261105: no good")
    with pytest.raises(QualityError, match="no good"):
        backfill.run(world.solution, RANGE)
    assert not {name for name, _ in world.made} & {"rank_model", "candidates", "publish"}
    done = [pair for pair in world.made if pair[0] not in ("rank_samples", "quality_result")]
    backfill.go_on(world.solution)
    assert all(world.made.count(pair) == 1 for pair in done)
    assert ("publish", LAST) in world.made
    with pytest.raises(RecflowError, match="no backfill to go on with"):
        backfill.go_on(world.solution)


def test_a_failure_of_one_of_several_nodes_at_a_time_stops_the_others(world):
    world.breaks["user_features", FIRST] = QualityError("no good")
    with pytest.raises(QualityError, match="no good"):
        backfill.run(world.solution, Request(FIRST, LAST, parallel=3))
    assert not {name for name, _ in world.made} & {"rank_samples", "candidates", "publish"}
    backfill.go_on(world.solution)
    assert ("publish", LAST) in world.made


def test_what_was_judged_is_collected_when_a_node_fails(world):
    world.breaks["hot", LAST] = QualityError("hot was not written")
    with pytest.raises(QualityError, match="hot was not written"):
        backfill.run(world.solution, RANGE)
    assert world.made[-1] == ("quality_result", LAST) and ("hot_fallback", LAST) not in world.made


def test_going_on_with_a_forced_one_repeats_nothing_that_is_done(world):
    backfill.run(world.solution, RANGE)
    world.made.clear()
    world.breaks["rank_model", LAST] = RecflowError("broken")
    with pytest.raises(RecflowError, match="broken"):
        backfill.run(world.solution, Request(FIRST, LAST, force=True))
    backfill.go_on(world.solution)
    made = [pair for pair in world.made if pair[0] != "quality_result"]  # collected after a failure too
    assert sorted(made) == sorted(set(made))
    assert set(world.made) >= {("actions_daily", ds) for ds in DAYS} | {("publish", LAST), ("rank_model", LAST)}


@pytest.mark.parametrize("parallel", [1, 3])
def test_nothing_runs_before_what_it_reads(world, parallel):
    backfill.run(world.solution, Request(FIRST, LAST, parallel=parallel, every_ds=True))
    place = {pair: number for number, pair in enumerate(world.made)}
    for ds in DAYS:
        assert place["actions_daily", ds] < place["user_features", ds] < place["recommendations", ds]
        assert place["hot", ds] < place["candidates", ds] < place["recommendations", ds] < place["publish", ds]
    assert place["rank_samples", LAST] < place["rank_model", LAST] < place["recommendations", FIRST]


def test_two_at_once_over_overlapping_ranges_end_in_the_same(world, tmp_path, monkeypatch):
    errors: list[Exception] = []

    def run(first, last):
        try:
            backfill.run(world.solution, Request(first, last, every_ds=True))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=span) for span in ((FIRST, LAST), ("20261106", LAST))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    backfill.run(world.solution, Request(FIRST, LAST, every_ds=True))
    together = world.contents()
    monkeypatch.setenv("RECFLOW_HOME", str(tmp_path / "alone"))
    world.arrive(DAYS)
    backfill.run(world.solution, Request(FIRST, LAST, every_ds=True))
    assert world.contents() == together


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_arrivals_corrections_and_runs_ends_in_the_same_tables(world, tmp_path, monkeypatch, seed):
    """Random days come late, are corrected, and parts of the range are run in between; a last run repairs the rest."""
    chance, behavior = random.Random(seed), world.solution.tables.behavior.table
    every = Request(FIRST, LAST, every_ds=True)
    late = chance.choice(DAYS[:-1])
    partitions.forget(behavior, [late])
    versions = dict.fromkeys(DAYS, "1")
    for _ in range(4):
        first, last = sorted(chance.sample(DAYS, 2))
        # not the model: a run of a part would train one on its own last ds
        backfill.run(world.solution, Request(first, last, every_ds=chance.random() < 0.5, exclude=("rank_model",)))
        ds = chance.choice(DAYS)
        versions[ds] = str(chance.randint(2, 9))
        world.rewrite(behavior, ds, versions[ds])
    world.rewrite(behavior, late, versions[late])
    backfill.run(world.solution, every)
    assert not [entry for entry in plan(world.solution, every).entries if entry.runs]
    disturbed = world.contents()

    monkeypatch.setenv("RECFLOW_HOME", str(tmp_path / "undisturbed"))
    world.arrive(DAYS)
    for ds, version in versions.items():
        world.rewrite(behavior, ds, version)
    backfill.run(world.solution, every)
    assert world.contents() == disturbed


def test_one_goes_on_with_the_backfill_that_stopped_in_this_scenario_and_not_with_one_at_work(world):
    world.breaks["hot", LAST] = QualityError("no good")
    with pytest.raises(QualityError):
        backfill.run(world.solution, RANGE)
    with pytest.raises(RecflowError, match="no backfill to go on with"):
        backfill.go_on(small_solution(scenario="other"))
    with writing("_backfill-000001"), pytest.raises(RecflowError, match="or is at work"):
        backfill.go_on(world.solution)
    backfill.go_on(world.solution)
    assert ("publish", LAST) in world.made


def test_backfills_that_begin_in_the_same_moment_have_numbers_of_their_own(world, monkeypatch):
    real = backfill.Backfill.run

    def late(self):
        if self.number == 1:  # another one begins before this one has planned
            backfill.run(world.solution, Request(LAST, LAST))
        return real(self)

    monkeypatch.setattr(backfill.Backfill, "run", late)
    backfill.run(world.solution, RANGE)
    assert backfill._store().list("_backfills/") == ["_backfills/000001.json", "_backfills/000002.json"]
