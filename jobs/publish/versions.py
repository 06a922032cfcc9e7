"""Every bundle of a scenario: which there are, which are kept, which one readers follow. Free of Spark.

A version is newer than another by ds, then by when its manifest was written. A pin is an object `_pins/ds=…/v=…`, so
two people who pin at once do not meet. How removals keep out of everyone's way stands in jobs/publish/under_way.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from jobs.lib.object_store import MissingObject, ObjectChanged, Store
from jobs.publish.bundle import MANIFEST, POINTER, THREADS, BundleError, folder_of, pointer_to, read_pointer
from jobs.publish.formats import json_bytes
from jobs.publish.under_way import (
    COLLECTED,
    PINS,
    REMOVING,
    STAGING,
    abandoned,
    discard,
    is_claimed,
    refuse_removed,
    removing,
    staging_folder,
)

_KEY = re.compile(r"(ds=(\d{8})/v=([^/]+))/(.+)")


@dataclass(frozen=True)
class Version:
    """One bundle, or what a publish or removal that died left of one (then it has no manifest: published is None).

    published: seconds since 1970, by the storage's clock; bytes: of all its objects.
    """

    ds: str
    version: str
    published: float | None
    bytes: int
    is_pinned: bool
    is_latest: bool

    @property
    def folder(self) -> str:
        return folder_of(self.ds, self.version)

    @property
    def age(self) -> tuple[str, float, str]:
        """Sorts by how new a version is."""
        return self.ds, self.published or 0.0, self.version


@dataclass(frozen=True)
class Removed:
    """What a clean-up did, or would do, with one folder. kept: why it is still there."""

    folder: str
    bytes: int
    kept: str | None = None


def all_versions(store: Store) -> list[Version]:
    """Newest first, remains without a manifest included."""
    published, size = {}, {}
    for found in store.stored("ds="):
        if match := _KEY.fullmatch(found.key):
            folder, ds, version, name = match.groups()
            size[ds, version] = size.get((ds, version), 0) + found.bytes
            if name == MANIFEST:
                published[ds, version] = found.modified
    pins, named = set(store.list(f"{PINS}/")), _named(store)
    versions = [
        Version(*key, published.get(key), total, f"{PINS}/{folder_of(*key)}" in pins, folder_of(*key) == named)
        for key, total in size.items()
    ]
    return sorted(versions, key=lambda v: v.age, reverse=True)


def find_version(store: Store, wanted: str) -> Version:
    """By its id, its folder (ds=…/v=…), or its ds where that has only one. Raises BundleError."""
    complete = [v for v in all_versions(store) if v.published is not None]
    found = [v for v in complete if wanted.rstrip("/") in (v.version, v.folder, v.ds, f"ds={v.ds}")]
    if len(found) == 1:
        return found[0]
    if not found:
        raise BundleError(f"{store.root} has no bundle {wanted!r}; `recflow bundle list` shows those that are there")
    raise BundleError(f"{store.root} has {len(found)} bundles of {wanted}: {', '.join(v.version for v in found)}")


def pin(store: Store, wanted: str, why: str) -> Version:
    """Keep a version for good."""
    found = find_version(store, wanted)
    store.put(f"{PINS}/{found.folder}", json_bytes({"why": why}))
    try:
        refuse_removed(store, found.ds, found.version)
        if not store.exists(f"{found.folder}/{MANIFEST}"):
            raise BundleError(f"{store.url(found.folder)} was removed just now")
    except BundleError:
        store.delete(f"{PINS}/{found.folder}")
        raise
    return found


def unpin(store: Store, wanted: str) -> Version:
    found = find_version(store, wanted)
    if not found.is_pinned:
        raise BundleError(f"{store.url(found.folder)} is not pinned")
    store.delete(f"{PINS}/{found.folder}")
    return found


def why_pinned(store: Store, version: Version) -> str:
    try:
        return json.loads(store.get(f"{PINS}/{version.folder}"))["why"]
    except (MissingObject, ValueError, KeyError, TypeError):
        return ""


def roll_back(store: Store, wanted: str | None = None) -> tuple[dict[str, str], Version]:
    """What latest.json said, and the version that it names now: the wanted one, or the next older.

    Raises BundleError, and changes nothing, when there is none, its objects are not all there, it is being removed, or
    someone else moves latest.json meanwhile.
    """
    before = store.get(POINTER)
    was = read_pointer(store, before)
    target = find_version(store, wanted) if wanted else _next_older(store, was)
    with staging_folder(store, target.ds):
        refuse_removed(store, target.ds, target.version)
        _check_complete(store, target)
        try:
            store.swap(POINTER, before, json_bytes(pointer_to(target.ds, target.version)))
        except ObjectChanged as error:
            raise BundleError(f"{store.url(POINTER)} was moved by someone else meanwhile: look again") from error
    return was, target


def collect_garbage(store: Store, keep: int, dry_run: bool = False) -> list[Removed]:
    """Remove all but the `keep` newest versions, the pinned ones and the one that latest.json names; and what publishes
    and removals that died left behind. A day with a publish under way is left alone."""
    versions = all_versions(store)
    complete = [v for v in versions if v.published is not None]
    kept = {v.folder for v in [*complete[:keep], *(v for v in versions if v.is_pinned or v.is_latest)]}
    removed = [remove(store, v, dry_run) for v in complete if v.folder not in kept]
    return removed + remains(store, dry_run)


def remains(store: Store, dry_run: bool) -> list[Removed]:
    """What publishes and removals that died left behind: remove it, but for what is pinned or followed."""
    left = [v for v in all_versions(store) if v.published is None and not v.is_pinned and not v.is_latest]
    removed = [remove(store, v, dry_run) for v in left]
    for place in (STAGING, REMOVING):
        for found in abandoned(store, f"{place}/"):
            keys = [about.key for about in found]
            if not dry_run:
                discard(store, keys)
            removed.append(Removed("/".join(keys[0].split("/")[:3]), sum(about.bytes for about in found)))
    return removed


def remove(store: Store, version: Version, dry_run: bool) -> Removed:
    """Remove a version, unless it is pinned, followed or being published anew. The manifest goes first: what is left,
    should this die, is no bundle to anyone, and goes the next time. Before it comes a mark of the day, by which a
    backfill knows that it was published and need not be again."""
    if dry_run:
        return Removed(version.folder, version.bytes, _why_kept(store, version))
    with removing(store, version.ds, version.version):
        why = _why_kept(store, version)  # asked anew, now that the mark is there
        if why is None:
            if version.published is not None:
                store.put(f"{COLLECTED}/ds={version.ds}", b"")
            store.delete(f"{version.folder}/{MANIFEST}")
            _delete_all(store, store.list(f"{version.folder}/"))
    return Removed(version.folder, version.bytes, why)


def _why_kept(store: Store, version: Version) -> str | None:
    """Claims before the pointer: whoever has given up its claim has moved the pointer before."""
    if is_claimed(store, version.ds):
        return f"a publish of ds={version.ds} is under way"
    if store.exists(f"{PINS}/{version.folder}"):
        return "it is pinned"
    return f"{POINTER} names it" if _named(store) == version.folder else None


def _named(store: Store) -> str | None:
    """The folder that readers follow."""
    if not store.exists(POINTER):
        return None
    pointer = read_pointer(store, store.get(POINTER))
    return pointer["manifest"].removesuffix(f"/{MANIFEST}")


def _next_older(store: Store, was: dict[str, str]) -> Version:
    complete = [v for v in all_versions(store) if v.published is not None]
    current = next((v for v in complete if v.folder == folder_of(was["ds"], was["version"])), None)
    for version in complete:
        if version.age < current.age if current else version.ds <= was["ds"]:
            return version
    raise BundleError(f"{store.root} has no bundle older than ds={was['ds']} {was['version']}")


def _check_complete(store: Store, target: Version) -> None:
    """Every object of the manifest is there, with its size. (`recflow bundle verify` reads them.)"""
    sizes = {found.key.removeprefix(f"{target.folder}/"): found.bytes for found in store.stored(f"{target.folder}/")}
    try:
        objects = json.loads(store.get(f"{target.folder}/{MANIFEST}"))["objects"]
        changed = [o["key"] for o in objects if sizes.get(o["key"]) != o["bytes"]]
    except (MissingObject, ValueError, KeyError, TypeError):
        changed = [MANIFEST]
    if changed:
        raise BundleError(f"{store.url(target.folder)} is not whole: {changed[0]} is not as published")


def _delete_all(store: Store, keys: Iterable[str]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(store.delete, keys))
