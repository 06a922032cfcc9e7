"""Part of `make bench`: windowed features of a range of days.

The log has the shape of `create_data`'s: requests of ten impressions by users of unlike activity, one in ten clicked,
one click in five praised.

Counts only, from the log, 3/7/15 days x 3 events, users and items, every active (key, ds), written as Parquet by day:
    range pass     the path of `user_features` and `item_features`, with nothing but counts
    duckdb, polars the same work: each active day stands for the 15 days that it reaches, then one group-by

The whole feature set, from daily partials, as the nodes compute, judge and commit it:
    range pass     both nodes, all days at once
    day by day     both nodes, some of the days one by one, times the days there are
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench_import import PeakMemory

FIRST, USERS, ITEMS = 20_400, 200_000, 20_000
EVENTS, WINDOWS = ("expr", "click", "praise"), (3, 7, 15)
SAMPLED_DAYS = 3


def compare(rows: int, n_days: int, runs: int, show) -> None:
    """show(name, work, base, runs) times the work and returns its median."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["RECFLOW_HOME"] = home
        make_log(f"{home}/log", rows, n_days)
        _compare_counts(f"{home}/log", rows, n_days, runs, show)
        shutil.rmtree(f"{home}/counts", ignore_errors=True)
        make_tables(f"{home}/log", n_days)
        _compare_whole(rows, n_days, show)


def _compare_counts(log: str, rows: int, n_days: int, runs: int, show) -> None:
    import duckdb

    print(f"\nwindow counts, {rows:,} events, {n_days} days, users and items")
    out = f"{log}/../counts"
    database = duckdb.connect()
    database.execute(f"SET threads = {os.cpu_count()}")
    peaks = {}

    def measured(name: str, work, base: float | None = None) -> float:
        with PeakMemory() as peak:
            taken = show(name, work, base, runs)
        peaks[name] = peak.bytes / 2**30
        return taken

    base = measured("duckdb", lambda: [duckdb_counts(database, log, key, f"{out}/duckdb") for key in KEYS])
    measured("range pass", lambda: [range_pass_counts(log, key, n_days, f"{out}/ours") for key in KEYS], base)
    measured("polars", lambda: [polars_counts(log, key, f"{out}/polars") for key in KEYS], base)
    for key in KEYS:
        found = {name: _checksum(database, f"{out}/{name}/{key}", key) for name in ("duckdb", "ours", "polars")}
        if len(set(found.values())) > 1:
            raise AssertionError(f"the counts of {key} differ: {found}")
        print(f"  {key}: {found['ours'][0]:,} rows, the same checksum on each side")
    print("  peak memory, JVM included: " + ", ".join(f"{name} {gib:.2f} GiB" for name, gib in peaks.items()))


KEYS = ("user_id", "item_id")
NAMES = [f"{event}_{w}" for event in EVENTS for w in WINDOWS]


def duckdb_counts(database, log: str, key: str, out: str) -> None:
    sums = ", ".join(f"sum(CASE WHEN o < {w} THEN {e} ELSE 0 END)::DOUBLE AS {e}_{w}" for e in EVENTS for w in WINDOWS)
    counts = ", ".join(f"count(*) FILTER (event = '{event}') AS {event}" for event in EVENTS)
    Path(out).mkdir(parents=True, exist_ok=True)
    database.execute(
        f"""COPY (
            WITH daily AS (
                SELECT {key}, (strptime(ds, '%Y%m%d')::DATE - DATE '1970-01-01')::INT AS day, {counts}
                FROM read_parquet('{log}/*/*.parquet', hive_partitioning = true, hive_types = {{ds: VARCHAR}})
                GROUP BY ALL),
            last AS (SELECT max(day) AS m FROM daily)
            SELECT {key}, day + o AS day, {sums} FROM daily, range(15) t(o), last WHERE day + o <= m GROUP BY ALL
        ) TO '{out}/{key}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (day), OVERWRITE_OR_IGNORE)"""
    )


def polars_counts(log: str, key: str, out: str) -> None:
    import polars as pl

    days = pl.col("ds").str.to_date("%Y%m%d").to_physical()
    daily = (
        pl.scan_parquet(f"{log}/*/*.parquet", hive_partitioning=True, hive_schema={"ds": pl.String})
        .select(key, "event", day=days)
        .group_by(key, "day")
        .agg(*[(pl.col("event") == event).sum().cast(pl.Int32).alias(event) for event in EVENTS])
        .collect()
    )
    last = daily["day"].max()
    offsets = pl.LazyFrame({"o": range(WINDOWS[-1])}, schema={"o": pl.Int32})
    counted = (
        daily.lazy()
        .join(offsets, how="cross")
        .with_columns(day=pl.col("day") + pl.col("o"))
        .filter(pl.col("day") <= last)
        .group_by(key, "day")
        .agg(*[pl.col(e).filter(pl.col("o") < w).sum().cast(pl.Float64).alias(f"{e}_{w}") for e in EVENTS for w in WINDOWS])
        .collect()
    )
    for (day,), rows in counted.partition_by("day", as_dict=True, include_key=False).items():
        folder = Path(f"{out}/{key}/day={day}")
        folder.mkdir(parents=True, exist_ok=True)
        rows.write_parquet(folder / "part.parquet", compression="zstd")


