"""Reading acts for the item-to-item recalls: what a user did with an item that counts, packed where it is read.

Through the JVM a row costs more than all that is computed from it, and a file of one day as much as its rows: so the
workers read the files of actions_daily themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.lib.days import window
from jobs.lib.delta_files import day_files
from jobs.lib.files import filesystem_of
from jobs.lib.spark import F
from jobs.recall import inputs
from jobs.recall.packed_acts import PACKED, pack, packed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ROWS_READ = 131_072  # of a file at a time
ROWS_PER_TASK = 10_000_000
_NEEDED = {"none": [], "weight": ["cnt"], "playtime": ["value_micros"]}


def acts_of_day(at: inputs.Day, days: int, weights: dict[str, float], value: str = "none") -> DataFrame:
    """The acts of the days that end at `at.ds`, packed. Files of a table are read by the workers themselves; what
    an evaluation hands instead comes as rows."""
    actions = at.actions(days)
    if not at.is_stored:
        return packed(acts_of(actions, weights, value))
    files = day_files(at.solution.table("actions_daily"), window(at.ds, days))
    session = actions.sparkSession
    cores = session.sparkContext.defaultParallelism
    tasks = max(1, min(len(files), max(cores, sum(file.rows for file in files) // ROWS_PER_TASK)))
    read = partial(_pack_files, [file.address for file in files], weights, value)
    return session.range(0, len(files), 1, tasks).mapInArrow(read, PACKED)


def acts_of(actions: DataFrame, weights: dict[str, float], value: str = "none") -> DataFrame:
    """user_id, item_id and, unless value is none, value BIGINT in millionths: the acts among the actions."""
    acts = actions.where(F.col("event").isin(list(weights)))
    if value == "none":
        return acts.select("user_id", "item_id")
    if value == "playtime":
        return acts.select("user_id", "item_id", F.col("value_micros").alias("value"))
    micros = F.coalesce(*[F.when(F.col("event") == e, F.lit(_micros(w))) for e, w in weights.items()])
    return acts.select("user_id", "item_id", (micros.cast("bigint") * F.col("cnt")).alias("value"))


def _pack_files(
    files: list[str], weights: dict[str, float], value: str, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    asked = (files[number] for batch in batches for number in batch.column(0).to_pylist())
    return pack(rows for address in asked for rows in _acts_of_file(address, weights, value))


def _acts_of_file(address: str, weights: dict[str, float], value: str) -> Iterator[pa.RecordBatch]:
    """As `acts_of`, ids as codes."""
    filesystem, path = filesystem_of(address)
    with (
        filesystem.open_input_file(path) as source,
        pq.ParquetFile(source, read_dictionary=["user_id", "item_id"]) as file,
    ):
        for rows in file.iter_batches(
            ROWS_READ, columns=["user_id", "item_id", "event", *_NEEDED[value]], use_threads=False
        ):
            acts = rows.filter(pc.is_in(rows.column("event"), pa.array(list(weights))))
            found = {"user_id": acts.column("user_id"), "item_id": acts.column("item_id")}
            if value == "playtime":
                found["value"] = acts.column("value_micros")
            elif value == "weight":
                place_of = pc.index_in(acts.column("event"), pa.array(list(weights))).to_numpy()
                micros = np.array([_micros(weight) for weight in weights.values()], np.int64)
                found["value"] = pa.array(micros[place_of] * acts.column("cnt").to_numpy())
            yield pa.RecordBatch.from_pydict(found)


def _micros(weight: float) -> int:
    return round(weight * 1_000_000)
