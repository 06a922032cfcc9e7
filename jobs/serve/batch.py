"""Batch inference over a published bundle: JSON Lines in, JSON Lines out, one line for each. Free of Spark.

    users-to-items  {"userId": "1"}                           -> {"recommendedItems": [...], "scores": [...]}
    related         {"itemId": "105"}                         -> {"recommendedItems": [...], "scores": [...]}
    rank            {"userId": "1", "itemList": ["a", "b"]}   -> {"recommendedItems": [...], "scores": [...]}
    users           {"itemId": "105"}                         -> {"recommendedUsers": [...], "scores": [...]}

Lists and related items are those that were published. `rank` and `users` are scored by the bundle's model, equal scores
by id; `users` are those who have a list. A line of output is {"input", "output", "error"}: a line that cannot be served
has output null and says why, and the others go on. Source of the shape: Amazon Personalize's batch inference jobs.

Where lists are filtered, nothing is answered that a filter removes. Outputs then say beside it: of `rank`, `removed`:
item -> its filters; of `users`, `removedUsers`: filter -> how many it kept from the item; of `related`, which knows no
user, `filtersNotApplied`, where there are any: filters that ask for one.

An empty line is an error too: line n of the output is that of line n. Lines are taken block by block, so memory does
not grow with them, however long they are; what the shape needs of the bundle is read once.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.lib.errors import RecflowError
from jobs.serve.filtering import Filtering, names_by_place
from jobs.serve.lines import Line, blocks, guessed, lines_of, parsed
from jobs.serve.lists import Lists, lists_of_users, related_items, users_with_a_list
from jobs.serve.published import Bundle
from jobs.serve.scoring import Scoring
from jobs.serve.segments import best_users
from jobs.serve.user_ids import ids_among

log = logging.getLogger("recflow")

LINES_AT_ONCE = {"users-to-items": 5_000, "related": 5_000, "rank": 200, "users": 50}
MOST_USERS = 1_000_000  # for one item, and for the items of lines that are answered at once


Answer = dict | str  # what goes out, or why nothing does
Served = Callable[[list[dict]], Iterable[Answer]]


def batch(
    bundle: Bundle, given: Path, out: Path, shape: str | None = None, size: int = 20, recall: str | None = None
) -> tuple[int, int]:
    """(lines, lines with an error). out is replaced when every line is written, or left as it was.

    shape: None takes that of the first line that is any, an `itemId` meaning related items; where no line is, each is
    an error of its own.
    """
    if size < 1:
        raise RecflowError(f"--size is {size}; at least 1 is needed")
    if not given.is_file():
        raise RecflowError(f"no file at {given}")
    with given.open("rb") as lines, _replacing(out) as written:
        if shape is None:
            if not given.stat().st_size:
                raise RecflowError(f"{given} is empty: say with --shape what its lines would ask for")
            shape = guessed(lines_of(lines))
            lines.seek(0)
        if recall is not None and shape not in (None, "related"):
            raise RecflowError(f"--recall goes with the shape related, not with {shape}")
        if shape == "users" and size > MOST_USERS:
            raise RecflowError(f"--size is {size:,}; {MOST_USERS:,} users for an item are possible")
        serve, total, failed = served(bundle, shape, size, recall), 0, 0
        for block in blocks(lines_of(lines), _at_once(shape, size)):
            for line in answered([parsed(text, shape) for text in block], serve):
                text = json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
                written.write(text.encode() + b"\n")
                total, failed = total + 1, failed + (line["error"] is not None)
    return total, failed


def answered(lines: list[Line], serve: Served) -> Iterator[dict]:
    """Each line with what was made of it, in their order."""
    answers = iter(serve([line.given for line in lines if line.error is None]))
    for line in lines:
        answer = line.error if line.error is not None else next(answers)
        is_error = isinstance(answer, str)
        yield {"input": line.given, "output": None if is_error else answer, "error": answer if is_error else None}


def _at_once(shape: str | None, size: int) -> int:
    most = LINES_AT_ONCE.get(shape, 1_000)
    return max(1, min(most, MOST_USERS // size)) if shape == "users" else most


def served(bundle: Bundle, shape: str | None, size: int, recall: str | None) -> Served:
    """What answers lines of a shape; of none there is nothing to answer."""
    if shape is None:
        return lambda given: ()
    if shape == "users-to-items":
        lists = _logged(bundle, lists_of_users(bundle))
        return lambda given: _looked_up(lists, "userId", size, {}, ids_among(lists.keys, given))
    filtering = Filtering(bundle)
    if shape == "related":
        lists, left = related_items(bundle, filtering, recall), filtering.about_users
        return partial(_looked_up, _logged(bundle, lists), "itemId", size, {"filtersNotApplied": left} if left else {})
    scoring = Scoring(bundle)
    log.info(
        "%s: %s users and %s items, %s MB", bundle.address, f"{len(scoring.users.ids):,}", f"{len(scoring.items):,}",
        f"{(scoring.size + filtering.size) / 1e6:,.0f}",
    )  # fmt: skip
    if shape == "rank":
        return lambda given: _ranked(scoring, filtering, ids_among(scoring.users.ids, given))
    return partial(_segments, scoring, filtering, users_with_a_list(bundle), size)


def _logged(bundle: Bundle, lists: Lists) -> Lists:
    log.info("%s: lists of %s, %s MB", bundle.address, f"{len(lists.keys):,}", f"{lists.size / 1e6:,.0f}")
    return lists


def _looked_up(lists: Lists, field: str, size: int, more: dict, given: list[dict]) -> list[Answer]:
    found = lists.of([line[field] for line in given], size)
    return [
        f"{field}: the bundle has no list for {line[field]!r}" if one is None else _items(*one) | more
        for line, one in zip(given, found, strict=True)
    ]


def _items(items: list[str], scores: list[float]) -> dict:
    return {"recommendedItems": items, "scores": scores}


def _ranked(scoring: Scoring, filtering: Filtering, given: list[dict]) -> list[Answer]:
    """Of each list the items that no filter keeps from its user, by the model's score."""
    problems = _problems(scoring, given)
    good = [line for line, problem in zip(given, problems, strict=True) if problem is None]
    pairs = [(line["userId"], item) for line in good for item in line["itemList"]]
    users, items = (pa.array([pair[n] for pair in pairs], pa.string()) for n in (0, 1))
    scores = scoring.scores(users, items).tolist() if pairs else []
    judged = zip(items.to_pylist(), scores, names_by_place(filtering.removed(users, items), len(pairs)), strict=True)
    answers: list[Answer] = []
    for line, problem in zip(given, problems, strict=True):
        if problem is not None:
            answers.append(problem)
            continue
        own = list(islice(judged, len(line["itemList"])))
        kept = sorted(((item, score) for item, score, names in own if not names), key=lambda p: (-p[1], p[0].encode()))
        removed = {"removed": {item: names for item, _, names in own if names}} if filtering.filters else {}
        answers.append(_items([item for item, _ in kept], [score for _, score in kept]) | removed)
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


def _segments(
    scoring: Scoring, filtering: Filtering, listed: pa.Array, size: int, given: list[dict]
) -> Iterator[Answer]:
    problems = _problems(scoring, given)
    items = list(dict.fromkeys(line["itemId"] for line, p in zip(given, problems, strict=True) if p is None))
    best = best_users(scoring, filtering, listed, items, size) if items else {}
    for line, problem in zip(given, problems, strict=True):
        if problem is not None:
            yield problem
            continue
        found = best[line["itemId"]]
        removed = {"removedUsers": found.removed} if filtering.filters else {}
        yield {"recommendedUsers": found.users.to_pylist(), "scores": found.scores.tolist()} | removed


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
