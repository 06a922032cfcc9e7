"""Part of `make bench`: windowed features of a range of days.

Beside seconds, how many seconds of processor time all processes took: on a machine that is
shared these are what can be compared.

Counts only, from the log, 3/7/15 days x 3 events, users and items, every active (key, ds), written as Parquet by day:
    range pass     the path of `user_features` and `item_features`, with nothing but counts
    duckdb, polars the same work: each active day stands for the 15 days that it reaches, then one group-by

The whole feature set, from daily partials, as the nodes compute, judge and commit it:
    range pass     all days at once
    day by day     some of the days one by one, times the days there are

Growth (--growth): the range pass over 1, 5, 20 M rows and over 15, 30, 60 days; a day with ever more days before it.
"""

from __future__ import annotations

import importlib
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from jobs.lib.delta_files import DayFile
from jobs.lib.solution import load_solution
from tests.bench_import import PeakMemory
from tests.bench_log import EVENTS, days_of, make_log, make_tables

WINDOWS = (3, 7, 15)
KEYS, NODES = ("user_id", "item_id"), ("user_features", "item_features")
SAMPLED_DAYS = 3


def compare(rows: int, n_days: int, runs: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["RECFLOW_HOME"] = home
        make_log(f"{home}/log", rows, n_days)
        _compare_counts(f"{home}/log", rows, n_days, runs)
        shutil.rmtree(f"{home}/counts")
        make_tables(f"{home}/log", n_days)
        print(f"\nthe whole feature set, {rows:,} events, {n_days} days")
        for node in NODES:
            _compare_whole(node, n_days)


def growth() -> None:
    print("\ngrowth: both nodes, the range pass")
    for rows, n_days in ((1_000_000, 60), (5_000_000, 60), (20_000_000, 60), (10_000_000, 30), (5_000_000, 15)):
        with _tables(rows, n_days):
            _timed(f"{rows / 1e6:.0f} M rows, {n_days} days", lambda n_days=n_days: _run_all(days_of(n_days)))
    print("\ngrowth: both nodes, the last day alone, 20,000 events a day")
    for n_days in (15, 60, 365):
        with _tables(20_000 * n_days, n_days):
            _timed(f"{n_days} days there", lambda n_days=n_days: _run_all(days_of(n_days)[-1:]), runs=3)


@contextmanager
def _tables(rows: int, n_days: int) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as home:
        os.environ["RECFLOW_HOME"] = home
        make_log(f"{home}/log", rows, n_days)
        make_tables(f"{home}/log", n_days)
        _run_all(days_of(n_days)[-1:])  # starts the workers
        yield


def _timed(name: str, work: Callable[[], object], base: float | None = None, runs: int = 1) -> float:
    """Median seconds of the work, printed with its processor time and the largest memory of all processes."""
    taken, used = [], []
    with PeakMemory() as peak:
        for _ in range(runs):
            started, before = time.perf_counter(), processor_sec()
            work()
            taken.append(time.perf_counter() - started)
            used.append(processor_sec() - before)
    seconds, ratio = statistics.median(taken), f"{statistics.median(taken) / base:6.1f} x" if base else " " * 8
    print(
        f"  {name:<28} {seconds:8.2f} s {ratio}   processors {statistics.median(used):7.1f} s"
        f"   memory {peak.bytes / 2**30:5.2f} GiB",
        flush=True,
    )
    return seconds


def processor_sec() -> float:
    """Of this process, and of all below it that live or were waited for."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def _compare_counts(log: str, rows: int, n_days: int, runs: int) -> None:
    import duckdb

    print(f"\nwindow counts, {rows:,} events, {n_days} days, users and items")
    out, database = f"{log}/../counts", duckdb.connect()
    database.execute(f"SET threads = {os.cpu_count()}")
    work = {
        "duckdb": lambda key: duckdb_counts(database, log, key, f"{out}/duckdb"),
        "range pass": lambda key: range_pass_counts(log, key, n_days, f"{out}/range pass"),
        "polars": lambda key: polars_counts(log, key, f"{out}/polars"),
    }
    range_pass_counts(log, "item_id", n_days, f"{out}/range pass")  # starts the workers
    base = None
    for name, of_key in work.items():
        seconds = _timed(name, lambda of_key=of_key: [of_key(key) for key in KEYS], base, runs)
        base = base or seconds
    for key in KEYS:
        found = {name: _checksum(database, f"{out}/{name}/{key}", key) for name in work}
        if len(set(found.values())) > 1:
            raise AssertionError(f"the counts of {key} differ: {found}")
        print(f"  {key}: {found['duckdb'][0]:,} rows, the same checksum on each side")


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


def _within(event: str, window: int):
    import polars as pl

    return pl.col(event).filter(pl.col("o") < window)


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
        .agg(*[_within(e, w).sum().cast(pl.Float64).alias(f"{e}_{w}") for e in EVENTS for w in WINDOWS])
        .collect()
    )
    for (day,), rows in counted.partition_by("day", as_dict=True, include_key=False).items():
        folder = Path(f"{out}/{key}/day={day}")
        folder.mkdir(parents=True, exist_ok=True)
        rows.write_parquet(folder / "part.parquet", compression="zstd")


def range_pass_counts(log: str, key: str, n_days: int, out: str) -> None:
    """Everything but the commit: its files are there, told of, and nobody's yet."""
    from jobs.features import range_pass
    from jobs.features.packed import Layout, packed_files
    from jobs.features.windows import range_of, windows_of
    from jobs.lib.staged_files import FILES, files_of

    shutil.rmtree(f"{out}/{key}", ignore_errors=True)
    every = windows_of(load_solution(), key.removesuffix("_id"))
    windows = replace(every, value_events=(), rates=(), attributes=(), statistics=())
    files = [_log_file(path) for path in sorted(Path(log).glob("*/*.parquet"))]
    days, layout = days_of(n_days), Layout.of(files)
    asked = range_of(windows, days, days, {})
    packed = packed_files(files, windows, layout)
    write = partial(range_pass._write, asked=asked, address=f"{out}/{key}")
    files_of(range_pass._in_buckets(packed, layout).mapInArrow(write, FILES))


def _log_file(path: Path):
    return DayFile(path.parent.name.removeprefix("ds="), str(path), pq.read_metadata(path).num_rows)


def _checksum(database, folder: str, key: str) -> tuple:
    """Rows, and a sum over them in which each row and column has its own weight."""
    ours = folder.split("/")[-2] == "range pass"
    day = "(strptime(ds, '%Y%m%d')::DATE - DATE '1970-01-01')" if ours else "day"
    side = key.removesuffix("_id")
    names = [f"{side}__{e}_cnt_{w}d" if ours else f"{e}_{w}" for e in EVENTS for w in WINDOWS]
    weighted = " + ".join(f'{n + 1} * "{name}"' for n, name in enumerate(names))
    types = "{ds: VARCHAR}" if ours else "{day: INT}"
    return database.sql(
        f"""SELECT count(*), sum((({weighted})::HUGEINT) * (hash({key}, ({day})::INT) % 1000003))
        FROM read_parquet('{folder}/*/*.parquet', hive_partitioning = true, hive_types = {types})"""
    ).fetchall()[0]


def _compare_whole(node: str, n_days: int) -> None:
    days = days_of(n_days)
    run(node, days[-2:])  # starts the workers
    whole = _timed(f"{node}, range pass", lambda: run(node, days))
    sampled = days[n_days // 2 :: max(1, n_days // 2 // SAMPLED_DAYS)][:SAMPLED_DAYS]
    one = _timed(f"  one of {len(sampled)} days", lambda: [run(node, [ds]) for ds in sampled]) / len(sampled)
    print(
        f"  {f'{node}, day by day':<28} {one * n_days:8.2f} s {one * n_days / whole:6.1f} x  (that, scaled)", flush=True
    )


def _run_all(days: list[str]) -> None:
    for node in NODES:
        run(node, days)


def run(node: str, days: list[str]) -> None:
    solution = load_solution()
    importlib.import_module(f"jobs.features.{node}").main(days, solution, solution.node(node))
