"""kill -9 of the scheduler in the middle of a run, or of all of Airflow: the day ends as if nothing had been."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from jobs.lib import partitions, platform
from jobs.lib.settings import settings
from tests.faults.world import LAST, SOLUTION, published_problems, seen


@pytest.fixture
def airflow(day, monkeypatch):
    monkeypatch.setenv("RECFLOW_SOLUTION", str(SOLUTION))
    monkeypatch.setenv("RECFLOW_DRIVER_MEMORY", "1g")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    platform.start(port)
    yield port
    platform.stop()


def scheduler_of(supervisor):
    """Of the supervisor's children the one that writes the scheduler's log."""
    children = subprocess.run(["pgrep", "-P", str(supervisor)], capture_output=True, text=True).stdout.split()
    [pid] = [pid for pid in children if os.readlink(f"/proc/{pid}/fd/1").endswith("/scheduler.log")]
    return int(pid)


def session_of(supervisor):
    listed = subprocess.run(["ps", "-o", "pid=", "-s", str(supervisor)], capture_output=True, text=True).stdout
    return [int(pid) for pid in listed.split()]


def wait_for(condition, seconds=300.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)
    return found


def run_day(said):
    try:
        platform.run_day("home_page", LAST, "Asia/Shanghai", said.append)
        said.append("finished")
    except Exception as error:
        said.append(repr(error))


@pytest.mark.parametrize("killed", ["scheduler", "everything"])
def test_a_day_ends_the_same_after_its_scheduler_was_killed(airflow, undisturbed, solution, killed):
    said = []
    run = threading.Thread(target=run_day, args=(said,))
    run.start()
    wait_for(lambda: partitions.record(solution.table("user_features"), LAST))
    supervisor = platform.is_running()["pid"]
    if killed == "scheduler":
        os.kill(scheduler_of(supervisor), signal.SIGKILL)
    else:
        for pid in session_of(supervisor):
            os.kill(pid, signal.SIGKILL)
        run.join(120)
        assert published_problems() == []
        platform.start(airflow)
        run = threading.Thread(target=run_day, args=(said,))
        run.start()
    run.join(500)
    assert said[-1] == "finished", said
    if killed == "scheduler":
        assert "scheduler ended with -9" in (settings().home / "airflow" / "logs" / "supervisor.log").read_text()
    assert published_problems() == []
    assert seen().published == undisturbed[1].published
