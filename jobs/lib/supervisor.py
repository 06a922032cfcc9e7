"""The process tree of the embedded Airflow (started by jobs/lib/platform.py): four components and a guard.

The components are forked from one process that has imported Airflow: importing it in each of them made up most of the
start. The guard is a second process that waits for the end of this one, however it ends (the pipe between them closes
on kill -9 too), and then ends every process of the session. The lock of the installation is inherited by supervisor
and guard only, so it is free again exactly when nothing is left running.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

POOL = "recflow_writers"
GRACE_SEC = 8
RESTARTS = 5
PORT_SEC = 120


def main() -> None:
    """Run Airflow until SIGTERM, or until a component cannot be kept alive."""
    logs, port, lock = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    os.pwrite(lock, json.dumps({"pid": os.getpid(), "address": f"http://127.0.0.1:{port}"}).encode(), 0)
    guard, lifeline = _start_guard()
    held = (lock, lifeline)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    components = {
        "api-server": ["api-server", "--host", "127.0.0.1", "--port", port],
        "dag-processor": ["dag-processor"],
        "triggerer": ["triggerer", "--skip-serve-logs"],
        "scheduler": ["scheduler", "--skip-serve-logs"],
    }
    _say("importing Airflow and preparing its database")
    database = _fork(held, logs / "database.log", _prepare_database)  # on another core, meanwhile
    import airflow.jobs.dag_processor_job_runner
    import airflow.jobs.scheduler_job_runner
    import airflow.jobs.triggerer_job_runner  # noqa: F401

    if os.waitpid(database, 0)[1]:
        sys.exit(f"the metadata database could not be prepared, see {logs / 'database.log'}")
    _say("starting " + ", ".join(components))
    running = {}
    for name in components:
        if name == "scheduler":  # tasks that it starts talk to the API server, and fail for good when there is none
            _wait_for_port(int(port))
        running[_fork_component(held, logs, name, components)] = name
    for _ in range(RESTARTS):
        pid, status = os.wait()
        if pid == guard:
            _end_session(os.getpid())
            sys.exit("the guard was ended: nothing runs without it")
        name = running.pop(pid)
        _say(f"{name} ended with {os.waitstatus_to_exitcode(status)}, see {logs / name}.log; starting it again")
        time.sleep(1)
        running[_fork_component(held, logs, name, components)] = name
    sys.exit(f"components ended {RESTARTS} times: giving up")


def _wait_for_port(port: int) -> None:
    for _ in range(PORT_SEC * 10):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)


def _prepare_database() -> None:
    _airflow(["db", "migrate"])
    from airflow.models.pool import Pool

    Pool.create_or_update_pool(POOL, 1, "Jobs that write tables: one at a time, earlier days first.", False)


def _fork_component(held: tuple[int, int], logs: Path, name: str, components: dict[str, list[str]]) -> int:
    return _fork(held, logs / f"{name}.log", lambda: _airflow(components[name]))


def _airflow(arguments: list[str]) -> None:
    from airflow.__main__ import main as airflow

    sys.argv = ["airflow", *arguments]
    airflow()


def _fork(held: tuple[int, int], log: Path, function: Callable[[], None]) -> int:
    """Run the function in a child that writes to `log` and lets go of lock and lifeline."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for descriptor in held:
            os.close(descriptor)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        function()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _start_guard() -> tuple[int, int]:
    """Fork the guard. Returns its pid and the end of the pipe that this process must hold as long as it lives."""
    read_end, write_end = os.pipe()
    supervisor = os.getpid()
    if pid := os.fork():
        os.close(read_end)
        return pid, write_end
    os.close(write_end)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.read(read_end, 1)  # returns when the supervisor is gone
    _end_session(supervisor)
    _say("stopped")
    os._exit(0)


def end_leftovers(session: int) -> int:
    """End what is left of an Airflow whose supervisor and guard were both killed. Returns how many processes.

    A session's number is not given out again while it has members, so a session without leader is still the old one.
    """
    members = _members(session)
    left = 0 if session in members else sum("airflow" in _command(pid) for pid in members)
    if left:
        _end_session(session)
    return left


def _end_session(session: int) -> None:
    """End all processes of a session but this one, first politely. (Tasks have process groups of their own.)"""
    deadline = time.monotonic() + GRACE_SEC
    for pid in _members(session):
        _signal(pid, signal.SIGTERM)
    while members := _members(session):
        if time.monotonic() > deadline:
            for pid in members:
                _signal(pid, signal.SIGKILL)
        time.sleep(0.1)


def _members(session: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                state, _, _, sid = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(sid) == session and state != "Z":
                    found.append(int(entry.name))
    return found


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
