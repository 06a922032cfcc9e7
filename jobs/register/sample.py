"""A bounded sample of the files of an entry, as columns of text."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import PurePosixPath

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.data.read_files import as_text, flat_record
from jobs.data.registered_files import Format
from jobs.data.source_files import SourceFile, filesystem_of, opened
from jobs.register.dialect import MAX_RECORDS, Guess, decoded, dialect_of
from jobs.register.files import Source, entry, joint_pattern

SAMPLE_BYTES = 2 << 20
SAMPLED_FILES = 3


@dataclass(frozen=True)
class Sample:
    """said: keys of the registration's entry about how the file is written. rows: trimmed text, NULL where empty
    (days and times of a typed file keep their type). is_whole: nothing was left out. broken: records that have no
    columns to speak of. modified: unix seconds of the newest file. partition: what the folders' names tell.
    unusable: columns that no role can have, {name: why}."""

    file: str
    said: dict[str, Guess]
    has_names: bool
    rows: pl.DataFrame
    n_files: int
    is_whole: bool
    broken: int
    modified: int
    partition: tuple[str, ...] = ()
    unusable: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> Format:
        return entry(self.file, self.said["format"].value if "format" in self.said else None).kind

    def described(self) -> str:
        files = f"{self.n_files} files, " if self.n_files > 1 else ""
        return f"{files}{self.rows.height:,} records {'in all' if self.is_whole else 'sampled'}"


def sampled(source: Source) -> list[Sample]:
    """One sample of an entry whose files are alike, else one a file. Raises ValueError saying why there is none, and
    OSError or ArrowInvalid for files that cannot be read."""
    if not source.files:
        raise ValueError("is an empty table")
    first, *others = [_read(source, file) for file in _some(source.files)]
    if all(_are_alike(first, other) for other in others):
        return [_joined(replace(first, file=source.file), others, len(source.files), [file for file in source.files])]
    if len(source.files) > 20:
        raise ValueError(f"its {len(source.files)} files have not the same columns")
    return [_read(Source(file.name, [file], source.format), file) for file in source.files]


def merged(samples: list[Sample], names: list[str]) -> list[Sample]:
    """Samples with one header are one entry, where a pattern stands for exactly their files."""
    alike: dict[tuple, list[Sample]] = {}
    for sample in samples:
        is_own = not sample.has_names or sample.n_files > 1 or sample.kind == "delta"
        alike.setdefault((sample.file,) if is_own else _shape(sample), []).append(sample)
    found = []
    for group in alike.values():
        pattern = joint_pattern([sample.file for sample in group], names) if len(group) > 1 else None
        if pattern is None:
            found.extend(group)
        else:
            found.append(_joined(replace(group[0], file=pattern), group[1:], len(group), []))
    return found


def _some(files: list[SourceFile]) -> list[SourceFile]:
    """The first, the middle and the last."""
    n = len(files)
    return files if n <= SAMPLED_FILES else [files[0], files[n // 2], files[-1]]


def _shape(sample: Sample) -> tuple:
    said = tuple(sorted((key, guess.value) for key, guess in sample.said.items() if key != "columns"))
    return said, sample.kind, PurePosixPath(sample.file).suffix, tuple(sorted(sample.rows.columns))


def _are_alike(one: Sample, other: Sample) -> bool:
    """One shape; of JSON, where a record may lack fields, half of the fields."""
    if one.kind != "jsonl" or other.kind != "jsonl":
        return _shape(one) == _shape(other)
    some, more = set(one.rows.columns), set(other.rows.columns)
    return 2 * len(some & more) >= len(some | more)


def _joined(first: Sample, others: list[Sample], n_files: int, files: list[SourceFile]) -> Sample:
    rows = pl.concat([first.rows, *[other.rows for other in others]], how="diagonal_relaxed")
    return replace(
        first,
        rows=rows,
        n_files=n_files,
        is_whole=all(s.is_whole for s in (first, *others)) and (not files or n_files <= SAMPLED_FILES),
        broken=sum(s.broken for s in (first, *others)),
        modified=max([*(s.modified for s in (first, *others)), *(file.modified for file in files)]),
    )


def _read(source: Source, file: SourceFile) -> Sample:
    if (source.format or entry(file.name).kind) in ("parquet", "delta"):
        return _parquet(source, file)
    with opened(file) as stream:
        raw = stream.read(SAMPLE_BYTES)
        is_whole = not stream.read(1)
    is_utf16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff") or raw[:4096].count(0) > len(raw[:4096]) // 4
    if b"\x00" in raw[:4096] and not is_utf16:
        raise ValueError("is neither text nor Parquet")
    text, encoding = decoded(raw, is_whole)
    if not text.strip():
        raise ValueError("is empty")
    if text.lstrip()[:1] in "{[" and _is_json(text):
        return _json_lines(file, text, is_whole)
    return _delimited(file, text, encoding, is_whole)


def _is_json(text: str) -> bool:
    lines = [line for line in text.splitlines()[:20] if line.strip()]
    if lines[0].strip()[:1] == "[":
        raise ValueError("holds one JSON array; recflow reads JSON Lines: an object a line")
    try:
        return all(isinstance(json.loads(line), dict) for line in lines)
    except ValueError:
        raise ValueError("is JSON over several lines; recflow reads JSON Lines: an object a line") from None


def _json_lines(file: SourceFile, text: str, is_whole: bool) -> Sample:
    records, broken = [], 0
    for line in islice(text.splitlines(), MAX_RECORDS):
        try:
            record = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
            records.append(flat_record(record, ","))
        except (ValueError, AttributeError, RecursionError):
            broken += bool(line.strip())
    columns = list(dict.fromkeys(name for record in records for name in record))
    said = {}
    if entry(file.name).kind != "jsonl":
        said["format"] = Guess("jsonl", "each line is a JSON object")
    rows = _texts({name: [record.get(name) for record in records] for name in columns})
    is_all = is_whole and text.count("\n") <= MAX_RECORDS
    return Sample(file.name, said, True, rows, 1, is_all, broken, file.modified)


def _delimited(file: SourceFile, text: str, encoding: Guess, is_whole: bool) -> Sample:
    dialect = dialect_of(text)
    said = {}
    if entry(file.name).kind != "csv":
        said["format"] = Guess("csv", "it is delimited text")
    if dialect.delimiter.value != entry(file.name).separator:
        said["delimiter"] = dialect.delimiter
    if dialect.quote.value != '"':
        said["quote"] = dialect.quote
    if dialect.header.value is not True or dialect.header.doubt:
        said["header"] = dialect.header
    if encoding.value != "utf-8" or encoding.doubt:
        said["encoding"] = encoding
    twice = {name for name in dialect.columns if dialect.columns.count(name) > 1 or not name}
    columns = list(zip(*dialect.records, strict=True)) or [()] * len(dialect.columns)
    pairs = [pair for pair in zip(dialect.columns, columns, strict=True) if pair[0] not in twice]
    rows = _texts(dict(pairs))
    is_all = is_whole and len(dialect.records) + dialect.broken < MAX_RECORDS
    has_names = bool(dialect.header.value)
    told = tuple(name for name in file.partition if name not in rows.columns)
    unusable = {name: "is in the header twice" if name else "a column without a name" for name in sorted(twice)}
    return Sample(file.name, said, has_names, rows, 1, is_all, dialect.broken, file.modified, told, unusable)


def _texts(columns: dict) -> pl.DataFrame:
    rows = pl.DataFrame({name: [v or None for v in values] for name, values in columns.items()}, strict=False)
    texts = rows.select(pl.all().cast(pl.String).str.strip_chars())
    return texts.select(pl.when(pl.col(c) != "").then(pl.col(c)).alias(c) for c in texts.columns)


def _parquet(source: Source, file: SourceFile) -> Sample:
    filesystem, path = filesystem_of(file.address)
    with filesystem.open_input_file(path) as stream:
        parquet = pq.ParquetFile(stream)
        batches = parquet.iter_batches(MAX_RECORDS)
        batch = next(batches, None) or pa.RecordBatch.from_pylist([], parquet.schema_arrow)
        n_rows = parquet.metadata.num_rows
    rows = pl.DataFrame(pl.from_arrow(batch))
    told = {name: pl.lit(value) for name, value in file.partition.items() if name not in rows.columns}
    rows = rows.with_columns(**told)
    texts, unusable = _typed_texts(rows)
    said = {}
    if source.format:
        why = "it has a _delta_log" if source.format == "delta" else "a folder of Parquet files"
        said["format"] = Guess(source.format, why)
    is_all = n_rows == rows.height
    return Sample(source.file, said, True, texts, 1, is_all, 0, file.modified, tuple(told), unusable)


def _typed_texts(rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    """The columns that the reader makes text of, or leaves as times, and the others with their types."""
    texts, unusable = [], {}
    for name, dtype in rows.schema.items():
        try:
            text = rows.select(as_text(name, dtype, ",").alias(name)).to_series()
        except pl.exceptions.PolarsError:
            unusable[name] = f"is of type {dtype}"
            continue
        if isinstance(dtype, pl.Struct):
            unusable[name] = "holds nested values"
        else:
            texts.append(text)
    return pl.DataFrame(texts), unusable
