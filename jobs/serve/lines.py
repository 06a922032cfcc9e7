"""Lines of batch input: what each asks for, or why it cannot be served. Free of Spark."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

FIELDS = {"users-to-items": {"userId"}, "related": {"itemId"}, "rank": {"userId", "itemList"}, "users": {"itemId"}}
SHAPES = tuple(FIELDS)
MOST_ITEMS = 1_000  # of one list to rank
LONGEST = 1_000_000  # bytes of a line
BLOCK = 20_000_000  # bytes of lines that are held at a time
SHOWN = 1_000  # characters of a line that is no JSON


@dataclass(frozen=True)
class Line:
    """One line of input; error says why it cannot be served."""

    given: Any
    error: str | None = None


def lines_of(file: BinaryIO) -> Iterator[bytes | Line]:
    """Every line. Of one that is longer than LONGEST only what is shown of it is held."""
    while text := file.readline(LONGEST + 1):
        if len(text) <= LONGEST or text.endswith(b"\n"):
            yield text.strip()
            continue
        yield Line(_shown(text), f"the line is longer than {LONGEST:,} bytes")
        while (rest := file.readline(LONGEST)) and not rest.endswith(b"\n"):
            pass


def blocks(lines: Iterable[bytes | Line], most: int) -> Iterator[list[bytes | Line]]:
    """At most so many lines at a time, and fewer where they are BLOCK bytes."""
    block, size = [], 0
    for line in lines:
        block.append(line)
        size += len(line) if isinstance(line, bytes) else len(line.given)
        if len(block) == most or size >= BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def guessed(lines: Iterable[bytes | Line]) -> str | None:
    """The shape of the first line that can be served, else of the first with the fields of one; None where none is."""
    named = None
    for line in map(_loaded, lines):
        for shape in SHAPES if isinstance(line.given, dict) else ():
            if _problem(line.given, shape) is None:
                return shape
            if named is None and set(line.given) == FIELDS[shape]:
                named = shape
    return named


def parsed(text: bytes | Line, shape: str | None) -> Line:
    """What a line asks for, with the fields of its shape."""
    line = _loaded(text)
    return line if line.error is not None else Line(line.given, _problem(line.given, shape))


def _loaded(text: bytes | Line) -> Line:
    if isinstance(text, Line):
        return text
    if not text:
        return Line("", "the line is empty")
    try:
        given = json.loads(text, parse_constant=_refused, object_pairs_hook=_distinct)
        # What cannot be answered in JSON either: numbers beyond all bounds, halves of characters.
        json.dumps(given, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and UnicodeEncodeError are ValueErrors
        return Line(_shown(text), f"no JSON: {error}")
    return Line(given)


def _problem(given: Any, shape: str | None) -> str | None:
    """Why it is nothing that can be served."""
    if not isinstance(given, dict):
        return "an object is expected"
    fields = ", ".join(given)[:SHOWN] or "none"
    if shape is None:
        return f"no shape takes the fields {fields}"
    wanted = FIELDS[shape]
    if set(given) != wanted:
        return f"{shape} takes the fields {', '.join(sorted(wanted))}, not {fields}"
    for name in wanted - {"itemList"}:
        if not isinstance(given[name], str) or not given[name]:
            return f"{name}: text is expected"
    return _problem_of_list(given["itemList"]) if "itemList" in wanted else None


def _shown(text: bytes) -> str:
    return text[:SHOWN].decode("utf-8", "replace")


def _refused(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; what it means is not said where a name is there twice."""
    found = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:SHOWN]!r} is there twice")
        found[name] = value
    return found


def _problem_of_list(items: Any) -> str | None:
    if not isinstance(items, list) or not items or not all(isinstance(item, str) for item in items):
        return "itemList: a list of texts is expected"
    if len(items) > MOST_ITEMS:
        return f"itemList: {len(items):,} items, {MOST_ITEMS:,} are possible"
    return "itemList: an item is there twice" if len(set(items)) < len(items) else None
