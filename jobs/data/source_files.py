"""Which files a registration's entry stands for, in a folder, an s3:// prefix or a Delta table. Free of Spark."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pyarrow as pa
import pyarrow.fs as pafs

from jobs.data.registered_files import File
from jobs.lib.errors import RecflowError
from jobs.lib.files import SourceFile, delta_files, files_under, filesystem_of, kind_of
from jobs.lib.input_tables import DayColumn
from jobs.lib.safe_paths import refuse_links_out
from jobs.lib.sources import ds_of

__all__ = ["ImportRefused", "SourceFile", "filesystem_of", "listed", "opened", "within"]


class ImportRefused(RecflowError):
    """A file or column is missing, no row could be kept, or too many could not. Nothing was written."""


def listed(folder: str, spec: File) -> list[SourceFile]:
    """The files of an entry, by name. Raises ImportRefused when there are none."""
    address = f"{folder.rstrip('/')}/{spec.file}"
    if spec.kind == "delta":
        found = delta_files(address)
        if found is None:
            raise ImportRefused(f"{address}: there is no Delta table")
        return found
    if kind_of(address) != pafs.FileType.NotFound:
        refuse_links_out(folder, [address])
        found = files_under(address)
    else:
        found = [file for file in files_under(folder, include_hidden=True) if fnmatchcase(file.name, spec.file)]
    if not found:
        raise ImportRefused(f"{address}: there is no such file")
    return found


def within(files: list[SourceFile], partition: DayColumn, span: tuple[str, str]) -> list[SourceFile]:
    """Files of a table partitioned by day that can hold days of the span."""
    first, last = span
    kept = [file for file in files if (ds := ds_of(partition, file.partition)) is None or first <= ds <= last]
    if not kept:
        raise ImportRefused(f"no partition {partition.column} from ds={first} to {last}: there are {len(files)} files")
    return kept


def opened(file: SourceFile) -> pa.NativeFile:
    """The bytes of a file, or of a piece of one, as a stream, gunzipped."""
    filesystem, path = filesystem_of(file.address)
    if file.end is not None:
        return filesystem.open_input_file(path).get_stream(file.start, file.end - file.start)
    return filesystem.open_input_stream(path, compression="gzip" if path.endswith(".gz") else None)
