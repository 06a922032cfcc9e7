"""`recflow deploy`, `deployments` and `rollback`: versions under the publish prefix, and a record of each attempt.

_deployments/<version>/package.zip, manifest.json      never change: a version is named after its package
_deployments/records/000001.json                       who, when, what, outcome; failed attempts too
_deployments/active.json                               {version, deployment}, moved last, by one at a time
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobs.deploy import package
from jobs.deploy.active import POINTER, active_version, deployments, manifest_in, pointer, unpacked
from jobs.deploy.check import check
from jobs.deploy.difference import counts, difference
from jobs.lib.errors import RecflowError
from jobs.lib.object_store import MissingObject, ObjectChanged, Store
from jobs.lib.solution import solution_file

RUNNING, DONE, FAILED = "running", "done", "failed"
DEPLOY, ROLLBACK = "deploy", "rollback"


@dataclass(frozen=True)
class Deployment:
    """One attempt. when: UTC, ISO; what: counts of what it changes, or to which deployment it goes back; outcome:
    running (at work, or killed), done or failed, and then why."""

    number: int
    action: str
    who: str
    when: str
    version: str | None = None
    before: str | None = None
    what: str = ""
    outcome: str = RUNNING
    error: str = ""
    seconds: float = 0.0


def deploy(
    path: str | Path | None, who: str, checked: Callable[[dict[str, bytes]], dict[str, Any]] = check
) -> Deployment:
    """Check this code and solution, store them as a version, and make it the active one. Raises RecflowError; whatever
    fails is kept, and leaves active what was."""

    def work(store: Store, record: Deployment, keep: Callable[..., Deployment]) -> str:
        files = package.contents(Path(path or solution_file()))
        data = package.zipped(files)
        keep(version=package.version_of(data))
        scenarios = checked(files)
        keep(what=_what(store, record.before, scenarios))
        _put(store, data, package.manifest_of(data, files, scenarios))
        return package.version_of(data)

    return _attempt(DEPLOY, who, work)


def rollback(version: str | None, who: str) -> Deployment:
    """Make an earlier version active again: the given one, else the one deployed before the active one."""

    def work(store: Store, record: Deployment, keep: Callable[..., Deployment]) -> str:
        earlier = _deployed(store, version)
        keep(version=earlier.version, what=f"back to deployment {earlier.number}")
        return earlier.version

    return _attempt(ROLLBACK, who, work)


def listed() -> tuple[list[Deployment], str | None]:
    """Every attempt, oldest first, and the version that is active."""
    store = deployments()
    return _records(store), active_version(store)


def _attempt(action: str, who: str, work: Callable[..., str]) -> Deployment:
    """Keep the attempt, do the work, and move the pointer if nobody else did meanwhile."""
    store, started = deployments(), time.monotonic()
    before = pointer(store)
    active = json.loads(before)["version"] if before else None
    record = _begin(store, Deployment(0, action, who, datetime.now(UTC).isoformat(timespec="seconds"), before=active))

    def keep(**changes: Any) -> Deployment:
        nonlocal record
        record = replace(record, **changes, seconds=round(time.monotonic() - started, 1))
        store.put(_key(record.number), _bytes(record))
        return record

    try:
        version = work(store, record, keep)
        unpacked(store, version)  # its package is whole, and this machine has it
        number = record.number if action == DEPLOY else _deployed(store, version).number
        try:
            store.swap(POINTER, before, json.dumps({"version": version, "deployment": number}).encode())
        except ObjectChanged:
            raise RecflowError("someone else deployed meanwhile: look at `recflow plan` again") from None
    except BaseException as error:
        keep(outcome=FAILED, error=str(error) or type(error).__name__)
        raise
    return keep(outcome=DONE)


def _begin(store: Store, record: Deployment) -> Deployment:
    number = max((int(key[-11:-5]) for key in store.list("records/")), default=0) + 1
    while True:
        record = replace(record, number=number)
        try:
            store.swap(_key(number), None, _bytes(record))
            return record
        except ObjectChanged:
            number += 1


def _deployed(store: Store, version: str | None) -> Deployment:
    """The newest deployment of a version; without one, of what was active before: the newest of another version that is
    older than the active deployment."""
    done = [r for r in _records(store) if r.action == DEPLOY and r.outcome == DONE]
    if version is not None:
        found = [record for record in done if record.version == version]
        if not found:
            known = ", ".join(dict.fromkeys(r.version for r in reversed(done))) or "none"
            raise RecflowError(f"{version} was never deployed; there are: {known}")
        return found[-1]
    text = pointer(store)
    active = json.loads(text) if text is not None else {"version": None, "deployment": 0}
    found = [r for r in done if r.number < active["deployment"] and r.version != active["version"]]
    if not found:
        raise RecflowError("there is no earlier deployment to go back to")
    return found[-1]


def _put(store: Store, data: bytes, manifest: bytes) -> None:
    """The manifest last: where it is, the version is whole."""
    folder = package.version_of(data)
    for key, content in ((package.PACKAGE, data), (package.MANIFEST, manifest)):
        if not store.exists(f"{folder}/{key}") or store.get(f"{folder}/{key}") != content:
            store.put(f"{folder}/{key}", content)


def _what(store: Store, before: str | None, scenarios: dict[str, Any]) -> str:
    """`home_page: nodes 1 added, 2 changed; …`, in a line."""
    try:
        deployed = manifest_in(store, before)["scenarios"] if before else {}
    except MissingObject:
        return f"not known, the manifest of {before} is gone"  # no reason to be stuck with it
    said = []
    for scenario in sorted({*deployed, *scenarios}):
        found = difference(deployed.get(scenario), scenarios.get(scenario))
        if found:
            said.append(f"{scenario}: {'; '.join(f'{section} {counts(lines)}' for section, lines in found.items())}")
    return " | ".join(said) or "no node, table, feature or parameter"


def _records(store: Store) -> list[Deployment]:
    return [Deployment(**json.loads(store.get(key))) for key in store.list("records/")]


def _key(number: int) -> str:
    return f"records/{number:06d}.json"


def _bytes(record: Deployment) -> bytes:
    return json.dumps(asdict(record), sort_keys=True, ensure_ascii=False).encode()
