"""How a text file is written, from its first bytes: encoding, delimiter, quote, header. Pure functions."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from jobs.register.names import role_names

DELIMITERS = {"\t": "a tab", ",": "a comma", "|": "a bar", ";": "a semicolon", "\x01": "Hive's ^A", " ": "a space"}
MAX_RECORDS = 20_000
_RECBOLE = r"[^:]+:(token|float|token_seq|float_seq)"
_VALUE = r"[-+]?[\d.,]+(e[-+]?\d+)?%?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*|https?:.*|true|false|"


@dataclass(frozen=True)
class Guess:
    """A guessed value: why, what a person should check about it, or (then it is no guess) what is missing."""

    value: Any
    why: str = ""
    doubt: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Dialect:
    """records: as they are read so, the header left out. broken: how many have another number of columns."""

    delimiter: Guess
    quote: Guess
    header: Guess
    columns: list[str]
    records: list[list[str]]
    broken: int


def decoded(raw: bytes, is_whole: bool) -> tuple[str, Guess]:
    """The text and its encoding. Only whole lines of a cut sample."""
    encoding = _encoding(raw, is_whole)
    text = codecs.getincrementaldecoder(encoding.value)(errors="replace").decode(raw, final=is_whole)
    return (text if is_whole else text[: text.rfind("\n") + 1] or text).lstrip("\ufeff"), encoding


def _encoding(raw: bytes, is_whole: bool) -> Guess:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return Guess("utf-16", "it begins with the byte order mark of UTF-16")
    if raw[:4096].count(0) > len(raw[:4096]) // 4:
        is_little = raw[1:4096:2].count(0) > raw[0:4096:2].count(0)
        return Guess("utf-16-le" if is_little else "utf-16-be", "every other byte is NUL, as in UTF-16 of Latin text")
    if _reads(raw, "utf-8", is_whole):
        return Guess("utf-8", "all bytes are UTF-8")
    lines = raw.split(b"\n")
    bad = sum(not _reads(line, "utf-8", True) for line in lines)
    if bad * 100 < len(lines):
        return Guess("utf-8", f"{len(lines) - bad:,} of {len(lines):,} lines are UTF-8", f"{bad} lines are not")
    if _reads(raw, "gb18030", is_whole):
        pairs = re.findall(rb"[\x81-\xfe][\x40-\xfe]", raw)
        common = sum(0xB0 <= pair[0] <= 0xD7 and pair[1] >= 0xA1 for pair in pairs)
        if common >= 0.7 * len(pairs):
            told = f"not UTF-8, and {common / len(pairs):.0%} of the two-byte characters are common Chinese ones in GBK"
            return Guess("gb18030", told, "latin-1 reads any bytes too: do the texts look right?")
    return Guess("latin-1", "not UTF-8 nor likely Chinese", "do accents look right? cp1252, cp1251, big5 or shift_jis?")


def _reads(raw: bytes, encoding: str, is_whole: bool) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(raw, final=is_whole)
    except UnicodeDecodeError:
        return False
    return True


def dialect_of(text: str) -> Dialect:
    """Raises ValueError saying why for text that has no columns that recflow could read."""
    lines = text.splitlines()[:2000]
    if sum("::" in line for line in lines) > 0.98 * len(lines) and not any("\t" in line for line in lines):
        raise ValueError("its columns are separated by '::'; recflow needs a delimiter of one character")
    head = "\n".join(lines)
    tried = [(_fit(head, d), -n, d) for n, d in enumerate(DELIMITERS) if any(d in line for line in lines[:50])]
    (share, _), _, delimiter = max(tried, default=((1.0, 1), 0, ","))
    if share < 0.8:
        raise ValueError(f"no delimiter gives its lines one number of columns (best: {DELIMITERS[delimiter]})")
    quote = _quote(head, delimiter)
    records = _records(text, delimiter, quote.value)
    width = Counter(map(len, records)).most_common(1)[0][0]
    kept = [[value.strip() for value in record] for record in records if len(record) == width]
    told = (
        f"{len(kept) / len(records):.1%} of the records then have {width} columns" if width > 1 else "one column only"
    )
    header = _header(kept)
    names = [f"column_{n}" for n in range(1, width + 1)]
    if header.value:
        names, kept = kept[0], kept[1:]
        if header.value == "name:type":
            names = [name.rsplit(":", 1)[0] for name in names]
    return Dialect(Guess(delimiter, told), quote, header, names, kept, len(records) - len(kept) - bool(header.value))


def _fit(text: str, delimiter: str) -> tuple[float, int]:
    """The share of records with the usual number of columns, and that number: better with quotes, or without."""
    fits = []
    for quote in ('"', None):
        widths = Counter(map(len, _records(text, delimiter, quote)))
        width, n = widths.most_common(1)[0]
        fits.append((min(0.99, round(n / widths.total(), 2)) if width > 1 else 0.0, width))
    return max(fits)


def _quote(text: str, delimiter: str) -> Guess:
    """Quotes count when nearly every value that opens with one closes with one too."""
    edge = re.escape(delimiter)
    opened = len(re.findall(rf'(?:^|{edge})"', text, re.M))
    closed = len(re.findall(rf'(?:^|(?<={edge}))"(?:[^"]|"")*"(?={edge}|$)', text, re.M))
    if not opened:
        is_quoting = delimiter in ",;"
        return Guess('"' if is_quoting else None, "no value opens with a quote; usual with this delimiter")
    if closed >= 0.95 * opened:
        return Guess('"', f"{closed:,} values are in double quotes")
    return Guess(None, f"of {opened:,} values that open with a double quote only {closed:,} close with one")


def _records(text: str, delimiter: str, quote: str | None) -> list[list[str]]:
    csv.field_size_limit(1 << 24)
    quoting = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote, quoting=quoting)
    records: list[list[str]] = []
    for record in reader:
        if any(record):
            records.append(record)
        if len(records) > MAX_RECORDS:
            break
    return records


def _header(records: list[list[str]]) -> Guess:
    first, rest = records[0], records[1:]
    if all(re.fullmatch(_RECBOLE, name) for name in first):
        return Guess("name:type", "the first line is name:type, as RecBole writes it")
    known = [name for name in first if role_names(name)]
    values = [name for name in first if re.fullmatch(_VALUE, name, re.I)]
    if len(known) >= 2 or known and len(first) <= 3:
        return Guess(True, f"the first line has known names: {', '.join(known[:4])}")
    if [value for value in values if value]:
        return Guess(False, f"the first line holds values: {', '.join([v for v in values if v][:3])}")
    below = list(zip(*rest, strict=True)) if rest else [()] * len(first)
    numeric = [n for n, column in zip(first, below, strict=True) if column and all(_is_value(v) for v in column[:200])]
    if numeric:
        return Guess(True, f"the first line is text where all below are numbers: {', '.join(numeric[:3])}")
    if again := [n for n, column in zip(first, below, strict=True) if n in column]:
        return Guess(False, f"values of the first line come again below: {', '.join(again[:3])}")
    if known:
        return Guess(True, f"the first line has a known name: {known[0]}")
    return Guess(True, "the first line does not come again", "is the first line names, or already data?")


def _is_value(text: str) -> bool:
    return bool(re.fullmatch(_VALUE, text, re.I))
