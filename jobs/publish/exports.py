"""Tables as published files: written by the executors straight to the object store, never through the driver."""

from __future__ import annotations

import hashlib
import itertools
import math
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from jobs.lib.object_store import CHUNK_BYTES, open_store
from jobs.lib.spark import F
from jobs.publish.bundle import Entry
from jobs.publish.formats import Lists, Pairec, Rows, plain_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Form = Rows | Lists | Pairec
ROWS_PER_PART = 1_000_000
_WRITTEN = "key string, bytes bigint, sha256 string, rows bigint"


def write_parts(
    rows: DataFrame, order: list[str], row_count: int, forms: dict[str, Form], store_url: str
) -> list[Entry]:
    """Write rows as `<folder>/part-00000.…` for each folder -> form, in one pass, and return what was written.

    order: the full key; its first column decides the part, by a hash that is the same everywhere. row_count is what the
    partition's record says: it sets the number of parts, so that equal tables give equal files whatever the cluster.
    A task that is run again writes the same bytes to the same keys.
    """
    parts = max(1, math.ceil(row_count / ROWS_PER_PART))
    schema = _arrow_schema(rows)
    part = F.pmod(F.xxhash64(F.col(order[0])), F.lit(parts)).cast("int")
    placed = rows.withColumn("_part", part).repartitionById(parts, F.col("_part"))
    ordered = placed.sortWithinPartitions("_part", *order)
    written = ordered.mapInArrow(_task(schema, forms, store_url), _WRITTEN).collect()
    found = {row.key: row.asDict() for row in written}
    if len(found) != len(written):
        raise AssertionError(f"{sorted(forms)}: a part was written by two tasks")
    for number in range(parts):  # the set of files follows from the count alone, so a part without rows is a file too
        if _key(next(iter(forms.items())), number) not in found:
            found |= {row["key"]: row for row in _write_part(number, [], schema, forms, store_url)}
    return [
        Entry(**found[_key((folder, form), number)], schema=form.schema(schema))
        for folder, form in forms.items()
        for number in range(parts)
    ]


def _task(schema: pa.Schema, forms: dict[str, Form], store_url: str):
    """What a Spark task does with its sorted batches: the files of each part it was given (nearly always one part)."""

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number, pieces in _by_part(batches):
            written = _write_part(number, pieces, schema, forms, store_url)
            yield pa.RecordBatch.from_pylist(written)

    return write


def _by_part(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, Iterator[pa.RecordBatch]]]:
    """Runs of equal `_part`; each run must be used up before the next is asked for."""

    def runs() -> Iterator[tuple[int, pa.RecordBatch]]:
        for batch in batches:
            start = 0
            for number, run in itertools.groupby(batch.column("_part").to_pylist()):
                length = sum(1 for _ in run)
                yield number, batch.slice(start, length)
                start += length

    for number, pieces in itertools.groupby(runs(), key=lambda run: run[0]):
        yield number, (piece for _, piece in pieces)


def _write_part(
    number: int, pieces: Iterable[pa.RecordBatch], schema: pa.Schema, forms: dict[str, Form], store_url: str
) -> list[dict]:
    """Key, bytes, sha256 and rows of each file put."""
    store = open_store(store_url)
    with tempfile.TemporaryDirectory() as folder:
        paths = {_key(form, number): Path(folder) / f"{i}" for i, form in enumerate(forms.items())}
        files = [form.open(path, schema) for form, path in zip(forms.values(), paths.values(), strict=True)]
        for piece in pieces:
            for file in files:
                file.write(piece)
        for file in files:
            file.close()
        written = []
        for (key, path), file in zip(paths.items(), files, strict=True):
            store.put_file(key, path)
            written.append({"key": key, "bytes": path.stat().st_size, "sha256": _sha256(path), "rows": file.rows})
        return written


def _key(form: tuple[str, Form], number: int) -> str:
    folder, kind = form
    return f"{folder}/part-{number:05d}.{kind.suffix}"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as content:
        while piece := content.read(CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _arrow_schema(rows: DataFrame) -> pa.Schema:
    from pyspark.sql.pandas.types import to_arrow_type

    return plain_schema((field.name, to_arrow_type(field.dataType)) for field in rows.schema.fields)
