"""Batch inference over a published bundle: JSON Lines in, JSON Lines out, one line for each. Free of Spark.

    users-to-items  {"userId": "1"}                           -> {"recommendedItems": [...], "scores": [...]}
    related         {"itemId": "105"}                         -> {"recommendedItems": [...], "scores": [...]}
    rank            {"userId": "1", "itemList": ["a", "b"]}   -> {"recommendedItems": [...], "scores": [...]}
    users           {"itemId": "105"}                         -> {"recommendedUsers": [...], "scores": [...]}

Lists and related items are those that were published. `rank` and `users` are scored by the bundle's model, equal scores
by id; `users` are those who have a list. A line of output is {"input", "output", "error"}: a line that cannot be served
has output null and says why, and the others go on. Source of the shape: Amazon Personalize's batch inference jobs.

Lines are taken block by block, so memory does not grow with them; what the shape needs of the bundle is read once.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.lib.errors import RecflowError
from jobs.serve.lists import ROWS, Lists, lists_of_users, related_items
from jobs.serve.published import Bundle
from jobs.serve.scoring import Scoring
from jobs.serve.segments import best_users

log = logging.getLogger("recflow")

FIELDS = {"users-to-items": {"userId"}, "related": {"itemId"}, "rank": {"userId", "itemList"}, "users": {"itemId"}}
SHAPES = tuple(FIELDS)
LINES_AT_ONCE = {"users-to-items": 5_000, "related": 5_000, "rank": 200, "users": 50}
MOST_ITEMS = 1_000  # of one list to rank
SHOWN = 1_000  # characters of a line that is no JSON


@dataclass(frozen=True)
class Line:
    """One line of input; error says why it cannot be served."""

    given: Any
    error: str | None = None


Answer = dict | str  # what goes out, or why nothing does
Served = Callable[[list[dict]], list[Answer]]


def batch(
    bundle: Bundle, given: Path, out: Path, shape: str | None = None, size: int = 20, recall: str | None = None
) -> tuple[int, int]:
    """(lines, lines with an error). out is replaced when every line is written, or left as it was.

    shape: None takes that of the first line that is any, an `itemId` meaning related items.
    """
    if size < 1:
        raise RecflowError(f"--size is {size}; at least 1 is needed")
    if not given.is_file():
        raise RecflowError(f"no file at {given}")
    if recall is not None and shape not in (None, "related"):
        raise RecflowError(f"--recall goes with the shape related, not with {shape}")
    with given.open("rb") as lines, _replacing(out) as written:
        read = (line.strip() for line in lines)
        kept = (line for line in read if line)
        if shape is None:
            shape, kept = _guessed(kept, given)
        serve, total, failed = served(bundle, shape, size, recall), 0, 0
        while block := list(islice(kept, LINES_AT_ONCE[shape])):
            for line in answered([parsed(text, shape) for text in block], serve):
                text = json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
                written.write(text.encode() + b"\n")
                total, failed = total + 1, failed + (line["error"] is not None)
    return total, failed


def parsed(text: bytes, shape: str) -> Line:
    """What a line asks for, with the fields of its shape."""
    try:
        given = json.loads(text, parse_constant=_refused)
        # What cannot be answered in JSON either: numbers beyond all bounds, halves of characters.
        json.dumps(given, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and UnicodeEncodeError are ValueErrors
        return Line(text[:SHOWN].decode("utf-8", "replace"), f"no JSON: {error}")
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


def _refused(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _problem_of_list(items: Any) -> str | None:
    if not isinstance(items, list) or not items or not all(isinstance(item, str) for item in items):
        return "itemList: a list of texts is expected"
    if len(items) > MOST_ITEMS:
        return f"itemList: {len(items):,} items, {MOST_ITEMS:,} are possible"
    return "itemList: an item is there twice" if len(set(items)) < len(items) else None


def answered(lines: list[Line], serve: Served) -> Iterator[dict]:
    """Each line with what was made of it, in their order."""
    answers = iter(serve([line.given for line in lines if line.error is None]))
    for line in lines:
        answer = line.error if line.error is not None else next(answers)
        is_error = isinstance(answer, str)
        yield {"input": line.given, "output": None if is_error else answer, "error": answer if is_error else None}


def served(bundle: Bundle, shape: str, size: int, recall: str | None) -> Served:
    """What answers lines of a shape."""
    if shape in ("users-to-items", "related"):
        field = "userId" if shape == "users-to-items" else "itemId"
        lists = lists_of_users(bundle) if field == "userId" else related_items(bundle, recall)
        log.info("%s: lists of %s, %s MB", bundle.address, f"{len(lists.keys):,}", f"{lists.size / 1e6:,.0f}")
        return lambda given: _looked_up(lists, field, given, size)
    scoring = Scoring(bundle)
    log.info(
        "%s: %s users and %s items, %s MB", bundle.address, f"{len(scoring.users.ids):,}", f"{len(scoring.items):,}",
        f"{scoring.size / 1e6:,.0f}",
    )  # fmt: skip
    if shape == "rank":
        return lambda given: _ranked(scoring, given)
    listed = bundle.rows(ROWS, ["user_id"]).column("user_id").combine_chunks().unique()
    return lambda given: _segments(scoring, listed, given, size)


def _looked_up(lists: Lists, field: str, given: list[dict], size: int) -> list[Answer]:
    found = lists.of([line[field] for line in given], size)
    return [
        f"{field}: the bundle has no list for {line[field]!r}" if one is None else _items(*one)
        for line, one in zip(given, found, strict=True)
    ]


def _items(items: list[str], scores: list[float]) -> dict:
    return {"recommendedItems": items, "scores": scores}


def _ranked(scoring: Scoring, given: list[dict]) -> list[Answer]:
    """Every item of each list, by the model's score for its user."""
    problems = _problems(scoring, given)
    good = [line for line, problem in zip(given, problems, strict=True) if problem is None]
    pairs = [(line["userId"], item) for line in good for item in line["itemList"]]
    users, items = (pa.array([pair[n] for pair in pairs], pa.string()) for n in (0, 1))
    scores = scoring.scores(users, items) if pairs else np.zeros(0)
    ends = np.cumsum([len(line["itemList"]) for line in good])
    parts = iter(np.split(scores, ends[:-1]) if good else [])
    answers: list[Answer] = []
    for line, problem in zip(given, problems, strict=True):
        if problem is None:
            ordered = sorted(
                zip(line["itemList"], next(parts).tolist(), strict=True), key=lambda p: (-p[1], p[0].encode())
            )
            answers.append(_items([item for item, _ in ordered], [score for _, score in ordered]))
        else:
            answers.append(problem)
    return answers


