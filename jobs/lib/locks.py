"""One writer per table among the processes of an installation: daily runs, backfills and commands take turns.

The locks are the operating system's, on files under RECFLOW_HOME: a process that dies lets go of its own. A warehouse
in a bucket may have writers on several hosts: there a lease is taken as well (jobs/lib/leases.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
from collections.abc import Iterator

from jobs.lib.leases import lease
from jobs.lib.object_store import open_store
from jobs.lib.settings import settings

log = logging.getLogger("recflow")


@contextlib.contextmanager
def writing(*tables: str) -> Iterator[None]:
    """Hold these tables; waits, and says so, while another process writes one of them."""
    folder = settings().home / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        for table in sorted(tables):  # in one order, so that two writers never wait for each other
            file = held.enter_context((folder / table).open("w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("%s is being written by another process: waiting for it", table)
                fcntl.flock(file, fcntl.LOCK_EX)
            if settings().warehouse.startswith("s3a://"):
                held.enter_context(lease(open_store(settings().warehouse_root), table, folder))
        yield


def is_held(table: str) -> bool:
    """Does another process hold it now?"""
    folder = settings().home / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / table).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
