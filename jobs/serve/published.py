"""A published bundle as its readers see it: what they open is checked against the manifest first. Free of Spark.

An object is copied to a temporary file while it is hashed, so that what was checked is what is read, and memory holds
the rows that were asked for and no more. Where one key is asked for, only the part that can hold it is opened.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.lib.object_store import open_store
from jobs.publish.bundle import FORMAT, MANIFEST, POINTER, BundleError, Entry, latest
from jobs.serve.placing import part_of


class Bundle:
    """One bundle. Use it as a context manager: its temporary files go with it."""

    def __init__(self, address: str) -> None:
        """address: a bundle, its manifest.json, or the scenario's root (then the bundle that latest.json names).

        Raises MissingObject, or BundleError where it is no bundle.
        """
        self._store = open_store(_folder(address))
        try:
            self.about = json.loads(self._store.get(MANIFEST))
            if (written := self.about["format"]) != FORMAT:
                raise BundleError(f"{self.address}: format is {written!r}, this recflow reads {FORMAT!r}")
            self._entries = {e["key"]: Entry(**e) for e in self.about["objects"]}
            self.ds = self.about["ds"]
        except (ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{self._store.url(MANIFEST)} is no manifest: {type(error).__name__} {error}") from error
        self._copies: dict[str, Path] = {}

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *_: object) -> None:
        if "_scratch" in self.__dict__:
            self._scratch.cleanup()

    @property
    def address(self) -> str:
        return self._store.root

    def has(self, key: str) -> bool:
        return key in self._entries

    def get(self, key: str) -> bytes:
        return self._copy(key).read_bytes()

    def json(self, key: str) -> Any:
        return json.loads(self.get(key))

    def columns(self, folder: str) -> list[str]:
        """Of a published table; none where the bundle has no such table."""
        parts = self._parts(folder)
        return [column["name"] for column in self._entries[parts[0]].schema] if parts else []

    def rows(
        self,
        folder: str,
        columns: Sequence[str] | None = None,
        keys: Sequence[str] | None = None,
        where: list[tuple] | None = None,
    ) -> pa.Table:
        """Rows of a published table, parts in order. keys: only those whose first column is one of them; where: further
        filters, as pyarrow takes them. Raises BundleError where there is no such table or column."""
        parts, there = self._parts(folder), self.columns(folder)
        if not parts:
            raise BundleError(f"{self.address} has no {folder}: it was published by another version, or without it")
        if unknown := [name for name in columns or () if name not in there]:
            raise BundleError(f"{self.address}: {folder} has no column {unknown[0]}; there are: {', '.join(there)}")
        conditions = list(where or ())
        if keys is not None:
            wanted = {part_of(key, len(parts)) for key in keys}
            parts = [key for number, key in enumerate(parts) if number in wanted] or parts[:1]
            conditions.append((there[0], "in", list(keys)))
        chosen = {"columns": columns, "filters": conditions or None, "partitioning": None}
        return pa.concat_tables([pq.read_table(self._copy(key), **chosen) for key in parts]).combine_chunks()

    def _parts(self, folder: str) -> list[str]:
        return sorted(key for key in self._entries if re.fullmatch(re.escape(folder) + r"/part-\d+\.parquet", key))

    @cached_property
    def _scratch(self) -> tempfile.TemporaryDirectory:
        return tempfile.TemporaryDirectory(prefix="recflow-bundle-")

    def _copy(self, key: str) -> Path:
        """A checked local copy, made once."""
        if key not in self._copies:
            expected = self._entries.get(key)
            if expected is None:
                raise BundleError(f"{self.address} has no {key}")
            digest, path = hashlib.sha256(), Path(self._scratch.name) / f"{len(self._copies)}"
            with open(path, "wb") as copy:
                for piece in self._store.chunks(key):
                    digest.update(piece)
                    copy.write(piece)
            if digest.hexdigest() != expected.sha256:
                raise BundleError(f"{self._store.url(key)} has other content than the manifest says (sha256)")
            self._copies[key] = path
        return self._copies[key]


def _folder(address: str) -> str:
    """The bundle's own address."""
    given = address.rstrip("/").removesuffix(f"/{MANIFEST}").removesuffix(f"/{POINTER}")
    store = open_store(given)
    if store.exists(MANIFEST):
        return store.root
    if not store.exists(POINTER):
        raise BundleError(f"{store.root}: neither {MANIFEST} nor {POINTER} is here")
    return f"{store.root}/{latest(store.root)['manifest'].removesuffix(f'/{MANIFEST}')}"


def of_day(root: str, ds: str) -> str:
    """The address of a day's bundle under a scenario's root: the one that latest.json names, else the only one.

    Raises BundleError where there is none, or several that nothing tells apart.
    """
    store = open_store(root)
    if store.exists(POINTER) and (pointer := latest(root))["ds"] == ds:
        return f"{store.root}/{pointer['manifest'].removesuffix(f'/{MANIFEST}')}"
    found = [key for key in store.list(f"ds={ds}/") if re.fullmatch(rf"ds={ds}/v=[^/]+/{MANIFEST}", key)]
    if len(found) == 1:
        return f"{store.root}/{found[0].removesuffix(f'/{MANIFEST}')}"
    if not found:
        raise BundleError(f"{store.root} has no bundle of ds={ds}")
    shown = "\n".join(f"  {store.root}/{key.removesuffix(f'/{MANIFEST}')}" for key in found)
    raise BundleError(f"{store.root} has {len(found)} bundles of ds={ds}: say which with --bundle\n{shown}")
