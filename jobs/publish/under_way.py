"""Who is at work on a day's bundles, on whatever machine: claims of publishes, marks of removals. Free of Spark.

Whoever leads readers to a version first puts a claim (an object in a staging folder of its own), and then looks for
marks of that version's removal. Whoever removes a version first puts a mark, and then looks for claims on its day, pins
and the pointer. So, whatever comes first, one of the two sees the other and stands back; no clock has to be right.

Claims and marks of what died are told apart: at once on the machine where it ran, else when nothing in the folder has
changed for ABANDONED_HOURS.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from jobs.lib.object_store import MissingObject, Store, Stored
from jobs.publish.bundle import BundleError, folder_of
from jobs.publish.formats import json_bytes

ABANDONED_HOURS = 24
STAGING, REMOVING, PINS, COLLECTED = "_staging", "_removing", "_pins", "_collected"
CLAIM = "claim.json"


@contextmanager
def staging_folder(store: Store, ds: str) -> Iterator[str]:
    """A folder of this run's own, which claims the day; it goes when the run ends. What runs of the day that died left
    behind is removed."""
    discard_abandoned(store, f"{STAGING}/ds={ds}/")
    with _at_work(store, f"{STAGING}/ds={ds}/{uuid.uuid4().hex}") as folder:
        yield folder


@contextmanager
def removing(store: Store, ds: str, version: str) -> Iterator[None]:
    with _at_work(store, f"{REMOVING}/{folder_of(ds, version)}/{uuid.uuid4().hex}"):
        yield


def is_claimed(store: Store, ds: str) -> bool:
    """Is a publish of the day, or a move of readers to it, under way?"""
    return any(not _is_abandoned(store, found) for found in _folders(store, f"{STAGING}/ds={ds}/"))


def refuse_removed(store: Store, ds: str, version: str) -> None:
    """Raises BundleError when a removal of this version is under way. To be asked after the claim or pin was put."""
    folder = folder_of(ds, version)
    if any(not _is_abandoned(store, found) for found in _folders(store, f"{REMOVING}/{folder}/")):
        raise BundleError(f"{store.url(folder)} is being removed by `recflow bundle gc`: try again when that has ended")


def abandoned(store: Store, prefix: str) -> list[list[Stored]]:
    """The objects of each claim or mark below a prefix whose maker died."""
    return [found for found in _folders(store, prefix) if _is_abandoned(store, found)]


def discard_abandoned(store: Store, prefix: str) -> None:
    for found in abandoned(store, prefix):
        discard(store, [about.key for about in found])


def discard(store: Store, keys: list[str]) -> None:
    """The claim goes last: what is left of a folder still tells whose it was."""
    for key in sorted(keys, key=lambda key: key.endswith(f"/{CLAIM}")):
        store.delete(key)


@contextmanager
def _at_work(store: Store, folder: str) -> Iterator[str]:
    store.put(f"{folder}/{CLAIM}", json_bytes({"machine": _machine(), "pid": os.getpid()}))
    try:
        yield folder
    finally:
        discard(store, store.list(f"{folder}/"))


def _folders(store: Store, prefix: str) -> list[list[Stored]]:
    """Objects by the run that put them: its id is the part of the key after `ds=…` or `v=…`."""

    def run(about: Stored) -> str:
        parts = about.key.split("/")
        return "/".join(parts[: 4 if parts[0] == REMOVING else 3])

    return [list(found) for _, found in groupby(sorted(store.stored(prefix), key=run), key=run)]


def _is_abandoned(store: Store, found: list[Stored]) -> bool:
    claim = next((about.key for about in found if about.key.endswith(f"/{CLAIM}")), None)
    try:
        maker = json.loads(store.get(claim)) if claim else {}
    except MissingObject:
        return False  # ended just now, and is clearing up after itself
    except ValueError:
        maker = {}
    if maker.get("machine") and maker["machine"] == _machine():
        return not _runs(maker["pid"])
    return max(about.modified for about in found) < time.time() - ABANDONED_HOURS * 3600


def _machine() -> str:
    """Where a process id means something: this boot of this machine, this container. Empty where that is unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
