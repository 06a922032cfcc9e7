"""The first day of a scenario's schedule: RECFLOW_HOME/first_ds_<scenario>. Free of Spark."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from jobs.lib.days import check_ds
from jobs.lib.settings import settings
from jobs.lib.solution import Solution, load_solution


def first_ds(solution: Solution) -> str:
    """As kept; where there is none yet, the solution's today is kept."""
    file = _file(solution)
    if not file.exists():
        _take_over(solution)
    if not file.exists():
        set_first_ds(solution, datetime.now(solution.zone).strftime("%Y%m%d"))
    return check_ds(file.read_text().strip())


def set_first_ds(solution: Solution, ds: str) -> None:
    file = _file(solution)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{os.getpid()}")
    new.write_text(ds)
    new.replace(file)


def _take_over(solution: Solution) -> None:
    """`first_ds` is of an installation that knew one scenario, the default one."""
    old = settings().home / "first_ds"
    if old.exists() and load_solution().scenario == solution.scenario:
        with suppress(FileNotFoundError):  # another process was faster
            old.rename(_file(solution))


def _file(solution: Solution) -> Path:
    return settings().home / f"first_ds_{solution.scenario}"
