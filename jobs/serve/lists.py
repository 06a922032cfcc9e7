"""Published lists by key: those of users, and the items related to an item. Free of Spark."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.lib.errors import RecflowError
from jobs.serve.described import offered
from jobs.serve.filtering import Filtering
from jobs.serve.published import Bundle

ROWS, RECALLS = "recommendations/rows", "recall"

Listed = tuple[list[str], list[float]]  # items and scores, best first


class Lists:
    """The lists of a published table whose rows stand together by key, best first."""

    def __init__(self, rows: pa.Table, is_kept: np.ndarray | None = None) -> None:
        """rows: the key, item_id, score; is_kept: which of them count. A key of which none does has an empty list."""
        self.size = rows.nbytes
        encoded = pc.run_end_encode(_long(rows.column(0)).combine_chunks(), run_end_type=pa.int64())
        ends = encoded.run_ends.to_numpy() if len(rows) else np.zeros(0, np.int64)
        self.keys, self._ends = encoded.values, np.append(0, ends)
        if is_kept is not None:
            self._ends, rows = np.append(0, np.cumsum(is_kept))[self._ends], rows.filter(pa.array(is_kept))
        self._items, self._scores = _long(rows.column(1)).combine_chunks(), rows.column(2).combine_chunks()

    def of(self, keys: list[str], size: int) -> list[Listed | None]:
        """The first `size` of each key's list; None where the key has none."""
        found = pc.index_in(pa.array(keys, self.keys.type), value_set=self.keys).to_pylist()
        return [None if at is None else self._first(at, size) for at in found]

    def _first(self, at: int, size: int) -> Listed:
        start, end = int(self._ends[at]), int(self._ends[at + 1])
        rows = slice(start, min(end, start + size))
        return self._items[rows].to_pylist(), self._scores[rows].to_pylist()


def lists_of_users(bundle: Bundle, users: list[str] | None = None) -> Lists:
    """The day's lists; of all users where none are given."""
    return Lists(bundle.rows(ROWS, ["user_id", "item_id", "score"], users))


def users_with_a_list(bundle: Bundle) -> pa.Array:
    return _long(bundle.rows(ROWS, ["user_id"]).column("user_id")).unique()


def related_items(
    bundle: Bundle, filtering: Filtering, recall: str | None = None, items: list[str] | None = None
) -> Lists:
    """What an item-to-item recall says, the one that `i2i_of` chooses where none is named, less what is no
    longer on offer and what the filters keep from everyone."""
    folder = f"{RECALLS}/{i2i_of(bundle, recall)}"
    rows = bundle.rows(folder, ["trigger_item_id", "item_id", "score"], items)
    is_kept, on_offer = filtering.is_kept_for_anyone(rows.column("item_id")), offered(bundle)
    if on_offer is not None:
        is_kept &= pc.is_in(rows.column("item_id"), value_set=on_offer).to_numpy()
    return Lists(rows, is_kept)


def _long(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text that may have more than 2 GiB in one array."""
    return texts.cast(pa.large_string())


def i2i_of(bundle: Bundle, recall: str | None = None) -> str:
    """The item-to-item recall itself; without a name the one whose user lists weigh most in the day's candidates, of
    equal ones the first of the solution. Raises RecflowError where there is none such."""
    lines = bundle.about.get("recalls", [])
    there = [line["name"] for line in lines if line["kind"] == "recall_i2i"]
    if recall is not None and recall not in there:
        raise RecflowError(f"--recall {recall}: the bundle has the item-to-item recalls {', '.join(there) or '(none)'}")
    if not there:
        raise RecflowError(f"{bundle.address} has no item-to-item recall")
    if recall is not None:
        return recall
    weights = {name: [line["weight"] or 0 for line in lines if line["source"] == name] for name in there}
    return max(there, key=lambda name: max(weights[name], default=0))
