"""Lines of batch input: what each asks for, or why it cannot be served. Free of Spark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from jobs.lib.errors import RecflowError

FIELDS = {"users-to-items": {"userId"}, "related": {"itemId"}, "rank": {"userId", "itemList"}, "users": {"itemId"}}
SHAPES = tuple(FIELDS)
MOST_ITEMS = 1_000  # of one list to rank
LONGEST = 1_000_000  # bytes of a line
SHOWN = 1_000  # characters of a line that is no JSON


@dataclass(frozen=True)
class Line:
    """One line of input; error says why it cannot be served."""

    given: Any
    error: str | None = None


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Every line that is not empty. Of one that is longer than LONGEST only the beginning comes, longer than that too;
    memory never holds more of it."""
    while text := file.readline(LONGEST + 1):
        if len(text) <= LONGEST or text.endswith(b"\n"):
            if stripped := text.strip():
                yield stripped
            continue
        yield text
        while (rest := file.readline(LONGEST)) and not rest.endswith(b"\n"):
            pass


def parsed(text: bytes, shape: str) -> Line:
    """What a line asks for, with the fields of its shape."""
    if len(text) > LONGEST:
        return Line(_shown(text), f"the line is longer than {LONGEST:,} bytes")
    try:
        given = json.loads(text, parse_constant=_refused)
        # What cannot be answered in JSON either: numbers beyond all bounds, halves of characters.
        json.dumps(given, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and UnicodeEncodeError are ValueErrors
        return Line(_shown(text), f"no JSON: {error}")
    if not isinstance(given, dict):
        return Line(given, "an object is expected")
    wanted = FIELDS[shape]
    if set(given) != wanted:
        return Line(
            given, f"{shape} takes the fields {', '.join(sorted(wanted))}, not {', '.join(given)[:SHOWN] or 'none'}"
        )
    for name in wanted - {"itemList"}:
        if not isinstance(given[name], str) or not given[name]:
            return Line(given, f"{name}: text is expected")
    return Line(given, _problem_of_list(given["itemList"]) if "itemList" in wanted else None)


def guessed(lines: Iterator[bytes], given: Path) -> tuple[str, Iterator[bytes]]:
    """The shape of the first line that has any, and all lines again."""
    seen = []
    for text in lines:
        seen.append(text)
        for shape in SHAPES:
            if parsed(text, shape).error is None:
                return shape, chain(seen, lines)
        if len(seen) == SHOWN:
            break
    if not seen:
        raise RecflowError(f"{given} is empty: say with --shape what its lines would ask for")
    raise RecflowError(f"{given}: none of its first {len(seen)} lines is of a known shape; say it with --shape")


def _shown(text: bytes) -> str:
    return text[:SHOWN].decode("utf-8", "replace")


def _refused(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _problem_of_list(items: Any) -> str | None:
    if not isinstance(items, list) or not items or not all(isinstance(item, str) for item in items):
        return "itemList: a list of texts is expected"
    if len(items) > MOST_ITEMS:
        return f"itemList: {len(items):,} items, {MOST_ITEMS:,} are possible"
    return "itemList: an item is there twice" if len(set(items)) < len(items) else None
