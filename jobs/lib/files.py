"""Files of other systems: where they are, and what their folders tell. Free of Spark."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from jobs.lib import partitions
from jobs.lib.errors import DataError, RecflowError
from jobs.lib.safe_paths import check_within, refuse_links_out


@dataclass(frozen=True)
class SourceFile:
    """One file to read. name: within the folder, as shown in messages. partition: columns that only the folder's name
    tells. modified: unix seconds. A piece of a file goes from byte `start` to before `end` and begins with
    `first_line`."""

    address: str
    name: str
    size: int
    modified: int
    partition: dict[str, Any] = field(default_factory=dict)
    start: int = 0
    end: int | None = None
    first_line: int = 1


def filesystem_of(address: str) -> tuple[pafs.FileSystem, str]:
    """The file system of a path, file:// or s3:// address, and the path in it. S3 settings are the standard AWS_*."""
    scheme, separator, rest = address.partition("://")
    if not separator or scheme == "file":
        return pafs.LocalFileSystem(), os.path.abspath(rest if separator else address)
    if scheme not in ("s3", "s3a"):
        raise RecflowError(f"{address}: allowed are a path, file:// and s3://")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return pafs.S3FileSystem(endpoint_override=endpoint, region=region or "us-east-1"), rest


def make_folder(filesystem: pafs.FileSystem, path: str) -> None:
    """Only where folders are something. On S3 empty objects would be written for it and all above, up to the bucket."""
    if isinstance(filesystem, pafs.LocalFileSystem):
        filesystem.create_dir(path, recursive=True)


def kind_of(address: str) -> pafs.FileType:
    filesystem, path = filesystem_of(address)
    return filesystem.get_file_info(path).type


def files_under(address: str, include_hidden: bool = False) -> list[SourceFile]:
    """Every file of a folder, or the one file, by name. Spark and Hive keep _SUCCESS, .crc and the like beside the
    data: these are hidden."""
    filesystem, path = filesystem_of(address)
    info = filesystem.get_file_info(path)
    if info.type == pafs.FileType.File:
        return [_file(address, info, path)]
    selector = pafs.FileSelector(path, recursive=True, allow_not_found=True)
    scheme = address[: address.index("://") + 3] if "://" in address else ""
    found = [i for i in filesystem.get_file_info(selector) if i.type == pafs.FileType.File]
    kept = [i for i in found if include_hidden or not is_hidden(i.path.removeprefix(path))]
    if isinstance(filesystem, pafs.LocalFileSystem):
        refuse_links_out(path, [i.path for i in kept])
    return [_file(f"{scheme}{i.path}", i, path) for i in sorted(kept, key=lambda i: i.path)]


def delta_files(address: str) -> list[SourceFile] | None:
    """The files that a Delta table consists of now, or None where there is no table. Raises RecflowError when its log
    cannot be read."""
    if (adds := _adds(address)) is None:
        return None
    for add in adds:
        try:
            check_within(unquote(add["path"]))
        except ValueError as error:
            raise RecflowError(f"{address}: its Delta log names a file elsewhere: {error}") from None
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


Ranges = list[tuple[Any, Any]]


def delta_ranges(address: str, column: str) -> Ranges:
    """Least and greatest value of a column in each file of `delta_files`, by the log; (None, None) where
    it has no statistics."""
    adds = sorted(_adds(address) or [], key=lambda add: add["path"])
    return [tuple((add.get(side) or {}).get(column) for side in ("min", "max")) for add in adds]


def parquet_ranges(files: list[SourceFile], column: str) -> Ranges:
    """Least and greatest value of a column in each file, by the statistics in its footer; (None, None) without."""
    return [_footer_range(file.address, file.modified, column) for file in files]


@cache
def _footer_range(address: str, modified: int, column: str) -> tuple[Any, Any]:
    """Read once per version of the file: an anchor asks every few seconds."""
    filesystem, path = filesystem_of(address)
    try:
        footer = pq.read_metadata(path, filesystem=filesystem)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{address} cannot be read: {str(error).splitlines()[0]}") from error
    index = footer.schema.names.index(column) if column in footer.schema.names else None
    if index is None:
        raise RecflowError(f"{address}: no column {column!r}; there are: {', '.join(footer.schema.names)}")
    told = [footer.row_group(n).column(index).statistics for n in range(footer.num_row_groups)]
    if not told or any(stats is None or not stats.has_min_max for stats in told):
        return None, None
    return min(stats.min for stats in told), max(stats.max for stats in told)


def _adds(address: str) -> list[dict] | None:
    import deltalake

    try:
        if kind_of(address) != pafs.FileType.Directory or (table := partitions.delta_at(address)) is None:
            return None
        return pa.table(table.get_add_actions(flatten=False)).to_pylist()
    except deltalake.exceptions.DeltaError as error:
        raise RecflowError(f"{address}: cannot be read: {error}") from None


def is_hidden(path: str) -> bool:
    return any(part[:1] in ("_", ".") and "=" not in part for part in path.strip("/").split("/"))


def _file(address: str, info: pafs.FileInfo, base: str) -> SourceFile:
    name = info.path.removeprefix(base).lstrip("/") or info.base_name
    folders = [part.partition("=") for part in name.split("/")[:-1] if "=" in part]
    told = {key: None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value) for key, _, value in folders}
    return SourceFile(address, name, info.size, int(info.mtime.timestamp()), told)
