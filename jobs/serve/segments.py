"""The users who suit an item best, by the model's score of every user with a list. Free of Spark."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from jobs.serve.scoring import Scoring

PAIRS_AT_ONCE = 200_000


def best_users(
    scoring: Scoring, users: pa.Array, items: list[str], size: int
) -> dict[str, tuple[list[str], list[float]]]:
    """Per item the `size` users with the highest scores, equal scores by id. Each block of users is described once for
    all the items."""
    best = {item: (pa.array([], pa.string()), np.zeros(0)) for item in items}
    for block in range(0, len(users), step := max(1, PAIRS_AT_ONCE // len(items))):
        some = users.slice(block, step)
        pairs = some.take(pa.array(np.repeat(np.arange(len(some)), len(items))))
        scores = scoring.scores(pairs, pa.array(items * len(some), pa.string()))
        for number, item in enumerate(items):
            ids, found = best[item]
            best[item] = _top(pa.concat_arrays([ids, some]), np.append(found, scores[number :: len(items)]), size)
    return {item: (ids.to_pylist(), scores.tolist()) for item, (ids, scores) in best.items()}


def _top(ids: pa.Array, scores: np.ndarray, size: int) -> tuple[pa.Array, np.ndarray]:
    """Highest first, equal scores by the bytes of the id, as Arrow sorts text."""
    rows = pa.table({"score": scores, "id": ids}).sort_by([("score", "descending"), ("id", "ascending")]).slice(0, size)
    return rows.column("id").combine_chunks(), rows.column("score").to_numpy()
