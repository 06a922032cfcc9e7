"""`package.zip`: the code and the solution of one version, the same bytes for the same content. Free of Spark.

Stored, not compressed, in the order of the names, with one date for all: what compresses may differ between machines.
A version is named after the bytes of its package.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import uuid
import zipfile
from pathlib import Path
from typing import Any

from jobs.lib.errors import RecflowError
from jobs.lib.object_store import checked_key
from jobs.lib.settings import PROJECT_ROOT
from jobs.lib.solution import DEPLOYED_SOLUTION

FORMAT = "recflow-package/1"
PACKAGE, MANIFEST = "package.zip", "manifest.json"
FOLDERS = ("dags", "jobs", "schemas")
BESIDE = ("infra/spark/log4j2.properties", "requirements.lock")  # what Spark logs, and with which packages it was tried
MOMENT = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say


def contents(solution: Path, root: Path = PROJECT_ROOT) -> dict[str, bytes]:
    """Path in the package -> bytes. Raises RecflowError where the solution cannot be read."""
    files = [file for folder in FOLDERS for file in (root / folder).rglob("*") if _belongs(file.relative_to(root))]
    found = {file.relative_to(root).as_posix(): file.read_bytes() for file in files if file.is_file()}
    found |= {name: (root / name).read_bytes() for name in BESIDE}
    try:
        return found | {DEPLOYED_SOLUTION: solution.read_bytes()}
    except OSError as error:
        raise RecflowError(f"{solution}: cannot be read: {error.strerror}") from None


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as package:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, MOMENT)
            entry.external_attr, entry.create_system = 0o644 << 16, 3
            package.writestr(entry, files[name])
    return buffer.getvalue()


def version_of(package: bytes) -> str:
    return f"p-{hashlib.sha256(package).hexdigest()[:16]}"


def is_version(text: str) -> bool:
    return len(text) == 18 and text.startswith("p-") and set(text[2:]) <= set("0123456789abcdef")


def manifest_of(package: bytes, files: dict[str, bytes], scenarios: dict[str, Any]) -> bytes:
    """What is in the package, and what it amounts to (jobs/deploy/description.py); of the content alone."""
    objects = [{"path": name, "bytes": len(data), "sha256": _sha256(data)} for name, data in sorted(files.items())]
    whole = {"key": PACKAGE, "bytes": len(package), "sha256": _sha256(package)}
    said = {"format": FORMAT, "version": version_of(package), "package": whole, "files": objects}
    return json.dumps(said | {"scenarios": scenarios}, sort_keys=True, indent=1, ensure_ascii=False).encode()


def file_hashes(files: dict[str, bytes]) -> dict[str, str]:
    """Path -> sha256, as `hashes_in` tells them of a manifest."""
    return {name: _sha256(data) for name, data in files.items()}


def hashes_in(manifest: dict[str, Any]) -> dict[str, str]:
    return {entry["path"]: entry["sha256"] for entry in manifest["files"]}


def unpack(package: bytes, folder: Path) -> None:
    """Into a folder that is there whole or not at all. Its package lies beside what was in it."""
    if folder.exists():
        return
    new = folder.parent / f".{uuid.uuid4().hex}~"
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        for name in archive.namelist():
            file = new / checked_key(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(archive.read(name))
    (new / PACKAGE).write_bytes(package)
    try:
        os.rename(new, folder)
    except OSError:  # another process was first
        shutil.rmtree(new)
        if not folder.exists():
            raise


def _belongs(path: Path) -> bool:
    """No caches, and nothing hidden: an .env beside a DAG must not travel."""
    is_hidden = any(part.startswith(".") for part in path.parts) and path.name != ".airflowignore"
    return not is_hidden and "__pycache__" not in path.parts


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
