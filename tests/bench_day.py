"""Part of `make bench`: a day of the flow at demo size through Airflow, from data-ready to published.

Twice: without a Spark driver, and with the one that the first run has left. What is not a job's own time ("work") or
the wait for the Spark session is Airflow's: starting tasks, and the scheduler between them.
"""

from __future__ import annotations

import json
import os
import re
import socket
import tempfile
import time
from datetime import datetime
from pathlib import Path
from unittest import mock

DAYS = 30
TOLD = re.compile(r"\] (\S+) +success +([\d.]+) s")


def measure() -> None:
    """Prints both runs, node by node."""
    from jobs.lib import driver, platform
    from jobs.lib.days import add_days, window
    from jobs.lib.demo import fill
    from jobs.lib.settings import settings
    from jobs.lib.solution import load_solution

    with tempfile.TemporaryDirectory() as home, mock.patch.dict(os.environ, {"RECFLOW_HOME": home}):
        os.environ.pop("RECFLOW_WAREHOUSE", None)
        solution = load_solution()
        day = add_days(datetime.now(solution.zone).strftime("%Y%m%d"), -1)
        fill(solution, window(day, DAYS))
        platform.start(_free_port(), say=lambda _: None)
        try:
            for name in ("without a driver", "with a driver"):
                if name == "without a driver":
                    driver.stop_all()
                told: list[str] = []
                started = time.monotonic()
                platform.run_day(solution.scenario, day, solution.timezone, told.append)
                _show(name, time.monotonic() - started, told, settings().home / "airflow" / "logs", solution.scenario)
        finally:
            platform.stop(say=lambda _: None)


def _show(name: str, total: float, told: list[str], logs: Path, dag_id: str) -> None:
    tasks = {found[1]: float(found[2]) for line in told if (found := TOLD.search(line))}
    work, start = {}, {}
    for task in tasks:
        lines = _last_log(logs / f"dag_id={dag_id}", task)
        work[task] = sum(float(x) for x in re.findall(r"done in ([\d.]+) s", lines))
        start[task] = sum(float(x) for x in re.findall(r"Spark session started in ([\d.]+) s", lines))
    print(f"\nA day through Airflow, {name}: {total:.0f} s")
    for task, seconds in tasks.items():
        print(f"  {task:<40} {seconds:8.1f} s  work {work[task]:6.1f} s")
    shares = {"work": sum(work.values()), "Spark start": sum(start.values())}
    shares["Airflow"] = total - sum(shares.values())
    print("  " + ", ".join(f"{what} {seconds:.0f} s ({seconds / total:.0%})" for what, seconds in shares.items()))


def _last_log(folder: Path, task: str) -> str:
    """What the newest try of a task logged."""
    files = sorted(folder.glob(f"*/task_id={task}/*.log"), key=lambda file: file.stat().st_mtime)
    return "\n".join(str(json.loads(line).get("event")) for line in files[-1].read_text().splitlines())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
