"""How the last run of each node and ds ended, and what it was made from: `_runs/<table>/<ds>.json`. Free of Spark.

A run is written when it has ended; while a node works, `_running/<table>.json` says since when: a table has one writer.
One that was killed leaves what stood there before: its partition, if it had begun to replace it, has no record any
more, and so counts as missing; if it had just replaced it, it is not what the run before says that it made.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from statistics import median
from typing import Any

from jobs.lib.locks import is_held
from jobs.lib.object_store import MissingObject, ObjectChanged, StoreError, open_store
from jobs.lib.settings import settings

log = logging.getLogger("recflow")

THREADS, TRIES = 8, 10
Changed = Mapping[tuple[str, str], tuple[str, str]]  # (table, ds) -> content before, after
DONE, FAILED, SKIPPED = "done", "failed", "skipped"
RECENT = 7  # runs by which it is told how long a node usually takes


@contextmanager
def under_way(table: str, days: list[str]) -> Iterator[None]:
    """Let others see that a node works on these days. What cannot be told does not keep it from its work."""
    _told(table, lambda: _store().put(_mark(table), json.dumps({"days": days, "since": round(time.time())}).encode()))
    try:
        yield
    finally:
        _told(table, lambda: _store().delete(_mark(table)))


def now_running() -> dict[str, dict[str, Any]]:
    """Table -> {days, since (unix seconds)} of those whose node works now, in every scenario: they take turns. What a
    killed one left does not count."""
    found = {}
    for key in _store().list("_running/"):
        table = key.removeprefix("_running/").removesuffix(".json")
        if is_held(table):
            found[table] = _json(key)
    return {table: about for table, about in found.items() if about is not None}


def usual_seconds(table: str, ds: str) -> float | None:
    """What the last runs before ds took: the median of a few that were about one day. None where there was none."""
    found = [run_of(table, day) for day in [day for day in days_of(table) if day < ds][-RECENT:]]
    took = [run["seconds"] for run in found if run and "seconds" in run and run.get("days") == 1]
    return median(took) if took else None


def done(
    table: str, ds: str, origin: dict[str, Any], made: dict[str, str | None], seconds: float, days: int = 1
) -> None:
    """origin: what it was made from (jobs/flow/lineage.py); made: table -> content; seconds: of this ds alone, for
    estimates, its share where so many days were made in one pass."""
    about = {"state": DONE, "origin": origin, "made": made, "seconds": round(seconds, 3), "days": days}
    _write(table, ds, about)


def failed(table: str, ds: str, error: str) -> None:
    _write(table, ds, {"state": FAILED, "error": error})


def skipped(table: str, ds: str, reason: str) -> None:
    _write(table, ds, {"state": SKIPPED, "reason": reason})


def run_of(table: str, ds: str) -> dict[str, Any] | None:
    """{state, ended (unix seconds), origin, made and seconds | error | reason}, or None where the node never ended for
    this ds."""
    return _json(_key(table, ds))


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
        for _ in range(TRIES):
            with suppress(ObjectChanged):  # the node ended meanwhile: look again
                with suppress(MissingObject):  # a clean-up took it
                    follow_as_it_is(key)
                return
        raise StoreError(f"{store.url(key)} changes all the time")

    def follow_as_it_is(key: str) -> None:
        before = store.get(key)
        run, ds = json.loads(before), key.rpartition("/")[2].removesuffix(".json")
        inputs = run.get("origin", {}).get("inputs", {})
        told = [
            _follow(contents, {day: (table, day) for day in contents}, changed) for table, contents in inputs.items()
        ]
        if any([*told, _follow(run.get("made", {}), {table: (table, ds) for table in run.get("made", {})}, changed)]):
            store.swap(key, before, json.dumps(run, sort_keys=True).encode())

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
    _store().put(_key(table, ds), json.dumps(content | {"ended": round(time.time())}, sort_keys=True).encode())


def _json(key: str) -> dict[str, Any] | None:
    try:
        return json.loads(_store().get(key))
    except MissingObject:
        return None


def _told(table: str, tell) -> None:
    try:
        tell()
    except StoreError as error:
        log.warning("%s: others cannot see whether it runs: %s", table, error)


def _mark(table: str) -> str:
    return f"_running/{table}.json"


def _key(table: str, ds: str) -> str:
    return f"_runs/{table}/{ds}.json"


def _store():
    return open_store(settings().warehouse_root)
