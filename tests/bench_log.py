"""The log that features are measured on: the shape of `create_data`'s, at 200,000 users and 20,000 items.

Requests of ten impressions by users of unlike activity, one in ten clicked, one click in five praised.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.lib.days import from_day_number
from jobs.lib.delta_files import DataFile, replace_days
from jobs.lib.partitions import table_path
from jobs.lib.solution import load_solution

FIRST, USERS, ITEMS = 20_400, 200_000, 20_000
EVENTS = ("expr", "click", "praise")


def days_of(n_days: int) -> list[str]:
    return [from_day_number(FIRST + n) for n in range(n_days)]


def make_log(folder: str, rows: int, n_days: int) -> None:
    """About `rows` events, a Parquet file per day: user_id, item_id, event."""
    random = np.random.default_rng(7)
    activity = np.cumsum(np.exp(0.9 * random.standard_normal(USERS)))
    popularity = np.cumsum(np.exp(1.2 * random.standard_normal(ITEMS)))
    users, items = (pa.array((np.arange(n) + 1).astype(str)) for n in (USERS, ITEMS))
    for ds in days_of(n_days):
        requests = round(rows / n_days / 11.2)
        user = np.repeat(np.searchsorted(activity, random.random(requests) * activity[-1]), 10)
        item = np.searchsorted(popularity, random.random(len(user)) * popularity[-1])
        clicked = np.flatnonzero(random.random(len(user)) < 0.1)
        praised = clicked[random.random(len(clicked)) < 0.2]
        row = np.concatenate([np.arange(len(user)), clicked, praised])
        event = np.repeat([0, 1, 2], [len(user), len(clicked), len(praised)])
        log = {
            "user_id": users.take(pa.array(user[row])),
            "item_id": items.take(pa.array(item[row])),
            "event": pa.array(EVENTS).take(pa.array(event)),
        }
        path = Path(f"{folder}/ds={ds}/part-0.parquet")
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table(log), path, compression="zstd")


def make_tables(log: str, n_days: int) -> None:
    """actions_daily of the log, and the items as a snapshot per day."""
    import deltalake
    import polars as pl

    solution = load_solution()
    random = np.random.default_rng(8)
    items = pl.DataFrame(
        {
            "item_id": np.arange(ITEMS) + 1,
            "category": [f"category {n}" for n in random.integers(0, 20, ITEMS)],
            "author": random.integers(0, 2_000, ITEMS),
            "title": [f"title {n}" for n in range(ITEMS)],
            "duration": random.random(ITEMS),
            **dict.fromkeys(("click_count", "praise_count", "pub_time"), pl.Series(np.zeros(ITEMS, dtype=np.int64))),
        }
    )

    def actions(ds: str) -> pl.DataFrame:
        events = pl.read_parquet(f"{log}/ds={ds}/part-0.parquet")
        counted = events.group_by("user_id", "item_id", "event").agg(cnt=pl.len().cast(pl.Int64))
        micros = pl.when(pl.col("event") == "click").then(pl.col("cnt") * 12_500_000).otherwise(0)
        return counted.with_columns(value_micros=micros, last_time=pl.lit(1_760_000_000, pl.Int64))

    for table, rows_of in ((solution.table("actions_daily"), actions), (solution.tables.item.table, lambda _: items)):
        files = []
        for ds in days_of(n_days):
            path = Path(f"{table_path(table)}/ds={ds}/part-0.parquet")
            path.parent.mkdir(parents=True)
            rows = rows_of(ds).to_arrow(compat_level=pl.CompatLevel.oldest())
            plain = [pa.field(f.name, pa.string() if f.type == pa.large_string() else f.type) for f in rows.schema]
            pq.write_table(rows.cast(pa.schema(plain)), path, compression="zstd")
            files.append(DataFile(f"ds={ds}/part-0.parquet", ds, path.stat().st_size, rows.num_rows, 0))
        columns = pa.schema([*plain, pa.field("ds", pa.string())])
        replace_days(table_path(table), days_of(n_days), files, deltalake.Schema.from_arrow(columns))
