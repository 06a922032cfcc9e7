"""Which nodes upstream are said to be late, and in which words."""

from __future__ import annotations

import time

import pytest

from jobs.flow import backfill
from jobs.flow import late as late_module
from jobs.flow.late import is_published, late
from jobs.flow.plan import Request
from jobs.lib import partitions, runs
from jobs.lib.days import day_range
from jobs.lib.locks import writing
from tests.flow.world import World, small_solution

DAYS = day_range("20261101", "20261106")
LAST = DAYS[-1]


@pytest.fixture
def world(warehouse, monkeypatch):
    made = World(small_solution(), monkeypatch)
    made.arrive(DAYS)
    backfill.run(made.solution, Request(DAYS[0], DAYS[-2], every_ds=True))
    return made


def made_up_to(world, node):
    """The last day, as far as the flow came before it stopped at a node."""
    world.breaks[node, LAST] = RuntimeError("out of luck")
    with pytest.raises(RuntimeError):
        backfill.run(world.solution, Request(LAST, LAST))


def test_a_published_day_is_not_late(world):
    backfill.run(world.solution, Request(LAST, LAST))
    assert is_published(world.solution, LAST)


def test_tables_that_did_not_come_are_named_with_their_newest_day(world):
    behavior, item = world.solution.tables.behavior.table, world.solution.tables.item.table
    partitions.forget(behavior, [LAST])
    partitions.freeze(item)
    assert not is_published(world.solution, LAST)
    assert late(world.solution, LAST) == [
        f"{item} is frozen: ds={LAST} waits until `recflow unfreeze {item}`",
        f"waiting for {behavior} ds={LAST}: not committed yet (newest: ds={DAYS[-2]})",
    ]


def test_a_node_that_failed_is_named_and_nothing_that_waits_for_it(world):
    made_up_to(world, "hot")
    assert "home_page_hot: failed: out of luck" in late(world.solution, LAST)
    assert not any("publish" in reason or "hot_fallback" in reason for reason in late(world.solution, LAST))


def test_a_node_that_works_is_named_with_how_long_it_usually_takes(world, monkeypatch):
    made_up_to(world, "actions_daily")
    monkeypatch.setattr(time, "time", lambda: 1794002520)  # 06:02 in Shanghai
    for ds, seconds in zip(DAYS[:3], (200.0, 240.0, 900.0), strict=True):
        runs.done("home_page_actions_daily", ds, {}, {}, seconds)
    for ds in DAYS[3:-1]:
        runs.skipped("home_page_actions_daily", ds, "not timed")
    table = "home_page_actions_daily"
    with writing(table), runs.under_way(table, [LAST]):
        assert late(world.solution, LAST) == [f"{table}: running since 06:02, usually 4 min"]
    assert late(world.solution, LAST) == [f"{table}: failed: out of luck"]


def test_what_a_killed_node_left_does_not_count_as_running(world):
    made_up_to(world, "actions_daily")
    with runs.under_way("home_page_actions_daily", [LAST]):  # its lock is gone with it
        assert late(world.solution, LAST) == ["home_page_actions_daily: failed: out of luck"]


def test_a_node_that_was_not_started_says_whose_turn_it_is_or_that_nothing_is_in_its_way(world):
    idle = (
        "home_page_input_checks: not started, though what it reads is there: is the DAG paused, or is its task queued"
    )
    assert late(world.solution, LAST) == [f"{idle} or stopped?"]
    for table in ("home_page_rank_model", "detail_page_hot"):  # scenarios take turns too
        with writing(table), runs.under_way(table, [DAYS[0]]):
            [reason] = late(world.solution, LAST)
        turn = f"its turn comes after {table} ds=20261101 (running since"
        assert reason.startswith(f"home_page_input_checks: not started, {turn}")


def test_nodes_that_are_late_for_one_reason_are_named_together(world):
    solution = world.solution
    backfill.run(solution, Request(LAST, LAST))
    for node in ("hot", "i2i"):
        partitions.forget(f"home_page_{node}", [LAST])
    [reason] = late(solution, LAST)
    assert reason.startswith("home_page_hot, home_page_i2i: not started, though what it reads is there")
    assert late_module._listed(["a", "b", "c", "d"]) == "a, b, c and 1 more"
