"""How the last run of each node and ds ended, and what it was made from: `_runs/<table>/<ds>.json`. Free of Spark.

A run is written when it has ended. One that was killed leaves what stood there before: its partition, if it had begun
to replace it, has no record any more, and so counts as missing; if it had just replaced it, it is not what the run
before says that it made.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jobs.lib.object_store import MissingObject, open_store
from jobs.lib.settings import settings

THREADS = 8
Changed = Mapping[tuple[str, str], tuple[str, str]]  # (table, ds) -> content before, after
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


def replace_contents(changed: Changed) -> None:
    """In every run, what it read and made: contents before become those after. What names another content, and is stale
    by that, stays so."""
    store = _store()

    def follow(key: str) -> None:
        run, ds = json.loads(store.get(key)), key.rpartition("/")[2].removesuffix(".json")
        inputs = run.get("origin", {}).get("inputs", {})
        told = [
            _follow(contents, {day: (table, day) for day in contents}, changed) for table, contents in inputs.items()
        ]
        if any([*told, _follow(run.get("made", {}), {table: (table, ds) for table in run.get("made", {})}, changed)]):
            store.put(key, json.dumps(run, sort_keys=True).encode())

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(follow, store.list("_runs/")))


def _follow(contents: dict[str, str | None], about: dict[str, tuple[str, str]], changed: Changed) -> bool:
    """Replace contents in place; about: key -> (table, ds). Was any replaced?"""
    replaced = {
        key: changed[pair][1] for key, pair in about.items() if pair in changed and contents[key] == changed[pair][0]
    }
    contents.update(replaced)
    return bool(replaced)


def _write(table: str, ds: str, content: dict[str, Any]) -> None:
    _store().put(_key(table, ds), json.dumps(content, sort_keys=True).encode())


def _key(table: str, ds: str) -> str:
    return f"_runs/{table}/{ds}.json"


def _store():
    return open_store(settings().warehouse_root)
