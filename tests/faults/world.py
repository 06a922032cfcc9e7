"""What an installation holds as its readers meet it, and processes to be killed in it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

import pyarrow.dataset as dataset

from jobs.lib import partitions
from jobs.lib.object_store import open_store
from jobs.lib.settings import PROJECT_ROOT, settings
from jobs.publish.bundle import POINTER, verify

FIRST, LAST = "20261101", "20261105"
SOLUTION = PROJECT_ROOT / "tests" / "e2e" / "tiny.yaml"

KEPT = ("_partitions/", "_runs/", "_quality/")
Key = tuple[str, str]  # (table, ds)
_known: dict[tuple[str, ...], str] = {}  # digests of files, which never change


class Seen(NamedTuple):
    """rows: of each recorded partition a digest of its rows; kept: what stands beside the tables (records, runs,
    judgements), without times; published: the bytes under each key."""

    rows: dict[Key, str]
    kept: dict[str, Any]
    published: dict[str, bytes]


def seen() -> Seen:
    """Read with Delta and Arrow alone, as others would. Fails where a partition is not what its record says."""
    store, rows, kept = open_store(settings().warehouse_root), {}, {}
    keys = [key for prefix in KEPT for key in store.list(prefix)]
    for key in keys:
        kept[key] = json.loads(store.get(key) or b"null")
        if key.startswith("_runs/"):
            for clock in ("seconds", "ended"):
                kept[key].pop(clock, None)
    for table in sorted({key.split("/")[1] for key in keys if key.startswith("_partitions/")}):
        for ds in partitions.present_days(table):
            rows[table, ds] = _rows_of(table, ds, kept[f"_partitions/{table}/{ds}.json"]["rows"])
    published = open_store(f"{settings().publish_root}/home_page")
    return Seen(rows, kept, {key: published.get(key) for key in published.list()})


def is_whole(table: str, ds: str) -> bool:
    """Does a reader find what the record says, or no record? Looked at again where it was replaced meanwhile."""
    while (record := partitions.record(table, ds)) is not None:
        found = partitions.delta_table(table).to_pyarrow_dataset().count_rows(filter=dataset.field("ds") == ds)
        if partitions.record(table, ds) == record:
            return found == record["rows"]
    return True


def published_problems() -> list[str]:
    """Of the bundle that readers are led to, if they are led to any."""
    address = f"{settings().publish_root}/home_page"
    return verify(address) if open_store(address).exists(POINTER) else []


def differences(before: Seen, after: Seen) -> set[str]:
    """Names of whatever is not the same."""
    found = set()
    for one, other in zip(before, after, strict=True):
        found |= {str(key) for key in {*one, *other} if one.get(key) != other.get(key)}
    return found


def start(*command: str, **popen: Any) -> subprocess.Popen:
    """A Python module as a process group of its own, its output in one text."""
    environment = {"RECFLOW_SPARK_MASTER": "local[2]", "RECFLOW_DRIVER_MEMORY": "1g", "RECFLOW_SOLUTION": str(SOLUTION)}
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        env=os.environ | environment,
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **popen,
    )


def _rows_of(table: str, ds: str, expected: int) -> str:
    delta = partitions.delta_table(table)
    files = tuple(sorted(delta.file_uris(file_pruning_predicate=[("ds", "=", ds)]))) if delta is not None else ()
    if files not in _known:
        read = delta.to_pyarrow_dataset().to_table(filter=dataset.field("ds") == ds).to_pylist()
        lines = sorted(json.dumps(row, sort_keys=True, default=repr) for row in read)
        assert len(lines) == expected, f"{table} ds={ds} has {len(lines)} rows, its record says {expected}"
        _known[files] = hashlib.sha256("\n".join(lines).encode()).hexdigest() if files else "no rows"
    return _known[files]
