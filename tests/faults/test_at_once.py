"""Two backfills of overlapping ranges at once, and a backfill beside the daily run, with a reader who never stops."""

from __future__ import annotations

import threading

import pytest

from jobs.flow import backfill
from jobs.flow.plan import Request, plan
from jobs.flow.running import run_node
from jobs.lib import partitions
from jobs.lib.errors import Skipped
from tests.faults.world import FIRST, LAST, SOLUTION, differences, is_whole, published_problems, seen, start

EARLIER = ("20261101", "20261104")


@pytest.fixture
def reader(day, solution):
    """Looks at every partition and at the bundle until the test is over; what it saw that was not whole."""
    found, looks, over = [], [], threading.Event()
    names = [solution.table(node.name) for node in solution.nodes()]

    def look():
        while not over.is_set():
            for table in names:
                days = partitions.present_days(table) if partitions.is_owned(table) else []
                found.extend((table, ds) for ds in days if not is_whole(table, ds))
            found.extend(published_problems())
            looks.append(len(names))

    thread = threading.Thread(target=look)
    thread.start()
    yield found
    over.set()
    thread.join(60)
    assert looks and found == []


def finish(processes):
    for process in processes:
        output, _ = process.communicate(timeout=540)
        assert process.returncode == 0, output


def repaired(solution):
    """What a further run of the whole range has to do and leaves."""
    backfill.run(solution, Request(FIRST, LAST))
    assert not [entry for entry in plan(solution, Request(FIRST, LAST)).entries if entry.runs]
    return seen()


def test_two_backfills_of_overlapping_ranges_end_in_the_same(day, reader, undisturbed, solution):
    command = ("jobs.lib.cli", "backfill", "run", "--to", LAST, "--solution", str(SOLUTION), "--from")
    finish([start(*command, first) for first in (FIRST, "20261103")])
    assert differences(undisturbed[1], repaired(solution)) == set()
    assert reader == []


def test_a_backfill_beside_the_daily_run_ends_in_the_same(day, reader, undisturbed, solution):
    lists = [node.name for node in solution.nodes() if not node.history and not node.always]
    command = ("jobs.lib.cli", "backfill", "run", "--from", EARLIER[0], "--to", EARLIER[1], "--solution", str(SOLUTION))
    beside = start(*command, "--exclude", *lists)
    for node in solution.nodes():
        try:
            run_node(solution, node.name, [LAST], if_due=True)
        except Skipped:
            assert node.name == "rank_model"
    finish([beside])
    same, now = undisturbed[1], repaired(solution)
    # What was judged of a day stays as it was judged then: with a shorter history than a backfill in order has.
    judged = {str((solution.table("quality_result"), LAST))}
    assert differences(same._replace(kept={}), now._replace(kept={})) == judged
    assert reader == []
