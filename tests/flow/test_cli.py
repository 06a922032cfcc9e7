"""`recflow backfill` from the command line."""

from __future__ import annotations

import pytest

from jobs.flow import cli as flow_cli
from jobs.lib import cli
from jobs.lib.cli import main
from tests.flow.world import World, small_solution

RANGE = ["--from", "20261101", "--to", "20261105"]


@pytest.fixture
def world(warehouse, monkeypatch):
    made = World(small_solution(), monkeypatch)
    monkeypatch.setattr(flow_cli, "load_solution", lambda path: made.solution)
    return made


def test_a_plan_is_printed_and_changes_nothing(world, capsys):
    world.arrive(["20261101", "20261102"])
    assert main(["backfill", "plan", *RANGE]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("home_page ds=20261101..20261105 (5 days): ") and world.made == []
    assert "runs  actions_daily      20261101..20261102 missing: never made" in shown
    waits = "actions_daily      20261103..20261105 waiting: rec_sln_demo_behavior_table_v1 is not there"
    assert waits in shown


def test_days_that_wait_for_their_input_are_named_and_the_command_ends_with_1(world, capsys):
    world.arrive(["20261101", "20261102"])
    assert main(["backfill", "run", *RANGE]) == 1
    assert ("user_features", "20261102") in world.made
    waits = "actions_daily      20261103..20261105 waiting: rec_sln_demo_behavior_table_v1 is not there"
    assert waits in capsys.readouterr().out


def test_a_backfill_that_stopped_goes_on(world, capsys):
    world.arrive([f"2026110{n}" for n in range(1, 6)])
    world.breaks["hot", "20261105"] = cli.RecflowError("hot is broken")
    assert main(["backfill", "run", *RANGE]) == 1
    assert "recflow: error: hot is broken" in capsys.readouterr().err
    assert main(["backfill", "run", "--continue"]) == 0
    assert world.made.count(("actions_daily", "20261101")) == 1 and ("publish", "20261105") in world.made
    assert main(["backfill", "run", "--continue"]) == 1
    assert "no backfill to go on with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "which days? give --from"),
        (["--continue", "--from", "20261101"], "--continue goes with `run` alone"),
        (["--continue", "--force"], "--continue goes with `run` alone"),
        ([*RANGE, "--parallel", "0"], "--parallel is 0"),
        (["--from", "2026-11-01", "--to", "20261105"], "'2026-11-01' is not a ds"),
        ([*RANGE, "--nodes", "hots"], "no node 'hots'; there are: input_checks"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(world, capsys, given, said):
    assert main(["backfill", "run", *given]) == 1
    [line] = capsys.readouterr().err.strip().splitlines()
    assert said in line
