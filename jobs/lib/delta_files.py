"""Parquet files that are already in a table's folder become its partitions, in one Delta commit. Free of Spark."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from jobs.lib import partitions
from jobs.lib.errors import ContractError, WriterError

if TYPE_CHECKING:
    import deltalake


@dataclass(frozen=True)
class DataFile:
    """path: relative to the table's folder, in the folder of its ds. content: a hash of its rows that is the same in
    any order, and adds up over files."""

    path: str
    ds: str
    bytes: int
    rows: int
    content: int


@dataclass(frozen=True)
class DayFile:
    """A file of a ds that a table consists of now."""

    ds: str
    address: str
    rows: int


def day_files(table: str, days: list[str]) -> list[DayFile]:
    """The files of these days of a table that recflow writes, for readers without Spark."""
    import pyarrow as pa

    delta = partitions.delta_table(table)
    if delta is None:
        return []
    actions, wanted = pa.table(delta.get_add_actions(flatten=True)), set(days)
    told = zip(*(actions.column(c).to_pylist() for c in ("partition.ds", "path", "num_records")), strict=True)
    root = partitions.table_path(table)
    return sorted((DayFile(ds, f"{root}/{unquote(path)}", n) for ds, path, n in told if ds in wanted), key=str)


def replace_days(
    address: str, days: list[str], files: list[DataFile], wanted: deltalake.Schema, is_new: bool = False
) -> None:
    """Of a table, exactly these days become these files; a day without a file becomes empty.

    wanted: the columns of the rows, `ds` included. Columns that the table lacks are added to it. Raises ContractError
    when a column has another type there, WriterError when another writer commits at the same time. is_new: whatever is
    there is dropped, its columns too.
    """
    from deltalake import CommitProperties
    from deltalake.transaction import AddAction, create_table_with_add_actions

    now_ms = int(time.time() * 1000)  # of the log entry alone
    actions = [
        AddAction(f.path, f.bytes, {"ds": f.ds}, now_ms, True, json.dumps({"numRecords": f.rows})) for f in files
    ]
    target, options = partitions.delta_address(address)
    # A commit that is tried again after somebody else's would add these files beside those that it was to replace.
    once = CommitProperties(max_commit_retries=0)
    table = partitions.delta_at(address)
    if table is None or is_new:
        with _one_writer(address):
            create_table_with_add_actions(
                target,
                wanted,
                actions,
                mode="error" if table is None else "overwrite",
                partition_by=["ds"],
                storage_options=options,
                commit_properties=once,
            )
        return
    known = {field.name: field for field in table.schema().fields}
    for field in wanted.fields:
        if field.name in known and known[field.name].type != field.type:
            there = known[field.name].type
            raise ContractError(f"{address}: column {field.name} is {there} in the table, {field.type} in the new rows")
    if new := [field for field in wanted.fields if field.name not in known]:
        table.alter.add_columns(new)
    with _one_writer(address):
        table.create_write_transaction(
            actions,
            "overwrite",
            table.schema(),
            partition_by=["ds"],
            partition_filters=[("ds", "in", days)],
            commit_properties=once,
        )


@contextlib.contextmanager
def _one_writer(address: str) -> Iterator[None]:
    from deltalake.exceptions import CommitFailedError, DeltaError

    try:
        yield
    except DeltaError as error:
        said = str(error).splitlines()[0]
        if not isinstance(error, CommitFailedError) and "already exists" not in said:  # made by the other one
            raise
        raise WriterError(f"{address}: another writer committed at the same time; run this again ({said})") from None
