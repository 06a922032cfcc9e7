"""A task that is ended by its timeout, in the middle of a node that runs in the Spark driver."""

from __future__ import annotations

import subprocess
import time

import pytest

from jobs.flow.running import run_node
from jobs.lib import driver
from tests.faults.world import LAST, SOLUTION, differences, seen


class TimedOut(Exception):
    """What Airflow raises in a task whose time is over, wherever it is."""


def drivers(home):
    """Processes of this installation's driver: it and its JVM hold the driver's log open."""
    found = subprocess.run(["pgrep", "-f", f"driver_server {home}"], capture_output=True, text=True).stdout
    return [int(pid) for pid in found.split()]


def test_a_task_that_is_timed_out_takes_its_job_along_and_the_next_try_makes_the_same(history, warehouse, solution):
    def out_of_time(line):
        if "exact duplicates dropped" in line:  # read and about to be written
            raise TimedOut

    before = seen()
    with pytest.raises(TimedOut):
        driver.run("actions_daily", [LAST], str(SOLUTION), log=out_of_time)
    deadline = time.monotonic() + 30
    while drivers(driver._folder()):
        assert time.monotonic() < deadline, "the driver works on for nobody"
        time.sleep(0.2)
    own = {f"_partitions/home_page_actions_daily/{LAST}.json", str(("home_page_actions_daily", LAST))}
    own.add(f"_quality/{LAST}/home_page_actions_daily/actions_daily.json")
    assert differences(before, seen()) <= own

    run_node(solution, "actions_daily", [LAST])
    assert differences(history, seen()) == set()
