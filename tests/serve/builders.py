"""Bundles with other objects in them."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.publish.bundle import FORMAT, entry
from jobs.publish.formats import schema_text


def copied(bundle: str, folder: Path) -> Path:
    shutil.copytree(bundle.removeprefix("file://"), folder)
    return folder


def replaced(folder: Path, key: str, content: pa.Table | bytes | None) -> None:
    """Put, replace or (None) take away an object; the manifest says so too. A folder without one becomes a bundle."""
    manifest = folder / "manifest.json"
    about = json.loads(manifest.read_text()) if manifest.exists() else {"format": FORMAT, "ds": "", "objects": []}
    about["objects"] = [one for one in about["objects"] if one["key"] != key]
    if isinstance(content, pa.Table):
        written = io.BytesIO()
        pq.write_table(content, written)
        made = entry(key, written.getvalue(), len(content), schema_text(content.schema))
        data = written.getvalue()
    elif content is not None:
        made, data = entry(key, content), content
    if content is not None:
        about["objects"].append(asdict(made))
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)
    manifest.write_text(json.dumps(about))
