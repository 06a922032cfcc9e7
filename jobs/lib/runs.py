"""How the last run of each node and ds ended, and what it was made from: `_runs/<table>/<ds>.json`. Free of Spark.

A run is written when it has ended. One that was killed leaves what stood there before: its partition, if it had begun
to replace it, has no record any more, and so counts as missing; if it had just replaced it, it is not what the run
before says that it made.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from jobs.lib.object_store import MissingObject, open_store
from jobs.lib.settings import settings

DONE, FAILED, SKIPPED = "done", "failed", "skipped"


def done(table: str, ds: str, origin: dict[str, Any], made: dict[str, str | None], seconds: float) -> None:
    """origin: what it was made from (jobs/flow/lineage.py); made: table -> content; seconds: of this ds alone, for
    estimates."""
    _write(table, ds, {"state": DONE, "origin": origin, "made": made, "seconds": round(seconds, 3)})


def failed(table: str, ds: str, error: str) -> None:
    _write(table, ds, {"state": FAILED, "error": error})


def skipped(table: str, ds: str, reason: str) -> None:
    _write(table, ds, {"state": SKIPPED, "reason": reason})


def run_of(table: str, ds: str) -> dict[str, Any] | None:
    """{state, origin, made and seconds | error | reason}, or None where the node never ended for this ds."""
    try:
        return json.loads(_store().get(_key(table, ds)))
    except MissingObject:
        return None


def days_of(table: str) -> list[str]:
    """Every ds with a run, oldest first."""
    prefix = f"_runs/{table}/"
    return sorted(key.removeprefix(prefix).removesuffix(".json") for key in _store().list(prefix))


def forget_before(table: str, first_kept: str, spared: Collection[str]) -> None:
    """Take back the runs of days before this one."""
    for ds in days_of(table):
        if ds < first_kept and ds not in spared:
            _store().delete(_key(table, ds))


def _write(table: str, ds: str, content: dict[str, Any]) -> None:
    _store().put(_key(table, ds), json.dumps(content, sort_keys=True).encode())


def _key(table: str, ds: str) -> str:
    return f"_runs/{table}/{ds}.json"


def _store():
    return open_store(settings().warehouse_root)
