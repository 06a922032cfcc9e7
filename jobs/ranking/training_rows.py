"""The samples that models learn from and are judged by: read straight from the partitions' Parquet files, day by day.

Each day comes in the order of KEYS, and days in theirs: the bytes of a model depend on that one order. Numbers are
float32 as read, which is what XGBoost computes with. No Spark: one day is held at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobs.lib import partitions
from jobs.lib.errors import DataError
from jobs.lib.solution import Solution
from jobs.ranking.feature_list import category_columns, number_columns
from jobs.ranking.model_input import KEYS
from jobs.ranking.rank_samples import label_columns

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

log = logging.getLogger("recflow")

IS_FLAGGED, IS_SAMPLED = "is_flagged", "is_sampled_negative"


@dataclass(frozen=True)
class Split:
    """Days of each part; all of train lie before validation, and those before test."""

    train: list[str]
    validation: list[str]
    test: list[str]


@dataclass(frozen=True)
class Samples:
    """Samples by day. rows: of each day that has any, oldest first (before any are left out). of: KEYS, labels,
    IS_SAMPLED and the model's columns of one day in the order of KEYS; where suspicious users are left out, IS_FLAGGED.
    on_offer: items that a negative of that day was drawn from, where negatives are drawn and that is known."""

    rows: dict[str, int]
    of: Callable[[str], pa.Table]
    on_offer: dict[str, int] = field(default_factory=dict)

    @property
    def days(self) -> list[str]:
        return list(self.rows)

    def each(self, days: list[str]) -> Iterator[tuple[str, pa.Table]]:
        for ds in days:
            yield ds, self.of(ds)


def split_days(days: list[str], solution: Solution) -> Split | None:
    """The days with samples, newest for test. None when not every part gets a day."""
    ranking = solution.ranking
    held_out = ranking.validation_days + ranking.test_days
    if len(days) <= held_out:
        return None
    train, rest = days[:-held_out], days[-held_out:]
    return Split(train, rest[: ranking.validation_days], rest[ranking.validation_days :])


def in_memory(table: pa.Table) -> Samples:
    """Samples from one table of all days, in any order."""
    import pyarrow.compute as pc

    days = sorted(pc.unique(table.column("ds")).to_pylist())
    by_day = {ds: table.filter(pc.equal(table.column("ds"), ds)).combine_chunks() for ds in days}
    by_day = {ds: rows.take(total_order(rows)) for ds, rows in by_day.items()}
    return Samples({ds: rows.num_rows for ds, rows in by_day.items()}, by_day.__getitem__)


def stored(solution: Solution, days: list[str], flagged_on: list[str] | None = None) -> Samples:
    """The samples of committed days. flagged_on: IS_FLAGGED marks users who are in `suspicious_users` on any of these.

    Days are kept as read where all are to be held in memory anyway (`ranking.external_memory_rows`).
    """
    table, limit = solution.table("rank_samples"), solution.ranking.max_train_rows
    rows = {ds: partitions.record(table, ds)["rows"] for ds in days}
    total = sum(rows.values())
    share = limit / total if limit and total > limit else None
    if share is not None:
        log.warning("%s: %s of %s rows, chosen by a hash (max_train_rows)", table, f"{limit:,}", f"{total:,}")
    flagged = None if flagged_on is None else _flagged(solution, flagged_on)
    kept: dict[str, pa.Table] = {}
    orders: dict[str, pa.Array] = {}  # a day is read several times, and sorting it takes as long as reading it

    def of(ds: str) -> pa.Table:
        if ds in kept:
            return kept[ds]
        read = read_day(solution, ds, share).combine_chunks()
        if ds not in orders:
            orders[ds] = total_order(read)
        read = read.take(orders[ds])
        if flagged is not None:
            import pyarrow.compute as pc

            read = read.append_column(IS_FLAGGED, pc.is_in(read.column("user_id"), value_set=flagged))
        if min(total, limit or total) <= solution.ranking.external_memory_rows:
            kept[ds] = read
        return read

    return Samples({ds: n for ds, n in rows.items() if n}, of, _on_offer(solution, days))


def read_samples(solution: Solution, days: list[str]) -> pa.Table:
    """Samples of a few days as one table, at most `max_train_rows` of them."""
    import pyarrow as pa

    samples = stored(solution, days)
    return pa.concat_tables([samples.of(ds) for ds in samples.days or days[:1]])


def read_day(solution: Solution, ds: str, share: float | None = None) -> pa.Table:
    """One day: KEYS, labels, IS_SAMPLED, the model's columns. share: of its rows, chosen by a hash of KEYS.

    Raises DataError naming table, ds and column.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as dataset

    table = solution.table("rank_samples")
    if (delta := partitions.delta_table(table)) is None:
        raise DataError(f"{table}: there is no such table")
    rows = delta.to_pyarrow_dataset()
    plain = [*KEYS, *label_columns(solution), IS_SAMPLED, *category_columns(solution)]
    columns = {name: pc.field(name) for name in plain}
    columns |= {name: pc.field(name).cast(pa.float32(), safe=False) for name in number_columns(solution)}
    if lacking := [name for name in columns if name not in rows.schema.names]:
        raise DataError(f"{table} ds={ds} has no column {lacking[0]}: it was made with another solution")
    try:
        read = rows.to_table(columns=columns, filter=dataset.field("ds") == ds)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{table} ds={ds} cannot be read: {str(error).splitlines()[0]}") from error
    return read if share is None else read.filter(_chosen(read, share, solution.ranking.seed))


