"""Stands in for the jobs of a real driver: what happens is the job's name."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from jobs.lib.errors import QualityError

log = logging.getLogger("recflow")


def run(name: str, days: list[str], solution: str) -> None:
    if name == "refused":
        raise QualityError("table t ds=20261121: check id_not_null: 3 rows")
    if name == "broken":
        raise ValueError("no such luck")
    if name.startswith("/"):  # a file that says who runs; the job ends when it is gone
        Path(name).write_text(str(os.getpid()))
        while Path(name).exists():
            time.sleep(0.05)
    log.info("%s %s", name, ",".join(days))
    print(f"pid {os.getpid()}")
