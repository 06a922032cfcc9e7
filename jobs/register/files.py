"""Which files of a folder belong together: one entry of a registration each. Reads names, not contents."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from jobs.data.registered_files import Format, ItemFile
from jobs.data.source_files import ImportRefused, SourceFile, listed
from jobs.lib.files import files_under, is_hidden

_UNREAD = {
    ".xlsx", ".xls", ".ods", ".zip", ".7z", ".rar", ".tar", ".tgz", ".bz2", ".xz", ".zst", ".orc", ".avro", ".feather",
    ".arrow", ".pkl", ".npy", ".npz", ".h5", ".pt", ".db", ".sqlite", ".png", ".jpg", ".jpeg", ".gif", ".pdf", ".mp4",
}  # fmt: skip
_DOCUMENTS = {".md", ".rst", ".html", ".yaml", ".yml", ".py", ".ipynb", ".sh", ".sql", ".doc", ".docx"}
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22,}"  # Spark puts one into names, another with each write
_NUMBERED = re.compile(rf"{_UUID}|\d+")


@dataclass(frozen=True)
class Source:
    """Files that one entry `file:` stands for. format: where the suffix does not say it."""

    file: str
    files: list[SourceFile]
    format: Format | None = None


def sources_of(folder: str) -> tuple[list[Source], dict[str, str]]:
    """The entries of a folder or s3:// prefix, by name, and the files that none is made of, with the reason.

    Files whose names differ in numbers only are one entry, and so are those of a folder partitioned as `dt=…`.
    """
    folder = folder if "://" in folder else os.path.abspath(folder)
    everything = files_under(folder, include_hidden=True)
    names = [file.name for file in everything]
    deltas = sorted({name.split("/_delta_log/")[0] for name in names if "/_delta_log/" in name})
    if any(name.startswith("_delta_log/") for name in names):
        raise ImportRefused(f"{folder}: is itself a table; give the folder above it")
    sources = [Source(d, listed(folder, entry(d, "delta")), "delta") for d in deltas]
    groups: dict[str, list[SourceFile]] = {}
    left_out: dict[str, str] = {}
    for file in everything:
        if is_hidden(file.name) or any(file.name.startswith(f"{d}/") for d in deltas):
            continue
        if reason := _why_not(file):
            left_out[file.name] = reason
        else:
            groups.setdefault(_pattern(file.name), []).append(file)
    for pattern, files in sorted(groups.items()):
        sources += _sources(pattern, files, names)
    return sources, left_out


def entry(file: str, kind: Format | None = None, **said: object) -> ItemFile:
    """What `listed` and the readers need to know of an entry, before any role is known."""
    return ItemFile(file=file, format=kind, roles={"item_id": "?"}, **said)


def joint_pattern(files: list[str], names: list[str]) -> str | None:
    """A pattern for exactly these of the names, or None."""
    head = os.path.commonprefix(files)
    tail = os.path.commonprefix([file.removeprefix(head)[::-1] for file in files])[::-1]
    pattern = f"{head}*{tail}"
    return pattern if sum(fnmatchcase(name, pattern) for name in names) == len(files) else None


def _why_not(file: SourceFile) -> str:
    path = PurePosixPath(file.name)
    suffix = PurePosixPath(path.name.lower().removesuffix(".gz")).suffix
    if path.stem.lower() in ("readme", "license", "licence", "changelog") or suffix in _DOCUMENTS:
        return "is about the data"
    if suffix in _UNREAD:
        return f"recflow reads delimited text, JSON Lines, Parquet and Delta, not {suffix}"
    return "" if file.size else "is empty"


def _pattern(name: str) -> str:
    """The name with numbers as stars; the folders of a partitioned table are one star."""
    *folders, last = name.split("/")
    kept = [part for part in folders if "=" not in part]
    return "/".join([*kept, *(["*"] if len(kept) < len(folders) else []), _NUMBERED.sub("*", last)])


def _sources(pattern: str, files: list[SourceFile], names: list[str]) -> list[Source]:
    """One entry for all, where a folder or a pattern stands for exactly them."""
    is_parquet = files[0].name.endswith(".parquet")
    base = "/".join(part for part in files[0].name.split("/")[:-1] if "=" not in part)
    inside = [name for name in names if name.startswith(f"{base}/") and not is_hidden(name)]
    if is_parquet and base and len(files) == len(inside) and (len(files) > 1 or files[0].partition):
        return [Source(base, files, "parquet")]
    if len(files) == 1 and not files[0].partition and not re.search(_UUID, files[0].name):
        return [Source(files[0].name, files)]
    for star in ("*", "[0-9]*"):
        written = pattern.replace("*", star)
        if sum(fnmatchcase(name, written) for name in names) == len(files):
            return [Source(written, files)]
    return [Source(file.name, [file]) for file in files]
