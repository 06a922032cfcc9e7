"""Swing: items linked by pairs of users who acted on both, the more so the less else these users have in common.

Grain: one row per (trigger_item_id, item_id). Source: Apache Flink ML's Swing. Ui are the users of item i, Iu the items
of user u, w(u) = (|Iu| + alpha1)^-beta:

    score(i, j) = sum over pairs u, v of users in Ui n Uj of w(u) w(v) / (alpha2 + |Iu n Iv|)

Of an item's users at most max_user_num_per_item swing for it as a trigger: those with the least hash of (seed, user,
item). Work grows with the square of it. The default 100 costs no quality on MovieLens; 1000 is Flink's, and exact for
items with fewer users. Also ours: top_n 200 as of the other recalls (Flink's k is 100), min_user_behavior 2 (Flink's 10
leaves out most users of young data).

Users with fewer than min_user_behavior or more than max_user_behavior items are left out, and logged. Sums run over the
users in the order of the hash of their id, hence the same bits however rows are partitioned.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

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
BLOCK = 20_000_000  # pairs of users per block, some seconds of work; an item counts as one of 100 users at least
BLOCKS_PER_CORE = 16


class Params(RecallParams):
    window_days: int = Field(30, ge=1, le=400)
    top_n: int = Field(200, ge=1, le=10_000)
    min_user_behavior: int = Field(2, ge=1)
    max_user_behavior: int = Field(1000, ge=2)
    max_user_num_per_item: int = Field(100, ge=2, le=5000)
    min_common_users: int = Field(2, ge=2)
    alpha1: float = Field(15.0, ge=0, allow_inf_nan=False)
    alpha2: float = Field(0.0, ge=0, allow_inf_nan=False)
    beta: float = Field(0.3, ge=0, le=10)
    seed: int = Field(7, ge=0, lt=2**63)
    event: str | None = None  # default: every event with a weight above 0

    @model_validator(mode="after")
    def _some_users_remain(self) -> Params:
        if self.min_user_behavior > self.max_user_behavior:
            raise ValueError(f"min_user_behavior {self.min_user_behavior} is above max_user_behavior")
        return self

    @property
    def events_named(self) -> list[str]:
        """The events that this line refers to; each must be declared in the solution."""
        return [self.event] if self.event else []


def swing_i2i(acts: DataFrame, params: Params) -> DataFrame:
    """(trigger_item_id, item_id, score, rank) from the (user_id, item_id) rows of the training window."""
    import numpy as np

    from jobs.recall.histories import histories
    from jobs.recall.packed_acts import Limits
    from jobs.recall.sparse import blocks_of

    session, cores = acts.sparkSession, acts.sparkSession.sparkContext.defaultParallelism
    limits = Limits(
        params.min_user_behavior, params.max_user_behavior, False, params.max_user_num_per_item, params.seed
    )
    found, catalog = histories(acts, limits, params.name)
    work = catalog.users * np.maximum(catalog.users, 100)
    bounds = blocks_of(work, max(1, min(BLOCK, int(work.sum()) // (BLOCKS_PER_CORE * cores))))
    count = len(bounds) - 1
    tasks = max(1, min(count, 4 * cores))
    return session.range(0, count, 1, tasks).mapInArrow(partial(_similar, found, bounds, params), COLUMNS)


def _similar(
    found: Histories, bounds: np.ndarray, params: Params, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """The rows of the trigger items of some blocks."""
    from jobs.recall.histories import blocks_asked, once
    from jobs.recall.kernels import swings
    from jobs.recall.sparse import i2i_rows

    catalog = once(found.shared)
    n_items, only = len(catalog.items), None
    for start, end in ((int(bounds[block]), int(bounds[block + 1])) for block in blocks_asked(batches)):
        if only is None or len(found.groups) > 1:
            only = _users_of(found, catalog, start, end, params)
        best = swings(start, end, *only, params.alpha2, params.min_common_users, n_items, params.top_n)
        yield from i2i_rows(catalog.items, start, *best)


def _users_of(found: Histories, catalog: Catalog, start: int, end: int, params: Params) -> tuple[np.ndarray, ...]:
    """The users who swing for the items start:end, as `swings` takes them: by item, by user, their weights.

    Of several groups only these users are put together; of one group it is everybody.
    """
    import numpy as np

    from jobs.recall.kernels import by_item

    parts = []
    for group in found.loaded(catalog):
        is_sampled = catalog.is_sampled(group, params.seed)
        if len(found.groups) > 1:
            is_asked = is_sampled & (group.codes >= start) & (group.codes < end)
            has_any = np.add.reduceat(is_asked, group.ends[:-1]) > 0 if len(group.codes) else np.zeros(0, bool)
            of_these = np.repeat(has_any, group.sizes)
            group, is_sampled = group.users(has_any), is_sampled[of_these]
        parts.append((group, is_sampled))
    codes, sizes, is_sampled = (
        np.concatenate(columns) for columns in zip(*[(g.codes, g.sizes, kept) for g, kept in parts], strict=True)
    )
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_sampled)])
    item_ends, users, _ = by_item(codes[is_sampled], before[ends], len(catalog.items))
    distinct, place = np.unique(sizes, return_inverse=True)
    # numpy's own power has other last bits on other processors
    weights = np.array([(size + params.alpha1) ** -params.beta for size in distinct.tolist()])
    return item_ends, users, codes, ends, weights[place]


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return inputs.reads_of(solution, ds, node.params.window_days, offered=False)


def recalled(at: inputs.Day, params: Params) -> DataFrame:
    from jobs.recall.acts import acts_of_day

    weights = {params.event: 1.0} if params.event else inputs.action_weights(at.solution)
    return swing_i2i(acts_of_day(at, params.window_days, weights), params)


def main(days: list[str], solution: Solution, node: Node) -> None:
    inputs.make(recalled, days, solution, node)
