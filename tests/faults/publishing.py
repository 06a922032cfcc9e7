"""Publishing in a process that is killed at its n-th change of the store. Loaded once, forked for every n."""

from __future__ import annotations

import itertools
import os
import signal
import threading

from jobs.lib.object_store import FileStore, Store, open_store
from tests.publish.test_release import publish

CHANGES = ("put", "put_file", "move", "swap", "delete")


def publish_and_die(environment: dict[str, str], address: str, text: bytes, ds: str, nth: int) -> None:
    """Killed before its n-th change; of a folder, between writing an object's bytes and giving it its name as well."""
    os.environ.update(environment)  # what this is forked from knows an older one
    store, calls, one_by_one = open_store(address), itertools.count(1), threading.RLock()

    def counted(do):
        def change(*arguments):
            with one_by_one:
                if next(calls) == nth:
                    os.kill(os.getpid(), signal.SIGKILL)
                return do(*arguments)

        return change

    if isinstance(store, FileStore):
        os.replace = counted(os.replace)
    for name in CHANGES:
        setattr(store, name, counted(getattr(store, name)))
    publish(store, text, ds)


def bytes_of(store: Store) -> dict[str, bytes]:
    return {key: store.get(key) for key in store.list()}
