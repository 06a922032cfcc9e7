"""Tables as imports and runs leave them, for tests of what is forgotten."""

from __future__ import annotations

import io
import uuid
from pathlib import Path

import deltalake
import polars as pl
import pyarrow as pa

from jobs.data.import_assemble import _content
from jobs.lib import partitions, runs
from jobs.lib.delta_files import DataFile, replace_days
from jobs.lib.object_store import open_store

DAY1, DAY2 = "20261120", "20261121"
KEY = "a long and secret key of a team"
ROLES = {"categorical": [], "user_id": "user_id", "item_id": "item_id", "event": "event", "event_time": "event_time"}


def written(table, days, contract="imported_behavior", **extra):
    """Days of a table as an import leaves them: {ds: columns}."""
    address, files = partitions.table_path(table), []
    for ds, columns in days.items():
        rows = pl.DataFrame(columns)
        path, file = f"ds={ds}/part-{uuid.uuid4().hex}.parquet", io.BytesIO()
        rows.write_parquet(file)
        open_store(address).put(path, file.getvalue())
        files.append(DataFile(path, ds, len(file.getvalue()), rows.height, _content(rows)))
    schema = deltalake.Schema.from_arrow(pa.schema([*_plain(rows.to_arrow().schema), pa.field("ds", pa.string())]))
    partitions.forget(table, list(days))
    replace_days(address, list(days), files, schema)
    for file in files:
        about = {"content": f"{file.content & ((1 << 96) - 1):024x}", "rows": file.rows, "contract": contract}
        partitions.write_record(table, file.ds, about | {"columns": [*columns, "ds"], "checks": []} | extra)


def _plain(schema):
    return [f.with_type(pa.string() if "string" in str(f.type) else f.type) for f in schema]


def events(*users):
    return {"user_id": list(users), "item_id": [f"i{n}" for n in range(len(users))]}


def rows(table):
    found = partitions.delta_table(table).to_pyarrow_table().to_pylist()
    return sorted((row["ds"], *(v for k, v in row.items() if k != "ds")) for row in found)


def everywhere(folder, word):
    """Files below a folder that hold a word: Parquet by its values, any other by its bytes."""
    found = []
    for file in (f for f in Path(folder).rglob("*") if f.is_file()):
        text = (
            str(pl.read_parquet(file, hive_partitioning=False).rows())
            if file.suffix == ".parquet"
            else file.read_text()
        )
        found += [str(file.relative_to(folder))] if word in text else []
    return sorted(found)


def contents(table):
    return {ds: partitions.record(table, ds)["content"] for ds in partitions.present_days(table)}


def run(table, ds, inputs, made):
    runs.done(table, ds, {"code": "c", "config": "d", "inputs": inputs}, made, 1.0)
