"""Which partitions are there: one JSON record per table and ds, written after each commit. Free of Spark.

The record is recflow's own account of a partition: rows, content hash, contract and checks. It also knows empty
partitions, which leave no file behind. Tables that another system fills have no records; their Delta log answers.
"""

from __future__ import annotations

import json
import os

from jobs.lib.days import add_days, day_number
from jobs.lib.errors import DataError, MissingPartition
from jobs.lib.input_tables import TableConfig
from jobs.lib.object_store import MissingObject, open_store
from jobs.lib.settings import settings

OWNED = "_owned"  # beside the records of a table that recflow writes


def table_path(table: str) -> str:
    """Where a table's Delta folder is: a path or an s3a:// address."""
    return f"{settings().warehouse_root}/{table}"


def record(table: str, ds: str) -> dict | None:
    """What was recorded when this partition was written, or None."""
    try:
        return json.loads(_store().get(_key(table, ds)))
    except MissingObject:
        return None


def write_record(table: str, ds: str, content: dict) -> None:
    text = json.dumps({"table": table, "ds": ds, **content}, sort_keys=True, indent=1)
    _store().put(_key(table, ds), text.encode())


def forget(table: str, days: list[str] | None = None) -> None:
    """Take back the records of these days (None: of all): they count as never made until they are written again.

    From the first time on the table is known to be ours: what its Delta log holds without a record was never finished.
    """
    if not is_owned(table):
        _store().put(f"_partitions/{table}/{OWNED}", b"")
    for ds in present_days(table) if days is None else days:
        _store().delete(_key(table, ds))


def is_owned(table: str) -> bool:
    """Does recflow write this table? Another system's tables have no mark."""
    return _store().exists(f"_partitions/{table}/{OWNED}")


def present_days(table: str | TableConfig) -> list[str]:
    """Every ds of a table that was committed, oldest first. An input table is best given as its config."""
    if isinstance(table, TableConfig):
        if table.source is not None:
            from jobs.lib import sources

            return sources.present_days(table)
        table = table.table
    prefix = f"_partitions/{table}/"
    kept = [key.removeprefix(prefix) for key in _store().list(prefix)]
    return sorted(name.removesuffix(".json") for name in kept if name != OWNED) if kept else _delta_days(table)


def is_committed(config: TableConfig, ds: str) -> bool:
    """Is the data of ds there to be read? For a `once` snapshot: is there any?"""
    return as_of_day(config, ds) is not None


def as_of_day(config: TableConfig, ds: str, present: list[str] | None = None) -> str | None:
    """The partition that a reader of `ds` gets: ds itself, or for a `once` snapshot the newest that is not after ds."""
    days = present_days(config) if present is None else present
    if config.snapshot == "daily":
        return ds if ds in days else None
    newest = max((day for day in days if day <= ds), default=None)
    if newest and config.max_age_days and day_number(ds) - day_number(newest) > config.max_age_days:
        return None
    return newest


def missing(table: str | TableConfig, days: list[str], needed_by: str = "") -> MissingPartition:
    """The error for days that are not there."""
    table, config = (table.table, table) if isinstance(table, TableConfig) else (table, None)
    shown = ", ".join(days[:5]) + (f" and {len(days) - 5} more" if len(days) > 5 else "")
    by = f" (needed by {needed_by})" if needed_by else ""
    if config is not None and config.snapshot == "once":
        there = ", ".join(present_days(config)) or "none"
        limit = f", at most {config.max_age_days} days old" if config.max_age_days else ""
        return MissingPartition(f"{table} has no snapshot of ds={shown} or before{limit}{by}; there are: {there}")
    return MissingPartition(f"{table} has no partition ds={shown}{by}")


def newest_day(table: str, up_to: str) -> str | None:
    """The newest committed ds that is not after `up_to`."""
    days = [ds for ds in present_days(table) if ds <= up_to]
    return days[-1] if days else None


def is_frozen(table: str) -> bool:
    """Has an operator frozen this table's anchor?"""
    return _store().exists(f"_frozen/{table}")


def obstacle(config: TableConfig, ds: str) -> str | None:
    """What keeps the day at an input table's anchor; None when nothing does."""
    if is_frozen(config.table):
        return f"{config.table} is frozen: ds={ds} waits until `recflow unfreeze {config.table}`"
    return None if is_committed(config, ds) else f"waiting for {config.table} ds={ds}: not committed yet"


def freeze(table: str) -> None:
    _store().put(f"_frozen/{table}", b"")


def unfreeze(table: str) -> None:
    if is_frozen(table):
        _store().delete(f"_frozen/{table}")


def previous(ds: str) -> str:
    return add_days(ds, -1)


def _key(table: str, ds: str) -> str:
    return f"_partitions/{table}/{ds}.json"


def _store():
    return open_store(settings().warehouse_root)


def read_arrow(table: str, ds: str | list[str], columns: list[str] | None = None):
    """Partitions as an Arrow table, read without Spark: for tables whose size is bounded, such as figures.

    Raises DataError naming table, ds and file when a file is not what it was.
    """
    import pyarrow as pa
    import pyarrow.dataset as dataset

    days = [ds] if isinstance(ds, str) else ds
    try:
        return delta_table(table).to_pyarrow_dataset().to_table(columns=columns, filter=dataset.field("ds").isin(days))
    except (pa.ArrowException, OSError) as error:
        shown = ", ".join(days)
        raise DataError(f"{table} ds={shown} cannot be read: {str(error).splitlines()[0]}") from error


def _delta_days(table: str) -> list[str]:
    delta = delta_table(table)
    return sorted({part["ds"] for part in delta.partitions() if part.get("ds")}) if delta else []


def delta_table(table: str):
    """The table for readers without Spark, or None when there is none."""
    return delta_at(table_path(table))


def delta_at(address: str):
    """The Delta table at a path or address, or None. Raises DataError naming it when its log cannot be read."""
    import deltalake

    address, options = delta_address(address)
    if not deltalake.DeltaTable.is_deltatable(address, storage_options=options):
        return None
    try:
        return deltalake.DeltaTable(address, storage_options=options)
    except deltalake.exceptions.DeltaError as error:
        raise DataError(f"{address}: its Delta log cannot be read: {str(error).splitlines()[0]}") from error


def delta_address(address: str) -> tuple[str, dict[str, str] | None]:
    """Address and storage options as deltalake takes them; whatever else it needs it finds in AWS_* itself."""
    if not address.startswith(("s3a://", "s3://")):
        return address, None
    from jobs.lib.s3_client import s3_options

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    options = {"allow_http": "true"} if endpoint.startswith("http://") else {}
    encryption = s3_options().encryption
    if "ServerSideEncryption" in encryption:
        options["aws_server_side_encryption"] = encryption["ServerSideEncryption"]
    if "SSEKMSKeyId" in encryption:
        options["aws_sse_kms_key_id"] = encryption["SSEKMSKeyId"]
    return "s3://" + address.removeprefix("s3a://"), options
