"""All processes of a publish killed, between any two objects and within them."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal

from jobs.lib.object_store import open_store
from jobs.publish.bundle import latest, verify
from tests.faults.publishing import bytes_of, publish_and_die
from tests.publish.test_release import DS, publish

OLDER = "20261120"


def test_readers_see_a_whole_bundle_wherever_all_processes_of_a_publish_are_killed(store_url):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.faults.publishing"])
    alone = open_store(f"{store_url}/alone")
    publish(alone, b"older", OLDER)
    publish(alone, b"new", DS)
    for nth in itertools.count(1):
        address = f"{store_url}/killed-at-{nth}"
        store = open_store(address)
        publish(store, b"older", OLDER)
        older = bytes_of(store)
        process = processes.Process(target=publish_and_die, args=(dict(os.environ), address, b"new", DS, nth))
        process.start()
        process.join(60)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        assert verify(address) == []
        left = bytes_of(store)
        if latest(address)["ds"] == OLDER:
            assert older.items() <= left.items()
        publish(store, b"new", DS)
        assert verify(address) == [] and latest(address)["ds"] == DS
        assert bytes_of(store) == bytes_of(alone)
    assert nth > 7, "there are staged, small objects, manifest and pointer to be killed between"
    assert bytes_of(store) == bytes_of(alone)
