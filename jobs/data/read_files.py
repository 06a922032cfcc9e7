"""Files of any kind as chunks of text columns: one row per record, with its line.

Any kind ends in text, so that a value is read by one rule wherever it comes from; days and times of a typed file keep
their type.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import islice

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.data.chunks import SHOWN_LENGTH, Broken, Chunk, chunk, refuse_missing
from jobs.data.read_csv import BLOCK_BYTES, csv_chunks
from jobs.data.registered_files import File
from jobs.data.source_files import ImportRefused, SourceFile, filesystem_of, opened

_JSON_LINES = 50_000
_PARQUET_ROWS = 250_000


def chunks_of(file: SourceFile, spec: File) -> Iterator[Chunk]:
    """The records of a file, block by block. Raises ImportRefused naming file and column."""
    try:
        yield from {"csv": csv_chunks, "jsonl": _json_lines}.get(spec.kind, _parquet)(file, spec)
    except (pa.ArrowInvalid, pl.exceptions.ComputeError, OSError, EOFError) as error:
        if "straddling" in str(error):
            told = f"a line, or what a quote opens, is longer than {BLOCK_BYTES >> 20} MB: is a quote not closed?"
            raise ImportRefused(f"{file.address}: {told}") from None
        raise ImportRefused(f"{file.address}: cannot be read: {str(error).splitlines()[0]}") from None


def _json_lines(file: SourceFile, spec: File) -> Iterator[Chunk]:
    """Objects, a line each; nested ones by dotted names. Numbers stay as they are written."""
    used = spec.used_columns()
    seen: set[str] = set()
    is_any = False
    lines = enumerate(io.BufferedReader(opened(file), BLOCK_BYTES), start=1)
    while block := list(islice(lines, _JSON_LINES)):
        records, broken = [], []
        for number, line in block:
            try:
                record = json.loads(line.lstrip(b"\xef\xbb\xbf"), parse_int=str, parse_float=str, parse_constant=str)
                if b"\\ud" in line.lower():  # half of a pair of surrogates is no text
                    json.dumps(record, ensure_ascii=False).encode()
            except (ValueError, RecursionError):
                record = None
            if isinstance(record, dict):
                flat = flat_record(record, spec.tag_separator)
                seen.update(flat)
                records.append([*(flat.get(column) for column in used), number])
            elif line.strip():
                told = line[:SHOWN_LENGTH].decode("utf-8", errors="replace").strip()
                broken.append(Broken(number, "is not a JSON object", told))
        is_any = is_any or bool(records)
        schema = dict.fromkeys(used, pl.String) | {"line": pl.Int64}
        yield chunk(pl.DataFrame(records, schema, orient="row"), broken, "utf-8", used, used)
    for column in used if is_any else []:
        if column not in seen:
            raise ImportRefused(f"{file.address}: no column {column!r}; there are: {', '.join(sorted(seen))}")


def flat_record(record: dict, separator: str, prefix: str = "") -> dict[str, str | None]:
    flat: dict[str, str | None] = {}
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= flat_record(value, separator, f"{name}.")
        elif isinstance(value, list):
            flat[name] = separator.join(str(v) for v in value)
        elif isinstance(value, bool):
            flat[name] = "true" if value else "false"
        else:
            flat[name] = value
    return flat


def _parquet(file: SourceFile, spec: File) -> Iterator[Chunk]:
    """Columns of a Parquet file, and those that its folder tells."""
    filesystem, path = filesystem_of(file.address)
    used = spec.used_columns()
    with filesystem.open_input_file(path) as source:
        parquet = pq.ParquetFile(source)
        within = parquet.schema_arrow.names
        refuse_missing(file, spec, [*within, *file.partition])
        line = 1
        for batch in parquet.iter_batches(_PARQUET_ROWS, columns=[c for c in used if c in within]):
            rows = pl.DataFrame(pl.from_arrow(batch)) if batch.num_columns else pl.DataFrame()
            told = {c: pl.lit(file.partition[c]) for c in used if c not in within}
            numbers = pl.int_range(line, line + batch.num_rows, eager=True, dtype=pl.Int64)
            rows = rows.with_columns(line=numbers).with_columns(**told)
            line += batch.num_rows
            texts = [as_text(column, rows.schema[column], spec.tag_separator).alias(column) for column in used]
            rows = rows.select(*texts, "line")
            are_text = [column for column in used if rows.schema[column] == pl.String]
            yield chunk(rows, [], "utf-8", are_text, are_text)


def as_text(column: str, dtype: pl.DataType, separator: str) -> pl.Expr:
    """A typed column as text; days and times keep their type. A whole number of a float column is written as one: a
    column of ids becomes float where one is missing."""
    value = pl.col(column)
    if isinstance(dtype, pl.Datetime) or dtype == pl.Date:
        return value
    if isinstance(dtype, pl.List):
        return value.cast(pl.List(pl.String)).list.join(separator)
    if dtype.is_float():
        value = value.fill_nan(None)
        whole = pl.when((value == value.floor()) & (value.abs() < 2**53)).then(value)
        return pl.coalesce(whole.cast(pl.Int64, strict=False).cast(pl.String), value.cast(pl.String))
    if dtype == pl.Binary:
        return value.cast(pl.String)
    return value.cast(pl.String)
