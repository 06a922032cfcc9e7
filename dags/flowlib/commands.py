"""A node that runs a `recflow` command in a process of its own, with what the run's form was filled in with."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from jobs.lib.settings import PROJECT_ROOT


class CommandNode(BaseOperator):
    """Runs `recflow <arguments(params)>` and passes on what it says. The last line of a failure is the error.

    solution_path: of the scenario that an alert about it names.
    """

    ui_color = "#f7ead7"

    def __init__(self, *, arguments: Callable[[dict], list[str]], solution_path: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.arguments, self.solution_path = arguments, solution_path
        self._process: subprocess.Popen | None = None

    def execute(self, context: Any) -> None:
        command = [sys.executable, "-m", "jobs.lib.cli", *self.arguments(dict(context["params"]))]
        self._process = subprocess.Popen(
            command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
        )
        last = ""
        for line in self._process.stdout:
            last = line.rstrip() or last
            self.log.info(line.rstrip())
        if self._process.wait():
            raise AirflowFailException(last.removeprefix("recflow: error: "))

    def on_kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            raise AirflowException(f"{self.task_id} was stopped, and what it ran with it")
