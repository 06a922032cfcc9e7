"""Run a job in the warm Spark driver that the nodes of a flow share (jobs/lib/driver_server.py).

A Spark session takes 6-9 s to start, more than most jobs take to run. So a node does not start one: it sends its job
over a Unix socket to the driver, starts the driver if none answers, and passes the job's log lines on as they come. The
socket is named after code and settings, so that a change of either gets a fresh driver.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from jobs.lib import errors
from jobs.lib.errors import RecflowError
from jobs.lib.object_store import StoreError
from jobs.lib.settings import PROJECT_ROOT, SCHEMAS, settings

RUNNER = "jobs.lib.driver_server:run_job"
SOCKET_PATH_LIMIT = 100  # bytes; the kernel's own limit is 108 on Linux and 104 on macOS
START_SEC = 30
LOG_DAYS = 7


class DriverError(RecflowError):
    """The driver did not start, or died under a job. Trying again starts a new one."""


class JobError(Exception):
    """The job raised something that is not a RecflowError; its traceback is in the log."""


def run(
    name: str, days: list[str], solution_path: str, log: Callable[[str], None] = print, runner: str = RUNNER
) -> None:
    """Run one job in the driver; `log` gets its lines as they come.

    Raises the job's own RecflowError, JobError for any other failure, DriverError when the driver died.
    """
    solution_path = str(Path(solution_path).absolute())
    request = json.dumps({"name": name, "days": days, "solution": solution_path}).encode() + b"\n"
    for _ in range(3):  # a driver may leave between answering the call and taking the job: then the next one gets it
        with _connected(runner, log) as connection:
            with contextlib.suppress(BrokenPipeError):
                connection.sendall(request)
            if _follow(connection, name, log):
                return
    raise DriverError(f"no Spark driver took {name}; its logs are in {_folder()}")


def start_early(log: Callable[[str], None] = print, runner: str = RUNNER) -> None:
    """Let a driver start that a job will soon ask for. One that cannot start is that job's error."""
    with contextlib.suppress(DriverError), _connected(runner, log):
        pass


def stop_all() -> None:
    """Ask every idle driver of this home to leave. (A busy one leaves when its client goes away.)"""
    for path in _folder().glob("*.sock"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(b'{"stop": true}\n')


def _follow(connection: socket.socket, name: str, log: Callable[[str], None]) -> bool:
    """Pass the answer on until the job is done. False: the connection closed before the job was taken."""
    pid = None
    try:
        with connection.makefile(encoding="utf-8") as lines:  # left open, it would keep the connection open with it
            for line in lines:
                answer = json.loads(line)
                if "log" in answer:
                    log(answer["log"])
                elif "started" in answer:
                    pid = answer["started"]
                elif "ok" in answer:
                    return True
                else:
                    raise _error(answer)
    except (ConnectionError, json.JSONDecodeError):
        pass  # the driver died in the middle of a line
    if pid is None:
        return False
    raise DriverError(f"the Spark driver (pid {pid}) died while running {name}; its logs are in {_folder()}")


def _error(answer: dict) -> Exception:
    known = {**vars(errors), "StoreError": StoreError}
    kind = known.get(answer["kind"], RecflowError if answer["readable"] else JobError)
    return kind(answer["error"])


@contextlib.contextmanager
def _connected(runner: str, log: Callable[[str], None]) -> Iterator[socket.socket]:
    """A connection to the driver for this code and these settings; started if none answers."""
    path = _folder() / f"{_fingerprint(runner)}.sock"
    with socket.socket(socket.AF_UNIX) as connection:
        with locked(path.parent):
            if not _answers(connection, path):
                log("starting a Spark driver")
                process = _start(path, runner)
                deadline = time.monotonic() + START_SEC
                while not _answers(connection, path):
                    if process.poll() is not None or time.monotonic() > deadline:
                        process.kill()
                        raise DriverError(f"the Spark driver did not start; see {path.with_suffix('.log')}")
                    time.sleep(0.05)
        yield connection


def _answers(connection: socket.socket, path: Path) -> bool:
    with contextlib.suppress(OSError):
        connection.connect(str(path))
        return True
    return False


def _start(path: Path, runner: str) -> subprocess.Popen:
    """Start a driver in a session of its own, so that it outlives this task. The caller holds the lock."""
    path.unlink(missing_ok=True)  # what a killed driver left
    for old in path.parent.glob("*.log"):
        if old.stat().st_mtime < time.time() - LOG_DAYS * 86400:
            old.unlink()
    python_path = filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH")])
    with path.with_suffix(".log").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.lib.driver_server", str(path), runner],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(python_path), "PYTHONSAFEPATH": "1"},  # this code, wherever
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _folder() -> Path:
    """Where sockets and logs are, closed to other users. Deep homes get a short path, because sockets need one."""
    folder = settings().home / "drivers"
    if len(os.fsencode(folder)) + len("/0123456789abcdef.sock") > SOCKET_PATH_LIMIT:
        name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"recflow-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise DriverError(f"{folder} belongs to another user")
    folder.chmod(0o700)
    return folder


def _fingerprint(runner: str) -> str:
    """Changes with code, schemas and settings: a driver holds them as they were when it started. Solutions it reads
    anew for each job, so scenarios share it.

    A setting that is spelled out and the same one by default are one: the command line and Airflow share a driver.
    """
    files = [*(PROJECT_ROOT / "jobs").rglob("*.py"), *SCHEMAS.rglob("*.yaml")]
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(files) if file.exists()]
    prefixes = ("RECFLOW_", "AWS_", "SPARK_", "PYSPARK_", "JAVA_")
    in_settings = {"RECFLOW_HOME", "RECFLOW_WAREHOUSE", "RECFLOW_PUBLISH", "RECFLOW_SOLUTION"}
    environment = sorted((k, v) for k, v in os.environ.items() if k.startswith(prefixes) and k not in in_settings)
    known = repr((stats, environment, settings(), sys.executable, runner))
    return hashlib.sha256(known.encode()).hexdigest()[:16]
