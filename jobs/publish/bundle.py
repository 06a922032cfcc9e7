"""The published bundle as readers meet it: manifest, version, pointer, and the check of all of them. Free of Spark.

A bundle is `ds=<ds>/v=<version>/` under the scenario's address. Its objects never change; `latest.json` above them says
which bundle to read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from jobs.lib.errors import RecflowError
from jobs.lib.object_store import MissingObject, ObjectChanged, Store, StoreError, checked_key, open_store
from jobs.publish.formats import json_bytes, list_rows, parquet_rows

FORMAT = "recflow-bundle/1"
MANIFEST, POINTER = "manifest.json", "latest.json"
THREADS = 8


class BundleError(RecflowError):
    """A bundle or its pointer is not what the format says; names the address."""


@dataclass(frozen=True)
class Entry:
    """One object of a bundle. rows and schema (name and type of each column) are None where it is no table."""

    key: str
    bytes: int
    sha256: str
    rows: int | None = None
    schema: list[dict[str, str]] | None = None


def entry(key: str, data: bytes, rows: int | None = None, schema: list[dict[str, str]] | None = None) -> Entry:
    """The entry of an object whose bytes are at hand."""
    return Entry(key, len(data), hashlib.sha256(data).hexdigest(), rows, schema)


def manifest_of(entries: Iterable[Entry], about: dict[str, Any]) -> dict[str, Any]:
    """The manifest: what `about` says (scenario, ds, notes, metrics, …), every object, and the version that follows."""
    objects = [asdict(e) for e in sorted(entries, key=lambda e: e.key)]
    content = {**about, "format": FORMAT, "objects": objects}
    return {**content, "version": version_of(content)}


def version_of(manifest: dict[str, Any]) -> str:
    """`c-` and 16 hex digits over the sorted (key, sha256) of every object, the manifest itself (without its version)
    among them: so a version names one set of bytes, figures and notes included. The `c-` keeps readers that guess
    partition types from taking an id like 123e4567 for a number.
    """
    own = json_bytes({name: value for name, value in manifest.items() if name != "version"})
    pairs = [(e["key"], e["sha256"]) for e in manifest["objects"]] + [(MANIFEST, hashlib.sha256(own).hexdigest())]
    text = "".join(f"{key}\t{sha256}\n" for key, sha256 in sorted(pairs))
    return f"c-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def folder_of(ds: str, version: str) -> str:
    return f"ds={ds}/v={version}"


def latest(address: str) -> dict[str, str]:
    """The pointer of a scenario: {ds, version, manifest}. Raises MissingObject or BundleError."""
    store = open_store(address)
    return read_pointer(store, store.get(POINTER))


def move_pointer(store: Store, ds: str, version: str, back: bool = False) -> str | None:
    """Lead readers to a complete bundle. What is returned says why they stay where they are; None: they follow.

    They stay at a later ds, unless `back` is set, and at the same ds where another publish of it was quicker.
    """
    moved, was_beaten = pointer_to(ds, version), False
    for _ in range(10):
        present = store.get(POINTER) if store.exists(POINTER) else None
        if present is not None:
            current = read_pointer(store, present)
            if current == moved:
                return None
            if current["ds"] > ds and not back:
                return f"{POINTER} is at ds={current['ds']}, later than {ds}"
            if current["ds"] == ds and was_beaten:
                return f"another publish of ds={ds} was quicker: {POINTER} is at its version {current['version']}"
        try:
            store.swap(POINTER, present, json_bytes(moved))
        except ObjectChanged:
            was_beaten = True  # decide again
            continue
        return None
    raise BundleError(f"{store.url(POINTER)} is being changed by others all the time")


def pointer_to(ds: str, version: str) -> dict[str, str]:
    return {"ds": ds, "version": version, "manifest": f"{folder_of(ds, version)}/{MANIFEST}"}


def read_pointer(store: Store, data: bytes) -> dict[str, str]:
    """What latest.json says. Raises BundleError."""
    try:
        pointer = json.loads(data)
        complete = all(isinstance(pointer[name], str) for name in ("ds", "version", "manifest"))
        well_formed = complete and re.fullmatch(r"\d{8}", pointer["ds"]) and checked_key(pointer["manifest"])
    except (ValueError, KeyError, TypeError, StoreError):
        well_formed = False
    if not well_formed:
        raise BundleError(f"{store.url(POINTER)} is no pointer: {{ds, version, manifest}} is expected")
    return pointer


def matches(store: Store, key: str, expected: Entry) -> bool:
    """Is the object at `key` there, with the size and content of the entry?"""
    return not _content_problem(store, key, expected)


def _content_problem(store: Store, key: str, expected: Entry) -> str | None:
    try:
        size = store.size(key)
        if size != expected.bytes:
            return f"has {size} bytes, the manifest says {expected.bytes}"
        digest = hashlib.sha256()
        for piece in store.chunks(key):
            digest.update(piece)
    except MissingObject:
        return "is missing"
    return None if digest.hexdigest() == expected.sha256 else "has other content than the manifest says (sha256)"


def verify(address: str) -> list[str]:
    """Everything that is wrong with a bundle, one line each; empty when it is whole.

    address: a bundle's folder, its manifest.json, or the scenario's root (then the bundle that latest.json names).
    Checks every object by size, sha256, rows and schema, the version id, and that nothing unlisted lies beside them.
    """
    store = open_store(address.rstrip("/").removesuffix(f"/{MANIFEST}"))
    if not store.exists(MANIFEST):
        if not store.exists(POINTER):
            return [f"{store.root}: neither {MANIFEST} nor {POINTER} is here"]
        return _verify_pointed(store)
    return _verify_bundle(store)


def _verify_pointed(store: Store) -> list[str]:
    try:
        pointer = latest(store.root)
    except BundleError as error:
        return [str(error)]
    if pointer["manifest"] != f"{folder_of(pointer['ds'], pointer['version'])}/{MANIFEST}":
        return [f"{store.url(POINTER)}: manifest is not that of its ds and version"]
    if not store.exists(pointer["manifest"]):
        return [f"{store.url(POINTER)} names {pointer['manifest']}, which is missing"]
    return _verify_bundle(open_store(store.root + "/" + folder_of(pointer["ds"], pointer["version"])))


def _verify_bundle(store: Store) -> list[str]:
    try:
        manifest = json.loads(store.get(MANIFEST))
        entries = [Entry(**e) for e in manifest["objects"]]
        if manifest["format"] != FORMAT:
            return [f"{store.url(MANIFEST)}: format is {manifest['format']!r}, this recflow reads {FORMAT!r}"]
        expected, folder = version_of(manifest), folder_of(manifest["ds"], manifest["version"])
    except (ValueError, KeyError, TypeError) as error:
        return [f"{store.url(MANIFEST)} is no manifest: {type(error).__name__} {error}"]
    problems = []
    if manifest["version"] != expected:
        problems.append(f"{store.url(MANIFEST)}: the version does not follow from the content, which gives {expected}")
    if not store.root.endswith(folder):
        problems.append(f"{store.url(MANIFEST)} belongs under {folder}")
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda e: _object_problem(store, e), entries)
        problems += [f"{e.key} {problem}" for e, problem in zip(entries, found, strict=True) if problem]
    listed = {e.key for e in entries} | {MANIFEST}
    return problems + [f"{key} is not in the manifest" for key in store.list() if key not in listed]


def _object_problem(store: Store, expected: Entry) -> str | None:
    try:
        problem = _content_problem(store, expected.key, expected)
    except StoreError as error:
        return f"cannot be read: {error}"
    return problem or _rows_problem(expected, store.get(expected.key))


def _rows_problem(expected: Entry, data: bytes) -> str | None:
    if expected.rows is None:
        return None
    try:
        if expected.key.endswith(".parquet"):
            rows, schema = parquet_rows(data)
        else:
            rows, schema = list_rows(data), expected.schema
    except (ValueError, OSError, EOFError) as error:  # pyarrow's errors are ValueErrors or OSErrors
        return f"cannot be opened: {error}"
    if schema != expected.schema:
        return f"has the columns {schema}, the manifest says {expected.schema}"
    return None if rows == expected.rows else f"has {rows} rows, the manifest says {expected.rows}"
