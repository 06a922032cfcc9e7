"""Delimited text as chunks, with the line of every record, kept or broken."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from jobs.data.chunks import MAX_VALUE_BYTES, NOT_DECODED, SHOWN_LENGTH, Broken, Chunk, chunk, refuse_missing
from jobs.data.registered_files import File
from jobs.data.source_files import ImportRefused, SourceFile, opened
from jobs.data.transcoded import Transcoded

BLOCK_BYTES = 16 << 20  # a record must fit into one block


def csv_chunks(file: SourceFile, spec: File) -> Iterator[Chunk]:
    columns = spec.columns or header_of(file, spec)
    refuse_missing(file, spec, columns)
    names = [f"_{i}" for i in range(len(columns))]  # by position: a file may use any name, even the same one twice
    broken: list[pacsv.InvalidRow] = []

    def keep_aside(row: pacsv.InvalidRow) -> str:
        broken.append(row)
        return "skip"

    stream = opened(file)
    if spec.encoding != "utf-8":
        stream = Transcoded(stream, spec.encoding)
    try:
        batches = pacsv.open_csv(
            stream,
            read_options=pacsv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=names),
            parse_options=pacsv.ParseOptions(
                delimiter=spec.separator,
                quote_char=spec.quote or False,
                newlines_in_values=bool(spec.quote),
                ignore_empty_lines=False,
                invalid_row_handler=keep_aside,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.binary()), strings_can_be_null=True, null_values=[""]
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return
        raise
    numbering = _Numbering(file.first_line)
    used = {column: names[columns.index(column)] for column in spec.used_columns()}
    for batch in batches:
        lines, told = numbering.lines(batch, broken, bool(spec.quote))
        broken.clear()
        rows, suspects, padded = _texts(batch, used, spec.encoding)
        torn = [column for column in spec.key_columns() if b"\n" in _bytes(batch.column(used[column]))]
        keep = ~_is_blank(batch)
        if spec.header and lines.len() and lines[0] == 1:
            keep[0] = False
        rows = rows.with_columns(line=lines)
        rows = rows if keep.all() else rows.filter(keep)
        yield chunk(rows, _told(told, len(columns)), spec.encoding, suspects, padded, torn)
    if numbering.ends_in_a_line_break and _ends_open(file, spec):
        told = f"a quote opened on line {lines[-1]:,} is not closed"
        raise ImportRefused(f"{file.address}: {told}, so all that follows would be one value")
    if broken:
        none = pl.DataFrame(schema=dict.fromkeys(used, pl.String) | {"line": pl.Int64})
        yield chunk(none, _told(numbering.rest(broken), len(columns)), spec.encoding, (), ())


class _Numbering:
    """Lines of records: pyarrow numbers only the rows that it skips, and counts records, which may span lines."""

    def __init__(self, first_line: int) -> None:
        self.record, self.line, self.ends_in_a_line_break = 1, first_line, False

    def lines(
        self, batch: pa.RecordBatch, skipped: list[pacsv.InvalidRow], has_quotes: bool
    ) -> tuple[pl.Series, list[tuple[int, pacsv.InvalidRow]]]:
        """The line of each row of the batch, and of the rows that were skipped among them."""
        inner = _line_breaks(batch) if has_quotes else None
        n = batch.num_rows + len(skipped)
        last = batch.column(batch.num_columns - 1)[-1].as_py() if inner and inner[-1] else None
        self.ends_in_a_line_break = b"\n" in (last or b"")
        if not skipped and inner is None:
            lines = pl.int_range(self.line, self.line + n, eager=True)
            self.record, self.line = self.record + n, self.line + n
            return lines, []
        breaks = [1] * n
        at = {row.number - self.record: row for row in skipped}
        kept = [i for i in range(n) if i not in at]
        for i, row in at.items():
            breaks[i] += row.text.count("\n")
        for i, extra in zip(kept, inner or [0] * len(kept), strict=True):
            breaks[i] += extra
        starts = pl.Series([0, *breaks]).cum_sum() + self.line
        self.record, self.line = self.record + n, int(starts[-1])
        return starts.gather(kept), [(int(starts[i]), row) for i, row in sorted(at.items())]

    def rest(self, skipped: list[pacsv.InvalidRow]) -> list[tuple[int, pacsv.InvalidRow]]:
        return [(self.line + row.number - self.record, row) for row in skipped]


def _ends_open(file: SourceFile, spec: File) -> bool:
    """Does the file, whose last record has a line break in a value, end within quotes?"""
    tail = b""
    with opened(file) as stream:
        while block := stream.read(BLOCK_BYTES):
            tail = (tail + block)[-64:]
    return not tail.rstrip(b"\r\n\x00 ").endswith(spec.quote.encode())


def _line_breaks(batch: pa.RecordBatch) -> list[int] | None:
    """Line breaks within the values of each row; None when there are none at all, as nearly always."""
    columns = [column for column in batch.columns if b"\n" in _bytes(column)]
    if not columns:
        return None
    counts = (pc.fill_null(pc.count_substring(column, b"\n"), 0).to_pylist() for column in columns)
    return [sum(row) for row in zip(*counts, strict=True)]


def _is_blank(batch: pa.RecordBatch) -> pl.Series:
    """Rows without a single character: an empty line is no record."""
    blank = pc.is_null(batch.column(0))
    for column in batch.columns[1:]:
        if not pc.any(blank).as_py():
            break
        blank = pc.and_(blank, pc.is_null(column))
    return pl.Series(blank).cast(pl.Boolean)


def _bytes(column: pa.BinaryArray) -> bytes:
    """All values of a column, one after the other."""
    return column.buffers()[2].to_pybytes() if column.buffers()[2] else b""


def _told(rows: list[tuple[int, pacsv.InvalidRow]], n_columns: int) -> list[Broken]:
    told = []
    for line, row in rows:
        inside = row.text.count("\n")
        quote = f", over {inside + 1} lines: is a quote not closed?" if inside else ""
        reason = f"has {row.actual_columns} columns, the file {n_columns}{quote}"
        told.append(Broken(line, reason, row.text[:SHOWN_LENGTH], inside))
    return told


def header_of(file: SourceFile, spec: File) -> list[str]:
    """The names in the header; of an empty file none are missing. Raises ImportRefused for what is no header."""
    with opened(replace(file, end=None)) as stream:
        start = stream.read(1 << 20)
    if not start:
        raise ImportRefused(f"{file.address}: is empty, a header line is expected")
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") and not spec.encoding.startswith("utf-16"):
        raise ImportRefused(f"{file.address}: is UTF-16, not {spec.encoding}: say `encoding: utf-16`")
    try:
        text = start.decode(spec.encoding, errors="strict" if len(start) < 1 << 20 else "replace")
    except UnicodeDecodeError:
        text = start.decode(spec.encoding, errors="replace")
    quoting = csv.QUOTE_MINIMAL if spec.quote else csv.QUOTE_NONE
    reader = csv.reader(
        io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=spec.separator, quotechar=spec.quote, quoting=quoting
    )
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise ImportRefused(f"{file.address}: the header cannot be read: {error}") from None
    if spec.header == "name:type":
        names = [name.rsplit(":", 1)[0] for name in names]
    for column in spec.used_columns():
        if names.count(column) > 1:
            raise ImportRefused(f"{file.address}: column {column!r} is there twice")
    return names


def _texts(batch: pa.RecordBatch, used: dict[str, str], encoding: str) -> tuple[pl.DataFrame, list[str], list[str]]:
    """Binary columns as text, and which of them may hold what no text should, or spaces around values.

    Bytes that are no UTF-8 become U+FFFD, which marks the value.
    """
    named, suspects, padded = {}, [], []
    for column, name in used.items():
        values, raw = batch.column(name), _bytes(batch.column(name))
        is_suspect = b"\x00" in raw or (encoding != "utf-8" and NOT_DECODED.encode() in raw)
        try:
            named[column] = values.cast(pa.string())
        except pa.ArrowInvalid:
            decoded = [v if v is None else v.decode("utf-8", errors="replace") for v in values.to_pylist()]
            named[column], is_suspect = pa.array(decoded, pa.string()), True
        if is_suspect or len(raw) > MAX_VALUE_BYTES and pc.max(pc.binary_length(values)).as_py() > MAX_VALUE_BYTES:
            suspects.append(column)
        if any(space in raw for space in (b" ", b"\t", b"\n", b"\r")) or not raw.isascii():
            padded.append(column)
    return pl.DataFrame(pl.from_arrow(pa.table(named))), suspects, padded
