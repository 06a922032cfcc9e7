"""What recflow asks of a running Airflow, over its REST API: cheap, and the API server is the only one to write."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from jobs.lib.days import to_date
from jobs.lib.errors import RecflowError

TRIES = 5
PARSE_SEC = 90
RUN_APPEARS_SEC = 60
OF_ANY_SCENARIO = "solutions_hold.py"  # its import errors may be about another DAG's solution file
DONE = ("success", "failed", "skipped", "upstream_failed", "removed")
TOLD = (*DONE, "running", "deferred", "up_for_retry")


class PlatformError(RecflowError):
    """Airflow does not start, is not in the state that was asked for, or a run in it failed."""


class Airflow:
    """One Airflow, signed in as its only user."""

    def __init__(self, address: str, user: str = "", password: str = "") -> None:
        self.address, self._user, self._password, self._token = address, user, password, ""

    def healthy(self) -> set[str]:
        """The components that report to be healthy."""
        try:
            with urllib.request.urlopen(f"{self.address}/api/v2/monitor/health", timeout=5) as answer:
                health = json.load(answer)
        except (OSError, ValueError):
            return set()
        return {name for name, state in health.items() if state and state.get("status") == "healthy"}

    def unpause(self, dag_id: str) -> None:
        """Wait until the DAG is parsed, then unpause it. Raises PlatformError with the import errors there are."""
        deadline = time.monotonic() + PARSE_SEC
        while self._call("PATCH", f"dags/{dag_id}", {"is_paused": False}, absent_ok=True) is None:
            errors, is_late = self._call("GET", "importErrors")["import_errors"], time.monotonic() > deadline
            if errors and (is_late or any(not error["filename"].endswith(OF_ANY_SCENARIO) for error in errors)):
                lines = [error["stack_trace"].strip().splitlines()[-1] for error in errors]
                raise PlatformError(f"DAG {dag_id} cannot be imported: {'; '.join(lines)}")
            if is_late:
                raise PlatformError(f"Airflow has no DAG {dag_id} after {PARSE_SEC} s")
            time.sleep(0.5)

    def trigger_day(self, dag_id: str, ds: str, timezone: str) -> None:
        """Run one day: a backfill from = to. A run of that day that is done is repeated; one that goes on is kept."""
        day = _start_of_day(ds, timezone)
        if day.timestamp() + 86400 > time.time():
            raise PlatformError(f"ds={ds} is not over yet in {timezone}")
        while True:
            run = self._run(dag_id, day)
            if run and run["state"] in ("queued", "running"):
                return
            bounds = {"from_date": day.isoformat(), "to_date": day.isoformat()}
            backfill = {"dag_id": dag_id, "reprocess_behavior": "completed", "max_active_runs": 1} | bounds
            if self._call("POST", "backfills", backfill, conflict_ok=True) is not None:
                return
            time.sleep(2)  # another backfill of this DAG is active: Airflow takes one at a time

    def wait_for_run(self, dag_id: str, ds: str, timezone: str, say: Callable[[str], None] = print) -> None:
        """Say how each node of the day's run goes until all are done. Raises PlatformError naming what failed."""
        run = self._new_run(dag_id, _start_of_day(ds, timezone))
        path = f"dags/{dag_id}/dagRuns/{urllib.parse.quote(run['dag_run_id'])}"
        told: dict[str, tuple] = {}
        while True:
            state = self._call("GET", path)["state"]  # before the tasks: then a last look at them misses none
            tasks = self._call("GET", f"{path}/taskInstances?limit=100")["task_instances"]
            for task in sorted(tasks, key=lambda task: task["end_date"] or "9"):
                news = (task["state"], task["try_number"])
                if task["state"] in TOLD and told.get(task["task_id"]) != news:
                    told[task["task_id"]] = news
                    done = sum(state in DONE for state, _ in told.values())
                    say(f"  [{done:>2}/{len(tasks)}] {task['task_id']:<40} {task['state']}{_seconds(task)}")
            if state == "success":
                return
            if state == "failed":
                raise PlatformError(self._failure(dag_id, ds, run["dag_run_id"], tasks))
            time.sleep(1)

    def _new_run(self, dag_id: str, day: datetime) -> dict:
        deadline = time.monotonic() + RUN_APPEARS_SEC
        while (run := self._run(dag_id, day)) is None:
            if time.monotonic() > deadline:
                raise PlatformError(f"Airflow made no run of {dag_id} for {day:%Y%m%d}")
            time.sleep(0.5)
        return run

    def _run(self, dag_id: str, day: datetime) -> dict | None:
        """The newest run about this day."""
        at = urllib.parse.quote(day.isoformat())
        query = f"logical_date_gte={at}&logical_date_lte={at}&order_by=-id&limit=1"
        runs = self._call("GET", f"dags/{dag_id}/dagRuns?{query}")["dag_runs"]
        return runs[0] if runs else None

    def _failure(self, dag_id: str, ds: str, run_id: str, tasks: list[dict]) -> str:
        failed = [task for task in tasks if task["state"] == "failed"]
        if not failed:
            return f"{dag_id} ds={ds} failed; see {self.address}/dags/{dag_id}/runs/{run_id}"
        task = failed[0]
        path = f"dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}/taskInstances/{task['task_id']}"
        lines = self._call("GET", f"{path}/logs/{task['try_number']}")["content"]
        reasons = [line["error_detail"][0]["exc_value"] for line in lines if line.get("error_detail")]
        reason = f": {reasons[0]}" if reasons else ""
        page = f"{self.address}/dags/{dag_id}/runs/{run_id}/tasks/{task['task_id']}"
        return f"{dag_id} ds={ds} failed at {task['task_id']}{reason} (log: {page})"

    def _call(
        self, method: str, path: str, body: Any = None, absent_ok: bool = False, conflict_ok: bool = False
    ) -> dict | None:
        """One call; None for 404 and 409 where they are expected. A locked database (5xx) is tried again."""
        for attempt in range(1, TRIES + 1):
            try:
                return self._send(method, f"api/v2/{path}", body, {"Authorization": f"Bearer {self._signed_in()}"})
            except urllib.error.HTTPError as error:
                if (error.code == 404 and absent_ok) or (error.code == 409 and conflict_ok):
                    return None
                if error.code < 500 or attempt == TRIES:
                    detail = error.read().decode(errors="replace")[:500]
                    raise PlatformError(f"Airflow refused {method} {path}: {error.code} {detail}") from None
            except OSError as error:
                if attempt == TRIES:
                    raise PlatformError(f"Airflow at {self.address} does not answer: {error}") from None
            time.sleep(attempt)
        raise AssertionError

    def _signed_in(self) -> str:
        if not self._token:
            login = {"username": self._user, "password": self._password}
            self._token = self._send("POST", "auth/token", login, {})["access_token"]
        return self._token

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> dict:
        data = None if body is None else json.dumps(body).encode()
        headers = headers | {"Content-Type": "application/json", "Accept": "application/json"}
        request = urllib.request.Request(f"{self.address}/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"{}")


def _start_of_day(ds: str, timezone: str) -> datetime:
    """The instant with its zone: Airflow reads a bare date as UTC, which is another day for most of the world."""
    day = to_date(ds)
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone))


def _seconds(task: dict) -> str:
    return f"  {task['duration']:.1f} s" if task["state"] in DONE and task["duration"] else ""
