"""The users who suit an item best, by the model's score of every user with a list. Free of Spark."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from jobs.serve.filtering import Filtering
from jobs.serve.scoring import Scoring

PAIRS_AT_ONCE = 200_000


@dataclass
class Best:
    """Users, best first. removed: filter -> how many users it keeps the item from."""

    users: pa.Array
    scores: np.ndarray
    removed: dict[str, int] = field(default_factory=dict)


def best_users(scoring: Scoring, filtering: Filtering, users: pa.Array, items: list[str], size: int) -> dict[str, Best]:
    """Per item the `size` users with the highest scores, equal scores by id, of those whom no filter keeps it from.
    Each block of users is described once for all the items."""
    best = {item: Best(pa.array([], users.type), np.zeros(0)) for item in items}
    for block in range(0, len(users), step := max(1, PAIRS_AT_ONCE // len(items))):
        some = users.slice(block, step)
        pairs = some.take(pa.array(np.repeat(np.arange(len(some)), len(items)))).cast(pa.string())
        asked = pa.array(items * len(some), pa.string())
        scores, removed = scoring.scores(pairs, asked), filtering.removed(pairs, asked)
        for number, found in enumerate(best.values()):
            own = slice(number, None, len(items))
            is_kept = np.ones(len(some), bool)
            for name, is_removed in removed.items():
                is_kept &= ~is_removed[own]
                if count := int(is_removed[own].sum()):
                    found.removed[name] = found.removed.get(name, 0) + count
            ids = pa.concat_arrays([found.users, some.filter(pa.array(is_kept))])
            found.users, found.scores = _top(ids, np.append(found.scores, scores[own][is_kept]), size)
    return best


def _top(ids: pa.Array, scores: np.ndarray, size: int) -> tuple[pa.Array, np.ndarray]:
    """Highest first, equal scores by the bytes of the id, as Arrow sorts text."""
    rows = pa.table({"score": scores, "id": ids}).sort_by([("score", "descending"), ("id", "ascending")]).slice(0, size)
    return rows.column("id").combine_chunks(), rows.column("score").to_numpy()
