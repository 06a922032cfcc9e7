"""Which files a registration's entry stands for, in a folder, an s3:// prefix or a Delta table. Free of Spark."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs

from jobs.data.registered_files import File
from jobs.lib.errors import RecflowError


class ImportRefused(RecflowError):
    """A file or column is missing, no row could be kept, or too many could not. Nothing was written."""


@dataclass(frozen=True)
class SourceFile:
    """One file to read. name: as shown in messages. partition: columns that only the folder's name tells.
    modified: unix seconds."""

    address: str
    name: str
    size: int
    modified: int
    partition: dict[str, Any] = field(default_factory=dict)


def listed(folder: str, spec: File) -> list[SourceFile]:
    """The files of an entry, by name. Raises ImportRefused when there are none."""
    address = f"{folder.rstrip('/')}/{spec.file}"
    if spec.kind == "delta":
        return _delta_files(address)
    filesystem, path = filesystem_of(address)
    info = filesystem.get_file_info(path)
    if info.type == pafs.FileType.File:
        return [_file(address, info, path)]
    if info.type == pafs.FileType.Directory:
        found = [i for i in _all_under(filesystem, path) if not _is_hidden(i.path.removeprefix(path))]
        base = path
    else:
        _, base = filesystem_of(folder)
        found = [
            i for i in _all_under(filesystem, base) if fnmatchcase(i.path.removeprefix(base).lstrip("/"), spec.file)
        ]
    if not found:
        raise ImportRefused(f"{address}: there is no such file")
    scheme = address[: len(address) - len(path)]
    return [_file(scheme + i.path, i, base) for i in sorted(found, key=lambda i: i.path)]


def filesystem_of(address: str) -> tuple[pafs.FileSystem, str]:
    """The file system of a path, file:// or s3:// address, and the path in it. S3 settings are the standard AWS_*."""
    scheme, separator, rest = address.partition("://")
    if not separator or scheme == "file":
        return pafs.LocalFileSystem(), os.path.abspath(rest if separator else address)
    if scheme not in ("s3", "s3a"):
        raise ImportRefused(f"{address}: allowed are a path, file:// and s3://")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return pafs.S3FileSystem(endpoint_override=endpoint, region=region or "us-east-1"), rest


def opened(file: SourceFile) -> pa.NativeFile:
    """The bytes of a file as a stream, gunzipped."""
    filesystem, path = filesystem_of(file.address)
    return filesystem.open_input_stream(path, compression="gzip" if path.endswith(".gz") else None)


def _all_under(filesystem: pafs.FileSystem, base: str) -> list[pafs.FileInfo]:
    selector = pafs.FileSelector(base, recursive=True, allow_not_found=True)
    return [info for info in filesystem.get_file_info(selector) if info.type == pafs.FileType.File]


def _is_hidden(path: str) -> bool:
    """Spark and Hive keep _SUCCESS, _temporary, .crc and the like beside the data."""
    return any(part[:1] in "._" and "=" not in part for part in path.strip("/").split("/"))


def _file(address: str, info: pafs.FileInfo, base: str) -> SourceFile:
    name = info.path.removeprefix(base).lstrip("/") or info.base_name
    folders = [part.partition("=") for part in name.split("/")[:-1] if "=" in part]
    told = {key: _unescaped(value) for key, _, value in folders}
    return SourceFile(address, name, info.size, int(info.mtime.timestamp()), told)


def _unescaped(value: str) -> str | None:
    return None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value)


def _delta_files(address: str) -> list[SourceFile]:
    import deltalake

    from jobs.lib.partitions import delta_at

    filesystem, path = filesystem_of(address)
    is_folder = filesystem.get_file_info(path).type == pafs.FileType.Directory
    table = delta_at(address) if is_folder else None
    if table is None:
        raise ImportRefused(f"{address}: there is no Delta table")
    try:
        adds = pa.table(table.get_add_actions(flatten=False)).to_pylist()
    except deltalake.exceptions.DeltaError as error:
        raise ImportRefused(f"{address}: cannot be read: {error}") from None
    return [
        SourceFile(
            f"{address}/{unquote(add['path'])}",
            unquote(add["path"]),
            add["size_bytes"],
            add["modification_time"] // 1000,
            add.get("partition") or {},
        )
        for add in sorted(adds, key=lambda add: add["path"])
    ]