def range_pass_counts(log: str, key: str, n_days: int, out: str) -> None:
    """Everything but the commit: its files are there, told of, and nobody's yet."""
    from functools import partial

    from jobs.features import range_pass
    from jobs.features.packed import Layout, packed_files
    from jobs.features.windows import range_of, windows_of
    from jobs.lib.delta_files import DayFile
    from jobs.lib.solution import load_solution
    from jobs.lib.staged_files import FILES, files_of

    shutil.rmtree(f"{out}/{key}", ignore_errors=True)
    every = windows_of(load_solution(), key.removesuffix("_id"))
    windows = replace(every, value_events=(), rates=(), attributes=(), statistics=())
    files = [_log_file(path) for path in sorted(Path(log).glob("*/*.parquet"))]
    days, layout = _days(n_days), Layout.of(files)
    asked = range_of(windows, days, days, {})
    packed = packed_files(files, windows, layout)
    write = partial(range_pass._write, asked=asked, address=f"{out}/{key}")
    files_of(range_pass._in_buckets(packed, layout).mapInArrow(write, FILES))


def _log_file(path: Path):
    from jobs.lib.delta_files import DayFile

    return DayFile(path.parent.name.removeprefix("ds="), str(path), pq.read_metadata(path).num_rows)


def _checksum(database, folder: str, key: str) -> tuple:
    """Rows, and a sum over them in which each row and column has its own weight."""
    ours = folder.split("/")[-2] == "ours"
    day = "(strptime(ds, '%Y%m%d')::DATE - DATE '1970-01-01')" if ours else "day"
    side = key.removesuffix("_id")
    names = [f"{side}__{e}_cnt_{w}d" if ours else f"{e}_{w}" for e in EVENTS for w in WINDOWS]
    weighted = " + ".join(f"{n + 1} * \"{name}\"" for n, name in enumerate(names))
    types = "{ds: VARCHAR}" if ours else "{day: INT}"
    return database.sql(
        f"""SELECT count(*), sum((({weighted})::HUGEINT) * (hash({key}, ({day})::INT) % 1000003))
        FROM read_parquet('{folder}/*/*.parquet', hive_partitioning = true, hive_types = {types})"""
    ).fetchall()[0]


def _compare_whole(rows: int, n_days: int, show) -> None:
    print(f"\nthe whole feature set, {rows:,} events, {n_days} days, both nodes")
    days = _days(n_days)
    for name in ("user_features", "item_features"):
        run(name, days[-2:])  # starts the workers
        with PeakMemory() as peak:
            whole = show(f"{name}, range pass", lambda name=name: run(name, days), None, 1)
        sampled = days[n_days // 2 :: max(1, (n_days // 2) // SAMPLED_DAYS)][:SAMPLED_DAYS]
        started = time.perf_counter()
        for ds in sampled:
            run(name, [ds])
        one = (time.perf_counter() - started) / len(sampled)
        print(f"  {name}, day by day      {one * n_days:8.2f} s  {one * n_days / whole:6.1f} x  ({len(sampled)} of the days, scaled)")
        print(f"  {name}, peak memory of the range pass, JVM included: {peak.bytes / 2**30:.2f} GiB", flush=True)


def run(name: str, days: list[str]) -> None:
    import importlib

    from jobs.lib.solution import load_solution

    solution = load_solution()
    importlib.import_module(f"jobs.features.{name}").main(days, solution, solution.node(name))


def _days(n_days: int) -> list[str]:
    from jobs.lib.days import from_day_number

    return [from_day_number(FIRST + n) for n in range(n_days)]


def make_log(folder: str, rows: int, n_days: int) -> None:
    """About `rows` events, a Parquet file per day: user_id, item_id, event."""
    random = np.random.default_rng(7)
    activity = np.cumsum(np.exp(0.9 * random.standard_normal(USERS)))
    popularity = np.cumsum(np.exp(1.2 * random.standard_normal(ITEMS)))
    users, items = (pa.array((np.arange(n) + 1).astype(str)) for n in (USERS, ITEMS))
    for ds in _days(n_days):
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
    import polars as pl

    from jobs.lib.delta_files import DataFile, replace_days
    from jobs.lib.partitions import table_path
    from jobs.lib.solution import load_solution

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
        for ds in _days(n_days):
            path = Path(f"{table_path(table)}/ds={ds}/part-0.parquet")
            path.parent.mkdir(parents=True)
            rows = rows_of(ds).to_arrow(compat_level=pl.CompatLevel.oldest())
            plain = [pa.field(f.name, pa.string() if f.type == pa.large_string() else f.type) for f in rows.schema]
            pq.write_table(rows.cast(pa.schema(plain)), path, compression="zstd")
            files.append(DataFile(f"ds={ds}/part-0.parquet", ds, path.stat().st_size, rows.num_rows, 0))
        replace_days(table_path(table), _days(n_days), files, pa.schema([*plain, pa.field("ds", pa.string())]))
