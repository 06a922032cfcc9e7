"""etrec, item-based collaborative filtering: items that the same users acted on.

Grain: one row per (trigger_item_id, item_id). Source: PAI's etrec component (similarity types, min and max behaviors,
alpha, weight) and the PAI-Rec tutorial (30 training days). With Ui the users of item i, Iu the items of user u:

- jaccard |Ui n Uj| / |Ui u Uj|;  cosine |Ui n Uj| / sqrt(|Ui| |Uj|)
- asymcosine (|Ui n Uj| / (|Ui|^alpha |Uj|^(1 - alpha)))^weight, i the trigger: not symmetric unless alpha is 0.5
- wbcosine: sum over common users of 1 / ln(1 + |Iu|), over sqrt(|Ui| |Uj|). PAI does not publish it; this one is ours.
  `damping: p` counts a user |Iu|^-p instead: with 0.75, heavy users say less, which was better on all data tried.

An act is any event with a weight above 0 (or the `event` that the line names), counted once per user and item. Users
with fewer than min_user_behavior or more than max_user_behavior items are left out of every figure, and logged.

With `value: weight` or `playtime` (cosine and asymcosine only) the acts of a user on an item have a value: the sum of
event weights, or of the value that the events carry. |Ui n Uj| becomes the sum of products x.y over common users, |Ui|
the sum of squares. Values count in hundredths and at most as 10,000; one that rounds to 0 is no act.

`heavy_users: sample` keeps max_user_behavior items of a heavy user, `max_users_per_item` so many users of an item:
those with the least hash of (seed, user, item). Every figure is then of the pairs that are left, and the log tells what
is lost.

All sums are of integers (1e-9 units for wbcosine), hence exact. A task holds the coded pairs, some 30 bytes each, by
groups of users where they are many (`histories.py`), and about 100 MB for a block of items.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from jobs.lib.errors import RecflowError
from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution
from jobs.lib.solution_params import RecallParams
from jobs.recall import inputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from jobs.recall.histories import Catalog, Histories

CONTRACT = "recall_i2i"
SETTINGS = ()
COLUMNS = "trigger_item_id string, item_id string, score double, rank int"
SCALE = 1_000_000_000
BLOCK = 4_000_000  # cells (or 16 multiplications) per block
_KINDS = {"wbcosine": 0, "cosine": 0, "asymcosine": 1, "jaccard": 2}  # of `kernels.most_similar`


class Params(RecallParams):
    similarity: Literal["wbcosine", "asymcosine", "jaccard", "cosine"] = "wbcosine"
    value: Literal["none", "weight", "playtime"] = "none"
    window_days: int = Field(30, ge=1, le=400)
    top_n: int = Field(200, ge=1, le=10_000)
    min_user_behavior: int = Field(2, ge=1)
    max_user_behavior: int = Field(500, ge=2)
    heavy_users: Literal["drop", "sample"] = "drop"
    max_users_per_item: int | None = Field(None, ge=1)
    seed: int = Field(7, ge=0, lt=2**63)
    damping: Literal["log"] | Annotated[float, Field(ge=0, le=2)] = "log"  # wbcosine only
    alpha: float = Field(0.5, ge=0, le=1)
    weight: float = Field(1.0, gt=0, allow_inf_nan=False)
    event: str | None = None  # default: every event with a weight above 0

    @model_validator(mode="after")
    def _makes_sense(self) -> Params:
        if self.min_user_behavior > self.max_user_behavior:
            raise ValueError(f"min_user_behavior {self.min_user_behavior} is above max_user_behavior")
        if self.damping != "log" and self.similarity != "wbcosine":
            raise ValueError(f"damping goes with similarity wbcosine, not {self.similarity}")
        if self.value != "none" and self.similarity not in ("cosine", "asymcosine"):
            raise ValueError(f"value: {self.value} goes with similarity cosine or asymcosine, not {self.similarity}")
        return self

    @property
    def events_named(self) -> list[str]:
        """The events that this line refers to; each must be declared in the solution."""
        return [self.event] if self.event else []


def etrec_i2i(acts: DataFrame, params: Params) -> DataFrame:
    """(trigger_item_id, item_id, score, rank) from the (user_id, item_id) rows of the training window.

    With params.value the rows have a third column, value BIGINT in millionths. They may be packed (`packed_acts.py`).
    """
    import numpy as np

    from jobs.recall.histories import histories
    from jobs.recall.packed_acts import Limits
    from jobs.recall.sparse import blocks_of

    session = acts.sparkSession
    is_sampled = params.heavy_users == "sample"
    least, most, per_item = params.min_user_behavior, params.max_user_behavior, params.max_users_per_item
    found, catalog = histories(acts, Limits(least, most, is_sampled, per_item, params.seed), params.name)
    cells = np.minimum(catalog.reached, len(catalog.items))
    bounds = blocks_of(cells + catalog.reached // 16, BLOCK)
    count = len(bounds) - 1
    tasks = max(1, min(count, 4 * session.sparkContext.defaultParallelism))
    return session.range(0, count, 1, tasks).mapInArrow(partial(_similar, found, bounds, params), COLUMNS)


def _similar(
    found: Histories, bounds: np.ndarray, params: Params, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """The rows of the trigger items of some blocks."""
    from jobs.recall.histories import blocks_asked, once
    from jobs.recall.kernels import most_similar
    from jobs.recall.sparse import i2i_rows

    catalog = once(found.shared)
    norms, scale = _norms(catalog, params), SCALE if params.similarity == "wbcosine" else 1
    power = params.weight if params.similarity == "asymcosine" else 1.0
    only = list(_indexed(found, catalog, params)) if len(found.groups) == 1 else None
    for start, end in ((int(bounds[block]), int(bounds[block + 1])) for block in blocks_asked(batches)):
        sums = _sums(only or _indexed(found, catalog, params), catalog, start, end)
        best = most_similar(_KINDS[params.similarity], start, *sums, *norms, scale, power, params.top_n)
        yield from i2i_rows(catalog.items, start, *best)


def _indexed(found: Histories, catalog: Catalog, params: Params) -> Iterator[tuple[np.ndarray, ...]]:
    """Each group as `products` takes it: pairs by item with their factors, pairs by user with their values."""
    import numpy as np

    from jobs.recall.kernels import by_item

    for whole in found.loaded(catalog):
        group = whole if catalog.last_hash is None else whole.only(catalog.is_sampled(whole, params.seed))
        item_ends, users, origin = by_item(group.codes, group.ends, len(catalog.items))
        if params.value != "none":
            factors = group.values[origin]
        elif params.similarity == "wbcosine":
            sizes = np.maximum(group.sizes, 1)
            lessened = np.log1p(sizes) if params.damping == "log" else sizes**params.damping
            factors = np.maximum(np.rint(SCALE / lessened), 1).astype(np.int64)[users]
        else:
            factors = np.ones(len(users), np.int64)
        yield item_ends, users, factors, group.codes, group.ends, group.values


def _sums(groups: Iterable[tuple], catalog: Catalog, start: int, end: int) -> tuple[np.ndarray, ...]:
    """What the common users of a trigger of start:end and any item add up to over all groups: ends, items, sums."""
    import numpy as np
    import scipy.sparse as sp

    from jobs.recall.kernels import products

    shape, total = (end - start, len(catalog.items)), None
    cells = int(catalog.reached[start:end].clip(max=shape[1]).sum())
    for group in groups:
        ends, items, sums = products(start, end, *group, shape[1], cells)
        if len(catalog.codes) == 1:
            return ends, items, sums
        part = sp.csr_matrix((sums, items, ends), shape=shape)
        total = part if total is None else total + part
    return total.indptr.astype(np.int64), total.indices.astype(np.int32), total.data


def _norms(catalog: Catalog, params: Params) -> tuple[np.ndarray, np.ndarray]:
    """What the score divides by, of an item as a trigger and as the other item."""
    import numpy as np

    size = (catalog.users if params.value == "none" else catalog.squares).astype(np.float64)
    if params.similarity == "asymcosine":
        return size**params.alpha, size ** (1 - params.alpha)
    return size, size


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return inputs.reads_of(solution, ds, node.params.window_days, offered=False)


def recalled(at: inputs.Day, params: Params) -> DataFrame:
    from jobs.recall.acts import acts_of_day

    weights = {params.event: 1.0} if params.event else inputs.action_weights(at.solution)
    if params.value == "playtime" and at.solution.tables.behavior.roles.value is None:
        raise RecflowError(
            f"{params.name}: value: playtime needs the role `value` in {at.solution.tables.behavior.table}"
        )
    return etrec_i2i(acts_of_day(at, params.window_days, weights, params.value), params)


def main(days: list[str], solution: Solution, node: Node) -> None:
    inputs.make(recalled, days, solution, node)