def _problems(scoring: Scoring, given: list[dict]) -> list[str | None]:
    """Per line the first id that the bundle does not know, in words."""
    problems: list[str | None] = [None] * len(given)
    for field, known in (("userId", scoring.users.ids), ("itemList", scoring.item_ids), ("itemId", scoring.item_ids)):
        asked = [(n, one) for n, line in enumerate(given) for one in _listed(line.get(field, []))]
        is_known = pc.is_in(pa.array([one for _, one in asked], pa.string()), value_set=known).to_pylist()
        for (n, one), there in zip(asked, is_known, strict=True):
            if not there and problems[n] is None:
                problems[n] = f"{field}: {one!r} is not known to the bundle"
    return problems


def _listed(ids: str | list[str]) -> list[str]:
    return [ids] if isinstance(ids, str) else ids


def _segments(scoring: Scoring, listed: pa.Array, given: list[dict], size: int) -> list[Answer]:
    problems = _problems(scoring, given)
    items = list(dict.fromkeys(line["itemId"] for line, p in zip(given, problems, strict=True) if p is None))
    best = best_users(scoring, listed, items, size) if items else {}
    answers: list[Answer] = []
    for line, problem in zip(given, problems, strict=True):
        users, scores = best.get(line["itemId"], ([], []))
        answers.append(problem or {"recommendedUsers": users, "scores": scores})
    return answers


def _guessed(lines: Iterator[bytes], given: Path) -> tuple[str, Iterator[bytes]]:
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


class _replacing:
    """A file that takes the place of another one once it is whole."""

    def __init__(self, path: Path) -> None:
        self._path, self._temporary = path, path.parent / f".{path.name}.{uuid.uuid4().hex}~"

    def __enter__(self) -> Any:
        if self._path.exists() and not self._path.is_file():
            raise RecflowError(f"{self._path} is no regular file")
        try:
            self._file = self._temporary.open("xb")
        except OSError as error:
            raise RecflowError(f"{self._path} cannot be written: {error.strerror}") from error
        return self._file

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            with self._file:
                if kind is None:
                    self._file.flush()
                    os.fsync(self._file.fileno())
            if kind is None:
                os.replace(self._temporary, self._path)
        except OSError as error:
            raise RecflowError(f"{self._path} cannot be written: {error.strerror}") from error
        finally:
            self._temporary.unlink(missing_ok=True)
