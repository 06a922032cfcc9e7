"""Worlds to break. All of this folder is marked `faults`, but what runs in CI too."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from jobs.flow import backfill
from jobs.flow.plan import Request
from jobs.flow.running import run_node
from jobs.lib.days import day_range
from jobs.lib.solution import Solution, load_solution
from tests.faults.world import FIRST, LAST, SOLUTION, seen
from tests.lib.stores import bucket, s3_server, store_url, versitygw  # noqa: F401

IN_CI = {
    "test_readers_see_a_whole_bundle_wherever_all_processes_of_a_publish_are_killed[file]",
    "test_a_node_killed_before_its_partition_is_recorded_counts_as_never_made_and_runs_again",
    "test_a_corrupt_file_is_named_with_node_and_ds_in_one_line[garbage]",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == Path(__file__).parent and item.name not in IN_CI:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.timeout(1200))


@pytest.fixture(scope="session")
def solution() -> Solution:
    return load_solution(SOLUTION)


@pytest.fixture(scope="session")
def inputs(spark, solution, tmp_path_factory) -> Path:
    """An installation that has the demo tables of five days. Not to be changed: copy it."""
    home = tmp_path_factory.mktemp("inputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECFLOW_HOME", str(home))
        run_node(solution, "create_data", day_range(FIRST, LAST))
    return home


@pytest.fixture(scope="session")
def undisturbed(spark, solution, inputs, tmp_path_factory):
    """The same with everything made and its last day published, by a run that nothing disturbed; and what it holds."""
    home = tmp_path_factory.mktemp("undisturbed") / "home"
    shutil.copytree(inputs, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECFLOW_HOME", str(home))
        backfill.run(solution, Request(FIRST, LAST))
        return home, seen()


@pytest.fixture
def day(inputs, warehouse):
    """A copy of `inputs` as the installation at work."""
    shutil.copytree(inputs, warehouse, dirs_exist_ok=True)
    return warehouse


@pytest.fixture
def history(undisturbed, warehouse):
    """A copy of `undisturbed` as the installation at work; gives what it held."""
    shutil.copytree(undisturbed[0], warehouse, dirs_exist_ok=True)
    return undisturbed[1]
