"""The embedded Airflow, as far as it can be judged without starting it."""

from __future__ import annotations

import configparser
import fcntl
import json
import os
import socket
import stat
import subprocess
import sys
import time

import pytest

from jobs.lib import airflow_config, platform, supervisor
from jobs.lib.airflow_api import Airflow, PlatformError
from jobs.lib.settings import PROJECT_ROOT


@pytest.fixture
def home(warehouse):
    folder = warehouse / "airflow"
    folder.mkdir()
    return folder


@pytest.fixture
def running(home):
    """Someone else holds the lock, as the supervisor of a running Airflow does."""
    with (home / "lock").open("w") as lock:
        lock.write(json.dumps({"pid": 4711, "address": "http://127.0.0.1:8080"}))
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_a_second_start_refuses_and_says_where_the_first_is(running):
    with pytest.raises(PlatformError, match=r"^already running at http://127.0.0.1:8080 \(pid 4711\)$"):
        platform.start()


def test_what_a_killed_airflow_left_does_not_count_as_running(home):
    (home / "lock").write_text(json.dumps({"pid": os.getpid(), "address": "http://127.0.0.1:8080"}))
    assert platform.is_running() is None
    assert platform.stop(lambda line: None) is False


def test_a_taken_port_is_named(home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PlatformError, match=f"port {port} of 127.0.0.1 is taken"):
            platform.start(port)
    assert platform.is_running() is None


def test_secrets_stay_over_restarts_and_are_for_their_owner_only(home):
    keys = (("core", "fernet_key"), ("api", "secret_key"), ("api_auth", "jwt_secret"))
    found = []
    for port in (8080, 8081):
        airflow_config.write_config(home, port)
        config = configparser.RawConfigParser()
        config.read(home / "airflow.cfg")
        found.append([config[section][key] for section, key in keys] + list(platform.credentials()))
        assert config["api"]["port"] == str(port)
    assert found[0] == found[1]
    assert {stat.S_IMODE((home / name).stat().st_mode) for name in ("airflow.cfg", "passwords.json")} == {0o600}


def test_settings_of_another_airflow_do_not_reach_ours(home, monkeypatch):
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://elsewhere/production")
    environment = airflow_config.environment(home)
    assert [key for key in environment if key.startswith("AIRFLOW_")] == ["AIRFLOW_HOME"]
    assert environment["AIRFLOW_HOME"] == str(home)


def test_a_session_is_ended_with_the_processes_that_left_the_group_or_ignore_the_signal(monkeypatch):
    monkeypatch.setattr(supervisor, "GRACE_SEC", 0.5)
    code = (
        "import os, signal, time\n"
        "if not os.fork(): os.setpgid(0, 0); signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.write(1, b'ready\\n'); time.sleep(60)\n"
    )
    leader = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE)
    assert [leader.stdout.readline() for _ in range(2)] == [b"ready\n"] * 2
    assert len(supervisor._members(leader.pid)) == 2
    supervisor._end_session(leader.pid)
    leader.wait(5)
    assert supervisor._members(leader.pid) == []


def test_when_the_supervisor_is_killed_the_guard_ends_the_session_and_frees_the_lock(home):
    code = (
        "import os, time, subprocess\n"
        "from jobs.lib import supervisor\n"
        "supervisor._start_guard()\n"
        "subprocess.Popen(['sleep', '60'], close_fds=True)\n"
        "os.write(1, b'ready\\n'); time.sleep(60)\n"
    )
    lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.write(lock, b'{"pid": 1, "address": "x"}')
    leader = subprocess.Popen(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, start_new_session=True, stdout=subprocess.PIPE, pass_fds=[lock]
    )
    os.close(lock)
    assert leader.stdout.readline() == b"ready\n"
    assert platform.is_running()
    leader.kill()
    leader.wait(5)
    deadline = time.monotonic() + 10
    while platform.is_running():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert supervisor._members(leader.pid) == []


def test_a_day_that_is_not_over_is_refused():
    with pytest.raises(PlatformError, match="ds=29990101 is not over yet in Asia/Shanghai"):
        Airflow("http://127.0.0.1:1").trigger_day("home_page", "29990101", "Asia/Shanghai")


def test_what_is_left_when_supervisor_and_guard_were_killed_is_ended_by_the_next_start_or_stop(home):
    code = "import os, time\nif os.fork(): os._exit(0)\nos.write(1, b'ready\\n'); time.sleep(60)\n"
    command = [sys.executable, "-c", code, "airflow"]
    leader = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
    assert leader.stdout.readline() == b"ready\n"
    leader.wait(5)
    assert len(supervisor._members(leader.pid)) == 1
    (home / "lock").write_text(json.dumps({"pid": leader.pid, "address": "http://127.0.0.1:8080"}))
    said: list[str] = []
    assert platform.stop(said.append) is False
    assert said == ["ended 1 processes that a killed Airflow had left", "Airflow is not running"]
    assert supervisor._members(leader.pid) == []


def test_a_session_whose_leader_lives_is_not_a_leftover():
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "airflow"], start_new_session=True)
    assert supervisor.end_leftovers(other.pid) == 0
    assert other.poll() is None
    other.kill()
    other.wait(5)


def test_a_dag_is_waited_for_while_only_another_scenario_cannot_be_read(monkeypatch):
    answers = {"PATCH": [None, None, {}]}
    monkeypatch.setattr("time.sleep", lambda seconds: None)

    def call(self, method, path, *given, **more):
        found = [{"filename": file, "stack_trace": "Traceback\nSolutionError: broken\n"} for file in answers["files"]]
        return {"import_errors": found} if method == "GET" else answers["PATCH"].pop(0)

    monkeypatch.setattr(Airflow, "_call", call)
    answers["files"] = ["dags/solutions_hold.py"]
    Airflow("http://127.0.0.1:1").unpause("home_page")
    answers |= {"PATCH": [None], "files": ["dags/solutions_hold.py", "dags/flow.py"]}
    with pytest.raises(PlatformError, match="DAG home_page cannot be imported: SolutionError: broken; SolutionError"):
        Airflow("http://127.0.0.1:1").unpause("home_page")
    answers |= {"PATCH": [None], "files": ["dags/solutions_hold.py"]}
    monkeypatch.setattr("jobs.lib.airflow_api.PARSE_SEC", -1)
    with pytest.raises(PlatformError, match="DAG shop cannot be imported: SolutionError: broken$"):
        Airflow("http://127.0.0.1:1").unpause("shop")
