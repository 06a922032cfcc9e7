"""kill -9 of the Spark driver, in every node: nobody reads half a partition, and the next run makes the same."""

from __future__ import annotations

import shutil
import signal

import pytest

from jobs.flow import backfill
from jobs.flow.lineage import Ledger, outputs
from jobs.flow.running import run_node
from jobs.lib.object_store import open_store
from jobs.lib.settings import settings
from jobs.lib.solution import CREATE_DATA, load_solution
from jobs.publish.bundle import latest
from tests.faults.world import FIRST, LAST, SOLUTION, differences, published_problems, seen, start
from tests.publish.test_release import publish

COMMITTED = ("jobs.lib.tables:replace_days", "after", 1)  # the rows are there, their record is not
OTHERS = {
    "create_data": ("jobs.lib.tables:replace_days", "after", 2),  # one of three tables is as it was
    "input_checks": ("jobs.lib.quality:keep", "after", 1),
    "publish": ("jobs.lib.object_store:FileStore.move", "after", 3),
}
NODES = [node.name for node in (CREATE_DATA, *load_solution(SOLUTION).nodes())]
MOMENTS = [
    *((name, *OTHERS.get(name, COMMITTED)) for name in NODES),
    ("actions_daily", "jobs.lib.tables:replace_days", "before", 1),  # files that no log lists
    ("rank_model", "jobs.ranking.rank_model:write_days", "before", 1),
    ("create_data", "jobs.lib.partitions:write_record", "after", 1),
    ("user_features", "jobs.lib.runs:done", "before", 1),
]


def kill(name, what, when, nth):
    process = start("tests.faults.victim", what, when, str(nth), "run", name, "--ds", LAST)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL, output


@pytest.mark.parametrize("name, what, when, nth", MOMENTS)
def test_a_killed_node_leaves_nothing_half_done_and_runs_again(history, solution, name, what, when, nth):
    if name == "publish":
        _publish_something_older()
    before = seen()
    kill(name, what, when, nth)

    node = next(node for node in (CREATE_DATA, *solution.nodes()) if node.name == name)
    after, own = seen(), {str((table, LAST)) for table in outputs(solution, node)}
    changed = differences(before, after)
    kept = {f"_partitions/{table}/{LAST}.json" for table in outputs(solution, node)}
    kept |= {key for key in changed if key.startswith((f"_quality/{LAST}/", "_staging/", f"ds={LAST}/"))}
    assert changed <= own | kept, "something else changed"
    assert all(digest == before.rows[key] for key, digest in after.rows.items()), "a reader saw other rows"
    assert published_problems() == []
    if name == "publish":
        assert latest(f"{settings().publish_root}/home_page")["ds"] == "20261104"

    run_node(solution, name, [LAST])
    assert Ledger(solution).state(LAST, node).name == "present"
    if name == "publish":
        shutil.rmtree(settings().home / "published" / "dev" / "home_page" / "ds=20261104")
    assert differences(history, seen()) == set()


def test_a_node_killed_before_its_partition_is_recorded_counts_as_never_made_and_runs_again(day, solution):
    node = solution.node("actions_daily")
    kill("actions_daily", *COMMITTED)
    assert Ledger(solution).state(LAST, node).name == "missing"
    assert (solution.table("actions_daily"), LAST) not in seen().rows
    run_node(solution, "actions_daily", [LAST])
    assert Ledger(solution).state(LAST, node).name == "present"
    assert (solution.table("actions_daily"), LAST) in seen().rows


def test_a_backfill_that_was_killed_goes_on_and_ends_in_the_same(day, undisturbed, solution):
    command = ("backfill", "run", "--from", FIRST, "--to", LAST)
    process = start("tests.faults.victim", "jobs.lib.runs:done", "after", "22", *command)
    output, _ = process.communicate(timeout=500)
    assert process.returncode == -signal.SIGKILL, output
    left = seen().rows
    assert left and all(undisturbed[1].rows[key] == digest for key, digest in left.items())
    backfill.go_on(solution)
    assert differences(undisturbed[1], seen()) == set()


def _publish_something_older():
    """Readers are at the day before."""
    shutil.rmtree(settings().home / "published")
    publish(open_store(f"{settings().publish_root}/home_page"), b"older", "20261104")
