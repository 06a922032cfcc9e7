"""Trains a day's model in a process of its own: its memory is given back, and what kills it kills no driver.

The request and the answer are files in a folder under RECFLOW_HOME, removed afterwards, as is what XGBoost puts there
of samples that are more than `ranking.external_memory_rows`.
"""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from jobs.lib.errors import RecflowError
from jobs.lib.settings import PROJECT_ROOT, settings
from jobs.lib.solution import Solution
from jobs.ranking.models import Model, newest_model

log = logging.getLogger("recflow")

REQUEST, ANSWER, REFUSAL = "request", "answer", "refusal"


@dataclass(frozen=True)
class Request:
    """days: committed days of samples; before: the current model is the newest usable one of a ds up to this."""

    solution: Solution
    days: list[str]
    before: str


def in_own_process(request: Request) -> Model:
    """Raises what the child refused, or RecflowError saying how it ended."""
    folder = settings().home / "training"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        at = Path(name)
        (at / REQUEST).write_bytes(pickle.dumps(request))
        command = [sys.executable, "-m", "jobs.ranking.training", name]
        ended = subprocess.run(command, cwd=PROJECT_ROOT, stderr=subprocess.PIPE, text=True)
        for line in ended.stderr.splitlines():
            log.info("training: %s", line)
        if (at / REFUSAL).exists():
            raise pickle.loads((at / REFUSAL).read_bytes())
        if ended.returncode:
            raise RecflowError(_how_it_ended(ended.returncode, ended.stderr, request.solution))
        return pickle.loads((at / ANSWER).read_bytes())


def _how_it_ended(code: int, said: str, solution: Solution) -> str:
    what = f"training of {solution.table('rank_model')}"
    if code < 0:
        advice = "if memory was short, lower ranking.external_memory_rows, training_days or max_train_rows"
        return f"{what} was killed by {signal.Signals(-code).name}; {advice}"
    return f"{what} ended with {code}: {(said.strip().splitlines() or ['it said nothing'])[-1]}"


def train(request: Request, cache: Path) -> Model:
    """In this process."""
    from jobs.ranking.learning import learned
    from jobs.ranking.training_rows import stored

    solution = request.solution
    samples = stored(solution, request.days, request.days if solution.ranking.exclude_suspicious_users else None)
    return learned(samples, solution, newest_model(solution, request.before), cache)


def _end_with(parent: int, folder: str) -> None:
    """A killed driver must not leave a training behind, nor its files."""
    while os.getppid() == parent:
        time.sleep(1)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def work(folder: str) -> None:
    threading.Thread(target=_end_with, args=(os.getppid(), folder), daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    at = Path(folder)
    try:
        model = train(pickle.loads((at / REQUEST).read_bytes()), at)
    except RecflowError as error:
        (at / REFUSAL).write_bytes(pickle.dumps(error))
        sys.exit(1)
    (at / ANSWER).write_bytes(pickle.dumps(model))


if __name__ == "__main__":
    work(sys.argv[1])
    logging.shutdown()
    sys.stderr.flush()
    os._exit(0)  # Arrow's threads, left to the interpreter's own end, now and then abort what had succeeded
