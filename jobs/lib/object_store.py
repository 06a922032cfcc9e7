"""Objects by key under one root: a folder (`file:///path` or a plain path) or `s3://bucket/prefix`. Free of Spark.

Both kinds promise the same: a reader sees an object whole or not at all, keys stay under the root, listings are
sorted, and a missing object is a `MissingObject` that names its address. S3 takes the standard AWS_* variables,
AWS_ENDPOINT_URL included, and those of jobs/lib/s3_client.py.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol, TypeVar

from jobs.lib.errors import RecflowError

CHUNK_BYTES = 1 << 20
T = TypeVar("T")


class StoreError(RecflowError):
    """The object store refused or could not be reached; names the address."""


class MissingObject(StoreError):
    """No object at this address."""


class ObjectChanged(StoreError):
    """A swap found other content than was expected: someone else wrote in between."""


class Stored(NamedTuple):
    """An object as a listing shows it. modified: seconds since 1970, by the storage's clock."""

    key: str
    bytes: int
    modified: float


class Store(Protocol):
    """What both kinds of store do. Keys are relative, parted by `/`."""

    root: str

    def put(self, key: str, data: bytes) -> None:
        """Write or replace an object, all or nothing."""

    def put_file(self, key: str, path: str | Path) -> None:
        """The same from a local file, without holding it in memory."""

    def get(self, key: str) -> bytes: ...

    def chunks(self, key: str) -> Iterator[bytes]:
        """The object in pieces, for hashing what may not fit in memory."""

    def exists(self, key: str) -> bool: ...

    def size(self, key: str) -> int:
        """Bytes."""

    def reported_sha256(self, key: str) -> str | None:
        """Of the content (hex), as the storage computed it itself; None where it did not."""

    def list(self, prefix: str = "") -> list[str]:
        """Sorted keys that start with `prefix` (a string, not necessarily whole path parts)."""

    def stored(self, prefix: str = "") -> list[Stored]:
        """The same with sizes and times."""

    def copy(self, src_key: str, dst_key: str) -> None:
        """Inside the store: no bytes pass through this process on S3."""

    def move(self, src_key: str, dst_key: str) -> None:
        """Copy, then delete the source; a rename where the store has one."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""

    def swap(self, key: str, expected: bytes | None, new: bytes) -> None:
        """Replace `expected` (None: nothing there) by `new`; ObjectChanged when the object holds something else."""

    def url(self, key: str) -> str: ...


def open_store(url: str) -> Store:
    """The store at an address. Raises StoreError when it is of no known kind."""
    scheme, separator, rest = str(url).partition("://")
    if not separator:
        return FileStore(Path(url).absolute())
    if scheme == "file" and rest.startswith("/"):
        return FileStore(Path(rest))
    if scheme in ("s3", "s3a") and rest and not rest.startswith("/"):
        bucket, _, prefix = rest.partition("/")
        from jobs.lib.s3_store import S3Store

        return S3Store(bucket, prefix.strip("/"))
    raise StoreError(f"{url!r} is no address of a store; allowed: a path, file:///path or s3://bucket/prefix")


def checked_key(key: str) -> str:
    """The key itself, refused when it could leave the root or name a folder."""
    parts = key.split("/")
    if not key or "\0" in key or "\\" in key or any(part in ("", ".", "..") for part in parts):
        raise StoreError(f"{key!r} is no key: a relative path without empty, '.' or '..' parts is expected")
    return key


def checked_prefix(prefix: str) -> str:
    head = prefix.rpartition("/")[0]
    return prefix if not head or checked_key(head) else prefix


class FileStore:
    """Objects as files. Hidden names (`.…~`) are this class's own temporaries and locks and are never listed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = f"file://{folder}"

    def put(self, key: str, data: bytes) -> None:
        with self._replacing(key) as temporary:
            temporary.write(data)

    def put_file(self, key: str, path: str | Path) -> None:
        with self._replacing(key) as temporary, open(path, "rb") as source:
            shutil.copyfileobj(source, temporary, CHUNK_BYTES)

    def get(self, key: str) -> bytes:
        with self._errors(key):
            return self._path(key).read_bytes()

    def chunks(self, key: str) -> Iterator[bytes]:
        with self._errors(key), open(self._path(key), "rb") as source:
            while piece := source.read(CHUNK_BYTES):
                yield piece

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def size(self, key: str) -> int:
        if not self.exists(key):
            raise MissingObject(f"no object at {self.url(key)}")
        return self._path(key).stat().st_size

    def reported_sha256(self, key: str) -> str | None:
        self.size(key)
        return None

    def list(self, prefix: str = "") -> list[str]:
        top = self.folder / checked_prefix(prefix).rpartition("/")[0]
        found = []
        for folder, _, names in os.walk(top):
            relative = PurePosixPath(Path(folder).relative_to(self.folder).as_posix())
            found += [str(relative / name) for name in names if not _is_own(name)]
        return sorted(key for key in found if key.startswith(prefix))

    def stored(self, prefix: str = "") -> list[Stored]:
        found = []
        for key in self.list(prefix):
            with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                about = self._path(key).stat()
                found.append(Stored(key, about.st_size, about.st_mtime))
        return found

    def copy(self, src_key: str, dst_key: str) -> None:
        self.size(src_key)
        self.put_file(dst_key, self._path(src_key))

    def move(self, src_key: str, dst_key: str) -> None:
        self.size(src_key)
        source, target = self._path(src_key), self._path(dst_key)
        with self._errors(dst_key, reading=False):
            _in_folder(target.parent, lambda: os.replace(source, target))
        self._prune(source)

    def delete(self, key: str) -> None:
        with self._errors(key):
            self._path(key).unlink(missing_ok=True)
        self._prune(self._path(key))

    def swap(self, key: str, expected: bytes | None, new: bytes) -> None:
        path = self._path(key)
        with self._errors(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path.parent / f".{path.name}.lock~", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if (path.read_bytes() if path.is_file() else None) != expected:
                    raise ObjectChanged(f"{self.url(key)} was changed by someone else")
                self.put(key, new)

    def url(self, key: str) -> str:
        return f"{self.root}/{checked_key(key)}"

    def _path(self, key: str) -> Path:
        return self.folder / checked_key(key)

    def _prune(self, path: Path) -> None:
        """Folders that hold no object any more are nothing to a reader."""
        for parent in path.parents:
            if parent == self.folder:
                break
            try:
                parent.rmdir()
            except OSError:
                break

    @contextlib.contextmanager
    def _replacing(self, key: str):
        """A temporary file beside the target; on success it takes the target's place, durably."""
        path = self._path(key)
        with self._errors(key, reading=False):
            name = path.parent / f".{uuid.uuid4().hex}~"
            temporary = _in_folder(path.parent, lambda: name.open("xb"))
            try:
                with temporary:
                    yield temporary
                    temporary.flush()
                    os.fsync(temporary.fileno())
                os.replace(name, path)
            except BaseException:
                name.unlink(missing_ok=True)
                raise

    @contextlib.contextmanager
    def _errors(self, key: str, reading: bool = True):
        try:
            yield
        except OSError as error:
            if reading and isinstance(error, (FileNotFoundError, IsADirectoryError, NotADirectoryError)):
                raise MissingObject(f"no object at {self.url(key)}") from error
            raise StoreError(f"{self.url(key)}: {error.strerror}") from error


def _is_own(name: str) -> bool:
    return name.startswith(".") and name.endswith("~")


def _in_folder(folder: Path, act: Callable[[], T]) -> T:
    """Do something that needs the folder; a delete elsewhere may take the empty folder away in between."""
    for _ in range(10):
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            return act()
    raise StoreError(f"{folder} vanishes as soon as it is made")
