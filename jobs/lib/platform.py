"""The embedded Airflow of one installation: start, stop, status. Its home is RECFLOW_HOME/airflow.

SQLite, LocalExecutor, one scheduler, bound to 127.0.0.1: for one machine. Everything is set in airflow.cfg (see
airflow_config.py), so `AIRFLOW_HOME=.recflow/airflow airflow ...` by hand talks to the same Airflow.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from jobs.lib import driver
from jobs.lib.airflow_api import Airflow, PlatformError
from jobs.lib.airflow_config import environment, write_config
from jobs.lib.settings import settings
from jobs.lib.supervisor import end_leftovers

START_SEC = 300
STOP_SEC = 30
COMPONENTS = {"metadatabase", "scheduler", "dag_processor", "triggerer"}


def start(port: int = 8080, say: Callable[[str], None] = print) -> str:
    """Start Airflow in the background and wait until it is healthy. Returns its address.

    Raises PlatformError when one is already running on this home, when the port is taken, or when it does not come up.
    """
    began = time.monotonic()
    home = _home()
    lock = _take_lock(home)
    try:
        _end_leftovers(lock, say)
        _refuse_taken_port(port)
        write_config(home, port)
        supervisor = _launch(home, port, lock)
    finally:
        os.close(lock)  # the supervisor holds it from here on
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_healthy(Airflow(address), supervisor, _supervisor_log(home), say)
    except BaseException:
        supervisor.terminate()
        raise
    name, password = credentials()
    say(f"Airflow is up after {time.monotonic() - began:.0f} s: {address}  login {name} / {password}")
    return address


def ensure_started(port: int = 8080, say: Callable[[str], None] = print) -> str:
    """The address of the running Airflow; started if there is none."""
    if running := is_running():
        say(f"Airflow is running already: {running['address']}")
        return running["address"]
    return start(port, say)


def stop(say: Callable[[str], None] = print) -> bool:
    """Stop Airflow and idle Spark drivers, and wait until nothing of it is left. False when none was running."""
    driver.stop_all()
    if (running := is_running()) is None:
        lock = _take_lock(_home())
        _end_leftovers(lock, say)
        os.close(lock)
        say("Airflow is not running")
        return False
    say(f"stopping Airflow at {running['address']} (pid {running['pid']})")
    with contextlib.suppress(ProcessLookupError):
        os.kill(running["pid"], 15)
    deadline = time.monotonic() + STOP_SEC
    while is_running():
        if time.monotonic() > deadline:
            raise PlatformError(f"Airflow has not ended after {STOP_SEC} s; see {_supervisor_log(_home())}")
        time.sleep(0.1)
    driver.stop_all()
    say("stopped")
    return True


def is_running() -> dict | None:
    """{pid, address} of the Airflow of this home, or None. The lock decides, so a stale file misleads nobody."""
    lock = _open_lock(_home())
    try:
        while not _try_lock(lock):
            if state := os.pread(lock, 1000, 0):  # written by the supervisor in the first moments of its life
                return json.loads(state)
            time.sleep(0.05)
        return None
    finally:
        os.close(lock)


def address() -> str:
    """Where the running Airflow is. Raises PlatformError when none is."""
    if (running := is_running()) is None:
        raise PlatformError("Airflow is not running; start it with `recflow ui`")
    return running["address"]


def unpause(dag_id: str) -> None:
    """Let a DAG run every night from now on. Raises PlatformError with the import error when there is no such DAG."""
    Airflow(address(), *credentials()).unpause(dag_id)


def run_day(dag_id: str, ds: str, timezone: str, say: Callable[[str], None] = print) -> None:
    """Run (or repeat) one day of a DAG through the scheduler, and say how each node goes.

    The DAG is left unpaused. Raises PlatformError naming the node that failed.
    """
    airflow = Airflow(address(), *credentials())
    airflow.unpause(dag_id)
    airflow.trigger_day(dag_id, ds, timezone)
    airflow.wait_for_run(dag_id, ds, timezone, say)


def credentials() -> tuple[str, str]:
    """User and password of the UI and API; kept in RECFLOW_HOME/airflow/passwords.json, readable by its owner only."""
    [(name, password)] = json.loads((_home() / "passwords.json").read_text()).items()
    return name, password


def _launch(home: Path, port: int, lock: int) -> subprocess.Popen:
    logs = home / "logs"
    logs.mkdir(exist_ok=True)
    for log in logs.glob("*.log"):
        log.replace(log.with_suffix(".log.previous"))
    os.set_inheritable(lock, True)
    with _supervisor_log(home).open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.lib.supervisor", str(logs), str(port), str(lock)],
            env=environment(home),
            cwd=home,
            pass_fds=[lock],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _wait_healthy(airflow: Airflow, supervisor: subprocess.Popen, log: Path, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + START_SEC
    shown: set[str] = set()
    while True:
        for line in log.read_text().splitlines():
            if line not in shown:
                say(f"  {line}")
                shown.add(line)
        if supervisor.poll() is not None:
            raise PlatformError(f"Airflow did not start; see {log}")
        healthy = airflow.healthy()
        if healthy >= COMPONENTS:
            return
        if time.monotonic() > deadline:
            waiting = ", ".join(sorted(COMPONENTS - healthy))
            raise PlatformError(f"Airflow is not up after {START_SEC} s (waiting for {waiting}); logs: {log.parent}")
        time.sleep(0.25)


def _take_lock(home: Path) -> int:
    lock = _open_lock(home)
    while not _try_lock(lock):
        if running := is_running():
            os.close(lock)
            raise PlatformError(f"already running at {running['address']} (pid {running['pid']})")
    return lock


def _end_leftovers(lock: int, say: Callable[[str], None]) -> None:
    """The lock is free, so the supervisor that wrote into it is gone; its guard may have been killed with it."""
    if (state := os.pread(lock, 1000, 0)) and (left := end_leftovers(json.loads(state)["pid"])):
        say(f"ended {left} processes that a killed Airflow had left")
    os.truncate(lock, 0)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open_lock(home: Path) -> int:
    home.mkdir(parents=True, exist_ok=True)
    return os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise PlatformError(f"port {port} of 127.0.0.1 is taken; choose another with --port") from None


def _supervisor_log(home: Path) -> Path:
    return home / "logs" / "supervisor.log"


def _home() -> Path:
    return settings().home / "airflow"
