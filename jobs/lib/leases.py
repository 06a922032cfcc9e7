"""One writer per table among hosts that share a warehouse: an object per table says who holds it.

A swap of that object takes and frees it (jobs/lib/object_store.py); nobody deletes it. Who holds it counts up in it
every BEAT_SEC. Who waits takes it over when it has stayed as it was for DEAD_SEC of his own clock: clocks need not
agree. A holder that was taken for dead (asleep, cut off) finds that out when it frees. Of the same home on the same
machine only one gets this far (jobs/lib/locks.py), so what another of these left is taken over at once.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from jobs.lib.errors import WriterError
from jobs.lib.object_store import MissingObject, ObjectChanged, Store, StoreError

log = logging.getLogger("recflow")

BEAT_SEC = 20.0
DEAD_SEC = 120.0
LOOK_SEC = 1.0
FREE = b"{}"


@contextlib.contextmanager
def lease(store: Store, table: str, locks: Path) -> Iterator[None]:
    """Hold the table. Waits, and says so, for whoever holds it; raises WriterError when it was not held to the end.

    locks: the folder in which this process holds the table among those of its machine.
    """
    key, home = f"_writers/{table}.json", _identity(locks)
    beats = _beats(home)
    held, ended = _taken(store, table, key, next(beats), home), threading.Event()

    def count() -> None:
        nonlocal held
        while not ended.wait(BEAT_SEC):
            beat = next(beats)
            try:
                with _not_fatal(table):
                    held = _renewed(store, key, held, beat)
            except ObjectChanged:
                log.warning("%s: another writer has taken it over", table)
                return

    counting = threading.Thread(target=count, daemon=True)
    counting.start()
    try:
        yield
    except BaseException:
        ended.set()
        counting.join()
        with contextlib.suppress(WriterError):  # the work's own error is the one to be told
            _free(store, table, key, held)
        raise
    ended.set()
    counting.join()
    _free(store, table, key, held)


def _taken(store: Store, table: str, key: str, mine: bytes, home: str | None) -> bytes:
    """`mine`, once it stands there."""
    seen, since, looked, told = None, time.monotonic(), time.monotonic(), False
    while True:
        found, before = _content(store, key), looked
        looked = time.monotonic()
        if found != seen or looked - before > BEAT_SEC:  # while storage was silent the holder could not count either
            seen, since = found, looked
        is_free, is_silent = found in (None, FREE), time.monotonic() - since > DEAD_SEC
        if is_free or is_silent or (home is not None and _told(found).get("home") == home):
            if not is_free:
                log.warning("%s: %s does not live any more: taken over", table, _holder(found))
            with contextlib.suppress(ObjectChanged):
                store.swap(key, found, mine)
                return mine
        elif not told:
            log.info("%s is being written by %s: waiting for it", table, _holder(found))
            told = True
        time.sleep(LOOK_SEC)


def _free(store: Store, table: str, key: str, held: bytes) -> None:
    try:
        with _not_fatal(table):
            _renewed(store, key, held, FREE)
    except ObjectChanged:
        by = _holder(_content(store, key) or FREE)
        raise WriterError(f"{table}: was taken over by {by} while this ran; run it again") from None


def _renewed(store: Store, key: str, held: bytes, new: bytes) -> bytes:
    """`new`, once it stands there. An earlier beat whose answer got lost may stand there instead of `held`."""
    try:
        store.swap(key, held, new)
    except ObjectChanged:
        found = _content(store, key)
        if found is None or _told(found).get("id") != _told(held)["id"]:
            raise
        store.swap(key, found, new)
    return new


@contextlib.contextmanager
def _not_fatal(table: str) -> Iterator[None]:
    """A storage in trouble may answer next time; until then nobody else gets the table either."""
    try:
        yield
    except ObjectChanged:
        raise
    except StoreError as error:
        log.warning("%s: its lease could not be renewed: %s", table, error)


def _beats(home: str | None) -> Iterator[bytes]:
    """What the holder writes, each time another."""
    by = {"host": socket.gethostname(), "pid": os.getpid(), "home": home, "id": uuid.uuid4().hex}
    for beat in itertools.count():
        yield json.dumps({**by, "beat": beat}).encode()


def _identity(folder: Path) -> str | None:
    """Of a folder, among all folders of all machines; None where the machine does not tell one start from another."""
    boot, about = Path("/proc/sys/kernel/random/boot_id"), folder.stat()
    return f"{boot.read_text().strip()}:{about.st_dev}:{about.st_ino}" if boot.exists() else None


def _content(store: Store, key: str) -> bytes | None:
    try:
        return store.get(key)
    except MissingObject:
        return None


def _told(content: bytes) -> dict:
    try:
        told = json.loads(content)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _holder(content: bytes) -> str:
    """As messages name it."""
    told = _told(content)
    return f"pid {told['pid']} on {told['host']}" if {"pid", "host"} <= told.keys() else "somebody else"
