"""The driver process: one Spark session that runs the jobs of its clients (jobs/lib/driver.py), one at a time.

One line of JSON comes in: {name, days, solution}. Lines of JSON go out: {started}, {log} for each line, then {ok} or
{error}. A client that goes away (a task that was killed or timed out) takes its job with it: the driver exits, and
Spark with it. After RECFLOW_DRIVER_IDLE_SEC (300) seconds without a job it leaves.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import os
import select
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from jobs.lib.driver import RUNNER, locked
from jobs.lib.errors import RecflowError

CLIENT_GONE = 75  # exit status

log = logging.getLogger("recflow")


def run_job(name: str, days: list[str], solution: str) -> None:
    """The runner of a real driver: one node or job in this process."""
    from jobs.flow.running import run_node
    from jobs.lib.session import spark
    from jobs.lib.solution import load_solution

    before = time.monotonic()
    session = spark()
    if (seconds := time.monotonic() - before) > 1:
        log.info("Spark session started in %.1f s", seconds)
    try:
        run_node(load_solution(solution), name, days, if_due=True)
    finally:
        session.catalog.clearCache()


def serve(path: Path, runner: Callable[..., None], idle_sec: float) -> None:
    """Listen on `path` and run what comes, in order, until nothing came for idle_sec. Others wait in the backlog."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(128)
        while True:
            if select.select([listener], [], [], idle_sec)[0]:
                connection, _ = listener.accept()
                with connection:
                    if _serve_one(connection, runner):
                        continue
                with locked(path.parent):
                    path.unlink(missing_ok=True)  # who waits in the backlog finds the next driver
                    return
            with locked(path.parent):  # clients connect under this lock: whoever came meanwhile is still served
                if not select.select([listener], [], [], 0)[0]:
                    path.unlink(missing_ok=True)
                    return


def _serve_one(connection: socket.socket, runner: Callable[..., None]) -> bool:
    """Run one client's job. False when this driver must end: it was asked to, or its session may be broken."""
    line = connection.makefile("rb").readline()
    request = json.loads(line or b"{}")
    if "stop" in request:
        return False
    if _is_gone(connection, 0):  # while it waited in the backlog
        return True
    output = _LogStream(connection)
    output.send({"started": os.getpid()})
    done = threading.Event()
    threading.Thread(target=_exit_with_client, args=(connection, done), daemon=True).start()
    answer: dict = {"ok": True}
    with _logging_to(output), contextlib.redirect_stdout(output):
        try:
            runner(request["name"], request["days"], request["solution"])
        except RecflowError as error:
            answer = {"error": str(error), "kind": type(error).__name__, "readable": True}
        except BaseException as error:  # out of memory, say: the next try gets a driver that has not seen it
            output.write(traceback.format_exc())
            answer = {"error": f"{type(error).__name__}: {error}", "kind": "JobError", "readable": False}
    done.set()
    output.send(answer)
    return answer.get("readable", True)


def _exit_with_client(connection: socket.socket, done: threading.Event) -> None:
    while not done.is_set():
        if _is_gone(connection, 0.5) and not done.is_set():
            print("the client went away: its job is cancelled and this driver ends", file=sys.stderr, flush=True)
            os._exit(CLIENT_GONE)


def _is_gone(connection: socket.socket, wait_sec: float) -> bool:
    """A client sends one line and then listens: whatever can be read after that line is its end."""
    return bool(select.select([connection], [], [], wait_sec)[0])


class _LogStream(io.TextIOBase):
    """Text written here reaches the client line by line. A client that is gone is dealt with elsewhere."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._lock, self._rest = connection, threading.Lock(), ""

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            for line in lines:
                self._put({"log": line})
        return len(text)

    def send(self, answer: dict) -> None:
        with self._lock:
            self._put(answer)

    def _put(self, answer: dict) -> None:
        with contextlib.suppress(OSError):
            self._connection.sendall(json.dumps(answer).encode() + b"\n")


@contextlib.contextmanager
def _logging_to(output: _LogStream) -> Iterator[None]:
    handler = logging.StreamHandler(output)
    handler.setFormatter(logging.Formatter("%(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def main() -> None:
    path, runner = sys.argv[1:]
    if runner == RUNNER:
        from jobs.lib.session import spark

        threading.Thread(target=spark, daemon=True).start()  # a driver is started for a job, so begin at once
    logging.getLogger().setLevel(logging.INFO)
    for noisy in ("py4j", "great_expectations", "matplotlib", "botocore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    module, function = runner.split(":")
    serve(
        Path(path),
        getattr(importlib.import_module(module), function),
        float(os.environ.get("RECFLOW_DRIVER_IDLE_SEC") or 300),
    )
    os._exit(0)  # the Spark session needs no farewell; leaving at once ends the JVM too


if __name__ == "__main__":
    main()
