"""Where the flow stands: what is there, waits, is frozen, late, failed, stale, or left a gap."""

from __future__ import annotations

import pytest

from jobs.flow import backfill
from jobs.flow.plan import Request
from jobs.flow.status import status
from jobs.lib import partitions, runs
from jobs.lib.cli import main
from jobs.lib.days import day_range
from tests.flow.world import World, small_solution

DAYS = day_range("20261101", "20261110")


@pytest.fixture
def world(warehouse, monkeypatch):
    made = World(small_solution(), monkeypatch)
    made.arrive(DAYS)
    return made


def row(shown, name):
    """The line about a table or node: last ds and the figures, blanks left out."""
    return next(line.split()[1:] for line in shown.splitlines() if line.split()[:1] == [name])


def test_a_flow_that_is_up_to_date_has_nothing_to_tell(world):
    backfill.run(world.solution, Request(DAYS[0], DAYS[-1]))
    shown = status(world.solution, DAYS[-1], 10)
    assert row(shown, "user_features") == ["20261110", "10"] and row(shown, "hot") == ["20261110", "1"]
    assert shown.splitlines()[-1].startswith("quality_result")


def test_what_is_late_frozen_waiting_failed_stale_or_was_left_out_is_said(world):
    solution, behavior = world.solution, world.solution.tables.behavior.table
    backfill.run(solution, Request(DAYS[0], "20261108"))
    partitions.freeze(behavior)
    partitions.forget(behavior, ["20261103"])
    partitions.forget("home_page_suspicious_users", ["20261105"])
    world.rewrite(solution.tables.item.table, "20261108", "2")
    runs.failed("home_page_hot", "20261107", "out of luck")
    shown = status(solution, "20261112", 12)
    assert row(shown, behavior) == ["20261110", "9", "1", "2", "yes"]
    assert row(shown, "actions_daily") == [
        "20261108",
        "8",
        "2",
    ]  # present, waiting; what was made of the lost day stays
    for line in (
        f"{behavior} is frozen: `recflow unfreeze {behavior}` lets its days flow",
        f"{behavior} is 2 days late: nothing after ds=20261110",
        f"{behavior} lacks ds=20261103",
        "hot failed for ds=20261107: out of luck",
        "suspicious_users was not run for ds=20261105",
        f"user_features is stale for ds=20261108: {solution.tables.item.table} ds=20261108 changed",
    ):
        assert line in shown.splitlines(), line


def test_the_command_shows_it_and_refuses_no_days(warehouse, capsys):
    assert main(["status", "--ds", "20261110"]) == 0
    assert "rec_sln_demo_behavior_table_v1" in capsys.readouterr().out
    assert main(["status", "--days", "0"]) == 1
    assert "--days is 0; at least 1 is needed" in capsys.readouterr().err
