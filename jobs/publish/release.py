"""Turns staged objects into a bundle that readers follow, so that nobody ever sees half of one. Free of Spark.

Objects are written to a staging folder first, because the version is known only when all of them are. Then come, in
this order: the objects in the bundle's folder, the manifest, `latest.json`. A run that dies in between leaves the
pointer where it was; the next one makes up what is missing, and leaves alone what is there and right.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jobs.lib.object_store import Store
from jobs.publish.bundle import (
    MANIFEST,
    THREADS,
    BundleError,
    Entry,
    entry,
    folder_of,
    manifest_of,
    matches,
    move_pointer,
)
from jobs.publish.formats import json_bytes
from jobs.publish.under_way import refuse_removed


def release(
    store: Store,
    staging: str,
    staged: Sequence[Entry],
    small: dict[str, bytes],
    about: dict[str, Any],
    back: bool = False,
) -> tuple[str, str | None]:
    """The bundle's folder, and why readers do not follow it (None: they do).

    staging: of under_way.staging_folder, which claims the day; staged: what lies in it; small: key -> bytes of the
    rest; about: what the manifest says beside its objects, ds among it. Readers at a later ds stay there unless `back`
    is set. Raises BundleError when an object arrives with other content, or the version is being removed.
    """
    objects = [*staged, *[entry(key, data) for key, data in small.items()]]
    manifest = manifest_of(objects, about)
    folder = folder_of(about["ds"], manifest["version"])
    refuse_removed(store, about["ds"], manifest["version"])

    def place(e: Entry) -> None:
        if matches(store, f"{folder}/{e.key}", e):
            return
        if e.key in small:
            store.put(f"{folder}/{e.key}", small[e.key])
        else:
            store.move(f"{staging}/{e.key}", f"{folder}/{e.key}")
        if not _arrived(store, f"{folder}/{e.key}", e):
            raise BundleError(f"{store.url(f'{folder}/{e.key}')} arrived with other content than was sent (sha256)")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(place, objects))
    _only(store, folder, objects)
    text = json_bytes(manifest)
    if not matches(store, f"{folder}/{MANIFEST}", entry(MANIFEST, text)):
        store.put(f"{folder}/{MANIFEST}", text)
    return folder, move_pointer(store, about["ds"], manifest["version"], back)


def _arrived(store: Store, key: str, expected: Entry) -> bool:
    """By the SHA-256 that storage computed from what it got, where it did; else by what it gives back."""
    return store.reported_sha256(key) == expected.sha256 or matches(store, key, expected)


def _only(store: Store, folder: str, objects: Sequence[Entry]) -> None:
    """Remove what is no part of the bundle: its folder is named after exactly these objects."""
    wanted = {f"{folder}/{e.key}" for e in objects} | {f"{folder}/{MANIFEST}"}
    for key in store.list(f"{folder}/"):
        if key not in wanted:
            store.delete(key)
