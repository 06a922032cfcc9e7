"""What whoever is on duty is told, by the notifier that `RECFLOW_NOTIFIER` names. Free of Spark and of Airflow.

The notifier is any Airflow notifier, `package.module.Class`, with the arguments `RECFLOW_NOTIFIER_ARGS` (JSON). These
may be templates over `alert`: `{"to": "ops@example.com", "subject": "{{ alert.subject }}"}`. Each alert is kept in
`_alerts/<ds>/<scenario>/<kind>.json`. One that cannot be sent is said in the log, and nothing fails by it.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from jobs.lib.errors import SettingError
from jobs.lib.object_store import StoreError, open_store
from jobs.lib.settings import settings
from jobs.lib.solution import Solution

FAILED, BLOCKED, HELD_BACK, WARNING, MISSED, TEST = "failed", "blocked", "held_back", "warning", "missed", "test"
HEADLINES = {
    FAILED: "{node} failed",
    BLOCKED: "{node} is blocked by a quality check",
    HELD_BACK: "a new model is held back",
    WARNING: "not published yet",
    MISSED: "the deadline was missed",
    TEST: "a test",
}
RUNBOOK = "infra/README.md"
# What an error says -> the section of the runbook; the first that fits. Spark's own errors have no type here.
SECTIONS = (
    (r"No space left|[Dd]isk (is )?full", "the-disk-is-full"),
    (r"nothing to import|registration|quarantine", "an-import-fails"),
    (r"StoreError|Could not connect to the endpoint|Unable to execute HTTP request", "storage-is-down"),
    (r"has no partition|has no snapshot|gave up after", "data-are-late"),
)


@dataclass(frozen=True)
class Alert:
    """why: one line; log: where the whole story is; runbook: the section that says what to do."""

    kind: str
    scenario: str
    ds: str
    node: str
    why: str
    log: str = ""
    runbook: str = ""

    @property
    def subject(self) -> str:
        about = f" ds={self.ds}" if self.ds else ""
        return f"recflow {settings().env}: {self.scenario}{about}: {HEADLINES[self.kind].format(node=self.node)}"

    @property
    def text(self) -> str:
        lines = [
            self.subject,
            self.why,
            self.log and f"Log: {self.log}",
            self.runbook and f"What to do: {self.runbook}",
        ]
        return "\n".join(filter(None, lines))

    def as_dict(self) -> dict[str, str]:
        return asdict(self) | {"env": settings().env, "subject": self.subject, "text": self.text}


def of_failure(
    scenario: str, ds: str, node: str, error: BaseException | str | None, log: str, is_blocked: bool
) -> Alert:
    said = str(error or "").strip()
    why = said.splitlines()[0] if said else "it was killed, or its log says more"
    kind, section = (BLOCKED, "a-check-blocks") if is_blocked else (FAILED, _section(error, said))
    return Alert(kind, scenario, ds, node, why, log, f"{RUNBOOK}#{section}")


def _section(error: BaseException | str | None, said: str) -> str:
    found = next((name for pattern, name in SECTIONS if re.search(pattern, said)), "a-node-fails")
    # Subclasses answer: the object is not there, or was changed.
    return "storage-is-down" if found == "a-node-fails" and type(error) is StoreError else found


def of_held_back(solution: Solution, ds: str, log: str) -> Alert | None:
    """Whether the model of ds did not pass its gate."""
    about = model_of(solution, ds)
    if about is None or about["status"] != "held_back":
        return None
    node, why = solution.table("rank_model"), f"{about['reason']}; the model before it serves on"
    return Alert(HELD_BACK, solution.scenario, ds, node, why, log, f"{RUNBOOK}#the-gate-holds-a-model-back")


def model_of(solution: Solution, ds: str) -> dict[str, str] | None:
    """{status, reason} of the model that was trained on ds; None where none was."""
    from jobs.lib import partitions

    table = solution.table("rank_model")
    if partitions.record(table, ds) is None:
        return None
    [row] = partitions.read_arrow(table, ds, ["status", "metadata"]).to_pylist()
    metadata = json.loads(row["metadata"])
    return {"status": row["status"], "reason": (metadata.get("gate") or metadata).get("reason", "")}


def of_deadline(solution: Solution, ds: str, now: datetime, reasons: list[str], log: str) -> Alert:
    """A warning before the deadline, afterwards that it was missed. reasons: what jobs/flow/late.py says is late."""
    at = solution.deadline.at(ds, solution.zone)
    left = (at - now).total_seconds() / 60
    kind = WARNING if left > 0 else MISSED
    when = f"{at:%H:%M} {solution.timezone} is the deadline"
    said = f"{when}, {left:.0f} min left" if kind == WARNING else f"{when}, {-left:.0f} min ago"
    section = "data-are-late" if "waiting for" in reasons[0] or "is frozen" in reasons[0] else "the-deadline"
    node = solution.table("publish")
    return Alert(kind, solution.scenario, ds, node, f"{said}; late: {'; '.join(reasons)}", log, f"{RUNBOOK}#{section}")


def send(alert: Alert, context: dict[str, Any] | None = None, say: Callable[[str], None] | None = None) -> bool:
    """Say it in the log, hand it to the notifier, keep it. Never raises; False when it did not go out."""
    say = say or logging.getLogger("recflow").warning
    say(f"ALERT {alert.text}")
    problem = None
    try:
        notifier = _notifier()
        if notifier is None:
            problem = "no RECFLOW_NOTIFIER is set"
        else:
            notifier({**(context or {}), "alert": alert.as_dict()})
    except Exception as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())
    say(f"the alert was not sent: {problem}" if problem else "the alert was sent")
    try:
        kept = alert.as_dict() | {"at": round(time.time()), "sent": problem is None, "problem": problem}
        _store().put(_key(alert), json.dumps(kept, sort_keys=True).encode())
    except StoreError as error:
        say(f"the alert could not be kept: {error}")
    return problem is None


def send_once(alert: Alert, context: dict[str, Any] | None = None, say: Callable[[str], None] | None = None) -> None:
    """Of each kind, scenario and ds one: also after a restart."""
    try:
        was_sent = json.loads(_store().get(_key(alert)))["sent"]
    except (StoreError, ValueError, KeyError):  # also a record that was damaged: twice is better than never
        was_sent = False
    if not was_sent:
        send(alert, context, say)


def of_day(scenario: str, ds: str) -> list[dict[str, Any]]:
    """Every alert about a day, the last of each kind."""
    return [json.loads(_store().get(key)) for key in _store().list(f"_alerts/{ds}/{scenario}/")]


def _notifier() -> Callable[[dict[str, Any]], None] | None:
    """Raises SettingError naming the variable; never with what it holds, which may be secret."""
    path, given = os.environ.get("RECFLOW_NOTIFIER"), os.environ.get("RECFLOW_NOTIFIER_ARGS") or "{}"
    if not path:
        return None
    try:
        arguments = json.loads(given)
        module, _, name = path.rpartition(".")
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        what = "RECFLOW_NOTIFIER_ARGS is no JSON" if isinstance(error, json.JSONDecodeError) else None
        raise SettingError(what or f"RECFLOW_NOTIFIER is {path!r}: there is no such class") from None
    if not isinstance(arguments, dict):
        raise SettingError("RECFLOW_NOTIFIER_ARGS is no JSON object")
    return kind(**arguments)


def _key(alert: Alert) -> str:
    about = alert.kind if alert.kind in (WARNING, MISSED, TEST) else f"{alert.kind}-{alert.node}"
    return f"_alerts/{alert.ds or 'none'}/{alert.scenario}/{about}.json"


def _store():
    return open_store(settings().warehouse_root)