def total_order(samples: pa.Table) -> pa.Array:
    """Row order by KEYS, ids in byte order."""
    import numpy as np
    import pyarrow as pa

    return pa.array(np.lexsort([places(samples.column(name)) for name in reversed(KEYS)]).astype(np.int32))


def places(ids: pa.ChunkedArray) -> np.ndarray:
    """The place of each id among the distinct ids, in byte order."""
    import numpy as np
    import pyarrow.compute as pc

    encoded = pc.dictionary_encode(ids.combine_chunks())
    position = np.empty(len(encoded.dictionary), dtype=np.int64)
    position[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(encoded.dictionary))
    return position[encoded.indices.to_numpy(zero_copy_only=False)]


def without_flagged(train: pa.Table) -> tuple[pa.Table, pa.Array]:
    """The rows that are not flagged, and the users of those that were."""
    import pyarrow.compute as pc

    flagged = pc.fill_null(train.column(IS_FLAGGED), False)
    return train.filter(pc.invert(flagged)), train.filter(flagged).column("user_id").combine_chunks()


def _chosen(rows: pa.Table, share: float, seed: int) -> pa.Array:
    """Requests are chosen whole, whatever else is there: what is counted and ranked within them stays what it was.
    pandas's hash of strings is the same on every machine."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    key = f"{seed:016d}"[-16:]
    hashed = np.zeros(rows.num_rows, np.uint64)
    for name in ("ds", "request_id"):
        of_key = pd.util.hash_array(rows.column(name).to_numpy(zero_copy_only=False), hash_key=key)
        hashed = hashed * np.uint64(6364136223846793005) + of_key
    return pa.array((hashed >> np.uint64(11)).astype(np.float64) / 2**53 < share)


def _flagged(solution: Solution, days: list[str]) -> pa.Array:
    """Users who are suspicious on any of the days. Raises MissingPartition where a day was never judged."""
    import pyarrow as pa

    table = solution.table("suspicious_users")
    if absent := sorted(set(days) - set(partitions.present_days(table))):
        raise partitions.missing(table, absent, solution.table("rank_model"))
    if partitions.delta_table(table) is None:
        return pa.array([], pa.string())
    users = [partitions.read_arrow(table, ds, ["user_id"]).column("user_id").combine_chunks() for ds in days]
    return pa.concat_arrays(users).unique()


def _on_offer(solution: Solution, days: list[str]) -> dict[str, int]:
    """Items on offer by day where negatives are drawn: of a complete item table, else with an event in the windows."""
    records = {ds: partitions.record(*where) for ds, where in offered_in(solution, days).items()}
    return {ds: record["rows"] for ds, record in records.items() if record is not None}


def offered_in(solution: Solution, days: list[str]) -> dict[str, tuple[str, str]]:
    """ds -> the partition that has one row for each item on offer that day (see jobs/ranking/negatives.py); nothing
    where impressions are recorded, and so no negatives drawn."""
    if solution.impression is not None:
        return {}
    config = solution.tables.item
    if config is None or not config.complete:
        return {ds: (solution.table("item_features"), ds) for ds in days}
    present = partitions.present_days(config)
    served = {ds: partitions.as_of_day(config, ds, present) for ds in days}
    return {ds: (config.table, day) for ds, day in served.items() if day is not None}
