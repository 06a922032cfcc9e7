"""String forms that the pairec engine reads: one key, and its items as one comma-separated string.

Two-part tokens `item:score` belong to i2i tables (`item_id, similar_item_ids`). Direct u2i, grouped hot and global hot
take three parts `item:recall_name:score`: there pairec reads a two-part token as item and recall. Source: pairec's
`service/recall` readers.

Scores are written as Python's repr: the shortest decimal that reads back to the same double (`0.25`, `1e-05`, `3.0`).
"""

from __future__ import annotations

from collections.abc import Iterable

EVERYONE = "-1"  # the key of the global hot list


def two_part(items: Iterable[tuple[str, float]]) -> str:
    """`item:score,item:score` in the order given (best first)."""
    return ",".join(f"{item}:{score!r}" for item, score in _writable(items))


def three_part(items: Iterable[tuple[str, float]], recall: str) -> str:
    """`item:recall:score,item:recall:score` in the order given (best first)."""
    return ",".join(f"{item}:{recall}:{score!r}" for item, score in _writable(items))


def is_writable(item: str) -> bool:
    """Ids that contain a separator cannot be told apart in these forms; they are left out (long forms keep them)."""
    return ":" not in item and "," not in item


def _writable(items: Iterable[tuple[str, float]]) -> Iterable[tuple[str, float]]:
    return ((item, float(score)) for item, score in items if is_writable(item))
