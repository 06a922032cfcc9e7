"""Files whose bytes depend on their rows alone: Parquet by pyarrow, and gzipped JSON Lines. Free of Spark.

Both are written row group by row group from batches of any size. Spark's own Parquet writer gives other bytes in every
JVM for the same rows, so it is never used for what is published.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.recall.pairec import three_part, two_part

ROW_GROUP_ROWS = 131_072
LIST_SCHEMA = [
    {"name": "input", "type": "struct<userId: string>"},
    {"name": "output", "type": "struct<recommendedItems: list<string>, scores: list<double>>"},
    {"name": "error", "type": "null"},
]


@dataclass(frozen=True)
class Rows:
    """Parquet with the rows as they are."""

    suffix = "parquet"

    def schema(self, rows: pa.Schema) -> list[dict[str, str]]:
        return schema_text(rows)

    def open(self, path: Path, rows: pa.Schema) -> ParquetFile:
        return ParquetFile(path, rows)


@dataclass(frozen=True)
class Lists:
    """Lists in the shape of Personalize batch inference, one line a user; rows come by user, then rank."""

    suffix = "jsonl.gz"

    def schema(self, rows: pa.Schema) -> list[dict[str, str]]:
        return LIST_SCHEMA

    def open(self, path: Path, rows: pa.Schema) -> ListFile:
        return ListFile(path)


@dataclass(frozen=True)
class Pairec:
    """Parquet with one row a key and its items in pairec's string form; rows come by key, then rank.

    recall: the name in three-part tokens; None writes two-part ones.
    """

    key: str
    columns: tuple[str, str]
    recall: str | None
    suffix = "parquet"

    def schema(self, rows: pa.Schema) -> list[dict[str, str]]:
        return schema_text(_strings(self.columns))

    def open(self, path: Path, rows: pa.Schema) -> PairecFile:
        return PairecFile(path, self)


class ParquetFile:
    """A Parquet file with full row groups, one compression, and no note of who wrote it from where."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.rows = 0
        self._schema = schema
        self._held: list[pa.Table] = []
        self._held_rows = 0
        self._writer = pq.ParquetWriter(
            path, schema, version="2.6", compression="zstd", compression_level=3, store_schema=False
        )

    def write(self, batch: pa.RecordBatch) -> None:
        self._held.append(pa.Table.from_batches([batch]).select(self._schema.names).cast(self._schema))
        self._held_rows += batch.num_rows
        self.rows += batch.num_rows
        while self._held_rows >= ROW_GROUP_ROWS:
            self._flush(ROW_GROUP_ROWS)

    def close(self) -> None:
        if self._held_rows:
            self._flush(self._held_rows)
        self._writer.close()

    def _flush(self, rows: int) -> None:
        table = pa.concat_tables(self._held).combine_chunks()
        self._writer.write_table(table.slice(0, rows), row_group_size=ROW_GROUP_ROWS)
        self._held, self._held_rows = [table.slice(rows)], table.num_rows - rows


class PairecFile:
    """See Pairec. A key none of whose items the form can carry is left out."""

    def __init__(self, path: Path, form: Pairec) -> None:
        self._form = form
        self._groups = _Groups(form.key)
        self._file = ParquetFile(path, _strings(form.columns))

    @property
    def rows(self) -> int:
        return self._file.rows

    def write(self, batch: pa.RecordBatch) -> None:
        self._put(self._groups.add(batch))

    def close(self) -> None:
        self._put(self._groups.rest())
        self._file.close()

    def _put(self, groups: Iterable[tuple[str, list[tuple[str, float]]]]) -> None:
        recall = self._form.recall
        strings = [(key, three_part(items, recall) if recall else two_part(items)) for key, items in groups]
        columns = [[pair[i] for pair in strings if pair[1]] for i in (0, 1)]
        if columns[0]:
            self._file.write(pa.record_batch([pa.array(c, pa.string()) for c in columns], list(self._form.columns)))


class ListFile:
    """See Lists. A score that is not a number raises, because no JSON reader takes it."""

    def __init__(self, path: Path) -> None:
        self.rows = 0
        self._groups = _Groups("user_id")
        self._raw = open(path, "wb")  # noqa: SIM115 - closed in close()
        # Without name and time, so that equal content is equal bytes.
        self._file = gzip.GzipFile(filename="", mode="wb", fileobj=self._raw, compresslevel=6, mtime=0)

    def write(self, batch: pa.RecordBatch) -> None:
        self._put(self._groups.add(batch))

    def close(self) -> None:
        self._put(self._groups.rest())
        self._file.close()
        self._raw.close()

    def _put(self, groups: Iterable[tuple[str, list[tuple[str, float]]]]) -> None:
        for user, items in groups:
            output = {"recommendedItems": [item for item, _ in items], "scores": [score for _, score in items]}
            line = {"input": {"userId": user}, "output": output, "error": None}
            text = json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            self._file.write(text.encode() + b"\n")
            self.rows += 1


class _Groups:
    """Collects (item, score) of neighbouring rows with the same key, across batches."""

    def __init__(self, key: str) -> None:
        self._columns = (key, "item_id", "score")
        self._key: str | None = None
        self._items: list[tuple[str, float]] = []

    def add(self, batch: pa.RecordBatch) -> Iterator[tuple[str, list[tuple[str, float]]]]:
        for key, item, score in zip(*(batch.column(name).to_pylist() for name in self._columns), strict=True):
            if key != self._key:
                yield from self.rest()
                self._key = key
            self._items.append((item, score))

    def rest(self) -> Iterator[tuple[str, list[tuple[str, float]]]]:
        if self._items:
            yield self._key, self._items
        self._items = []


def plain_schema(fields: Iterable[tuple[str, pa.DataType]]) -> pa.Schema:
    """Names and types, all nullable and without metadata: Spark's nullability follows the plan, not the data."""
    return pa.schema([pa.field(name, kind, nullable=True) for name, kind in fields])


def schema_text(schema: pa.Schema) -> list[dict[str, str]]:
    """Names and types in column order, as the manifest shows them."""
    return [{"name": field.name, "type": str(field.type)} for field in schema]


def _strings(columns: Iterable[str]) -> pa.Schema:
    return plain_schema((name, pa.string()) for name in columns)


def json_bytes(content: Any) -> bytes:
    """JSON with sorted keys; a NaN raises instead of making a file that no reader takes."""
    text = json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def parquet_rows(data: bytes) -> tuple[int, list[dict[str, str]]]:
    """Rows and schema of a Parquet file; raises a ValueError or OSError of pyarrow's when it is none."""
    file = pq.ParquetFile(pa.BufferReader(data))
    return file.metadata.num_rows, schema_text(file.schema_arrow)


def list_rows(data: bytes) -> int:
    """Lines of a gzipped JSON Lines file; raises OSError, EOFError or ValueError when it is none."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as lines:
        return sum(1 for line in lines if isinstance(json.loads(line), dict))
