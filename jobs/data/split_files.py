"""Large text files cut at line ends, so that several tasks can read one file.

A line end is the end of a record only where no value can hold one: a file with quotes in it is read by one task, as is
a compressed one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from jobs.data.registered_files import File
from jobs.data.source_files import SourceFile, filesystem_of

PIECE_BYTES = 64 << 20
_READ_BYTES = 8 << 20


@dataclass(frozen=True)
class Scan:
    """One stretch of a file. after_first_end: the position after its first line end, None where it has none."""

    start: int
    line_ends: int
    has_quote: bool
    after_first_end: int | None


def pieces_of(files: list[SourceFile], spec: File, run: Callable[[list], list]) -> list[SourceFile]:
    """The files, the large ones in pieces. `run` calls functions without arguments and returns their results."""
    if spec.kind != "csv" or spec.encoding != "utf-8":
        return files
    pieces: list[SourceFile] = []
    for file in files:
        if file.size <= PIECE_BYTES or file.address.endswith(".gz"):
            pieces.append(file)
            continue
        starts = range(0, file.size, PIECE_BYTES)
        scans = run([partial(_scan, file, start, spec.quote) for start in starts])
        pieces += _cut(file, sorted(scans, key=lambda scan: scan.start))
    return pieces


def _cut(file: SourceFile, scans: list[Scan]) -> list[SourceFile]:
    if any(scan.has_quote for scan in scans):
        return [file]
    pieces, start, line, ends = [], 0, 1, 0
    for scan in scans:
        if scan.start and scan.after_first_end is not None:
            pieces.append(replace(file, start=start, end=scan.after_first_end, first_line=line))
            start, line = scan.after_first_end, ends + 2
        ends += scan.line_ends
    return [*pieces, replace(file, start=start, end=file.size, first_line=line)]


def _scan(file: SourceFile, start: int, quote: str | None) -> list[Scan]:
    filesystem, path = filesystem_of(file.address)
    end, at = min(start + PIECE_BYTES, file.size), start
    line_ends, has_quote, first = 0, False, None
    with filesystem.open_input_file(path) as source:
        source.seek(start)
        while at < end and (block := source.read(min(_READ_BYTES, end - at))):
            if first is None and (found := block.find(b"\n")) >= 0:
                first = at + found + 1
            line_ends += block.count(b"\n")
            has_quote = has_quote or (quote is not None and quote.encode() in block)
            at += len(block)
    return [Scan(start, line_ends, has_quote, first)]
