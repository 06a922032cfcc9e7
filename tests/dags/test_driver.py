"""The Spark driver and its clients, with a runner that needs no Spark."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from jobs.lib import driver
from jobs.lib.errors import QualityError
from jobs.lib.object_store import StoreError
from jobs.lib.settings import settings

RUNNER = "tests.dags.fake_runner:run"


@pytest.fixture
def home(solution_file, warehouse, monkeypatch):
    monkeypatch.setenv("RECFLOW_DRIVER_IDLE_SEC", "20")
    yield warehouse
    driver.stop_all()


def run(name, days=("20261121",)):
    lines: list[str] = []
    driver.run(name, list(days), os.environ["RECFLOW_SOLUTION"], lines.append, RUNNER)
    return lines


def pid_in(lines):
    return int(lines[-1].removeprefix("pid "))


def wait_for(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pid_written_to(file):
    return wait_for(lambda: file.exists() and file.read_text())


def test_jobs_share_one_driver_and_their_lines_come_back(home):
    first = run("first", ["20261120", "20261121"])
    assert first[:2] == ["starting a Spark driver", "first 20261120,20261121"]
    second = run("second")
    assert second[0] == "second 20261121"
    assert pid_in(first) == pid_in(second)


def test_a_driver_started_early_is_the_one_that_the_job_finds(home, monkeypatch):
    lines: list[str] = []
    driver.start_early(lines.append, RUNNER)
    assert lines == ["starting a Spark driver"]
    monkeypatch.setenv("RECFLOW_WAREHOUSE", settings().warehouse)  # as Airflow's tasks spell it out
    monkeypatch.setenv("RECFLOW_PUBLISH", settings().publish)
    assert run("first")[0] == "first 20261121"


def test_scenarios_share_the_driver_and_a_solution_that_changed_needs_no_other(home, tmp_path, monkeypatch):
    first = pid_in(run("first"))
    other = tmp_path / "other.yaml"
    other.write_text("scenario: other\n")
    monkeypatch.setenv("RECFLOW_SOLUTION", str(other))
    assert pid_in(run("second")) == first
    other.write_text("scenario: other  # changed\n")
    assert pid_in(run("third")) == first


def test_two_nodes_at_once_start_one_driver_and_take_turns(home):
    found: list[int] = []
    threads = [threading.Thread(target=lambda n=n: found.append(pid_in(run(f"node{n}")))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 4 and len(set(found)) == 1


def test_an_error_for_the_user_arrives_as_itself(home):
    with pytest.raises(QualityError, match="check id_not_null: 3 rows"):
        run("refused")
    assert run("after")[0] == "after 20261121"


def test_any_other_error_leaves_its_traceback_in_the_log_and_the_next_job_gets_a_new_driver(home):
    before = pid_in(run("before"))
    lines: list[str] = []
    with pytest.raises(driver.JobError, match="ValueError: no such luck"):
        driver.run("broken", ["20261121"], os.environ["RECFLOW_SOLUTION"], lines.append, RUNNER)
    assert any("fake_runner.py" in line for line in lines)
    assert pid_in(run("after")) != before


def test_a_driver_killed_under_a_job_is_named_and_the_next_try_gets_a_new_one(home):
    busy = home / "busy"
    errors: list[Exception] = []

    def job():
        try:
            run(str(busy))
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=job)
    thread.start()
    pid = int(pid_written_to(busy))
    os.kill(pid, signal.SIGKILL)
    thread.join(10)
    assert isinstance(errors[0], driver.DriverError)
    assert f"(pid {pid}) died while running {busy}" in str(errors[0])
    assert pid_in(run("again")) != pid


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_client_that_is_gone_takes_its_job_with_it(home, end):
    busy = home / "busy"
    code = "import sys; from jobs.lib import driver; driver.run(sys.argv[1], ['1'], sys.argv[2], runner=sys.argv[3])"
    client = subprocess.Popen([sys.executable, "-c", code, str(busy), os.environ["RECFLOW_SOLUTION"], RUNNER])
    pid = int(pid_written_to(busy))
    client.send_signal(end)
    client.wait(10)
    wait_for(lambda: not is_alive(pid))


def test_a_changed_setting_gets_a_driver_of_its_own(home, monkeypatch):
    before = pid_in(run("before"))
    monkeypatch.setenv("RECFLOW_DRIVER_MEMORY", "1g")
    assert pid_in(run("after")) != before


def test_an_idle_driver_leaves_and_takes_its_socket_along(home, monkeypatch):
    monkeypatch.setenv("RECFLOW_DRIVER_IDLE_SEC", "0.2")
    pid = pid_in(run("only"))
    wait_for(lambda: not is_alive(pid))
    assert not list((home / "drivers").glob("*.sock"))


def test_the_sockets_are_closed_to_others_and_short_in_deep_homes(home, monkeypatch):
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setenv("RECFLOW_HOME", short)
        run("here")
        assert stat.S_IMODE((Path(short) / "drivers").stat().st_mode) == 0o700
        driver.stop_all()
    monkeypatch.setenv("RECFLOW_HOME", str(home / ("deep" * 30)))
    assert pid_in(run("there"))
    driver.stop_all()


def test_storage_that_failed_a_job_is_told_from_other_errors():
    error = driver._error({"error": "s3://b: 503", "kind": "StoreError", "readable": True})
    assert type(error) is StoreError and str(error) == "s3://b: 503"
