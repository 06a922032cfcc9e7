"""`make bench`: how fast, beside the naive way or another engine doing the same work in the same run. Medians of runs.

What the checks of a node cost (daily partials of one day, one row per user, item and event):
    node       read, aggregate, stage, measure, judge, commit
    checks     the part of it that measures and judges; the requirement is at most 15%

Item-to-item recall, beside implicit: tests/bench_recall.py. Windowed features of a range of days, beside DuckDB, Polars
and day by day: tests/bench_features.py. Import of a CSV log, beside DuckDB: tests/bench_import.py. A day through
Airflow: tests/bench_day.py. Training of 20 M samples within 8 GiB: tests/bench_train.py.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from unittest import mock

from tests import bench_day, bench_train

RUNS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feature-rows", type=int, default=20_000_000, help="events of the log (default 20,000,000)")
    parser.add_argument("--feature-days", type=int, default=60, help="days of the log (default 60)")
    parser.add_argument("--growth", action="store_true", help="features, similarity: over more and more rows")
    parser.add_argument("--peers-python", default=sys.executable, help="a Python that has implicit and polars")
    parser.add_argument("--checked-rows", type=int, default=20_000_000, help="rows of the node (default 20,000,000)")
    parser.add_argument("--imported-rows", type=int, default=20_000_000, help="rows of the CSV (default 20,000,000)")
    parser.add_argument(
        "--only", choices=["day", "training", "features", "similarity", "checks", "import"], help="only this part"
    )
    arguments = parser.parse_args()
    if arguments.only in (None, "day"):  # first: it has a Spark of its own, with the settings of a user
        bench_day.measure()
    if arguments.only in (None, "training"):  # also without Spark beside it
        bench_train.compare()
    if arguments.only in ("day", "training"):
        return
    os.environ.setdefault("RECFLOW_DRIVER_MEMORY", "4g")
    os.environ.setdefault("RECFLOW_DRIVER_JAVA_OPTIONS", "")  # large data, measured after a warm-up
    from jobs.lib.session import spark
    from tests import bench_features, bench_recall
    from tests.bench_import import compare

    session = spark()
    print(f"{os.cpu_count()} cores, Spark {session.version}, medians of {RUNS} runs after one warm-up")
    parts = {
        "features": bench_features.growth
        if arguments.growth
        else lambda: bench_features.compare(arguments.feature_rows, arguments.feature_days, RUNS),
        "similarity": lambda: (
            bench_recall.growth(RUNS) if arguments.growth else bench_recall.compare(arguments.peers_python, RUNS)
        ),
        "checks": lambda: _checks(session, arguments.checked_rows),
        "import": lambda: compare(arguments.imported_rows, RUNS, _show),
    }
    for name, part in parts.items():
        if arguments.only in (None, name):
            part()


def _checks(session, rows: int) -> None:
    """One run of each, after one of a small part of the rows: a node of 20 million rows takes minutes."""
    with tempfile.TemporaryDirectory() as home, mock.patch.dict(os.environ, {"RECFLOW_HOME": home}):
        os.environ.pop("RECFLOW_WAREHOUSE", None)
        print(f"\nchecks of actions_daily, {rows:,} rows written")
        _checked_node(session, max(rows // 20, 600_000), f"{home}/warm_up")
        node, checks, written = _checked_node(session, rows, f"{home}/events")
        print(f"  {'node':<24} {node:8.2f} s  {written:,} rows")
        print(f"  {'checks':<24} {checks:8.2f} s  {checks / node:6.1%} of the node", flush=True)


def _checked_node(session, rows: int, folder: str) -> tuple[float, float, int]:
    """Seconds of the node and of its checks, and the rows it wrote.

    What is staged is computed before the checks are timed: they must not be charged with the work of the node. The
    pass that this takes is charged to nobody.
    """
    from pyspark.sql import functions as F

    from jobs.features.actions_daily import CONTRACT, actions_daily
    from jobs.lib import quality, tables

    hashed = F.xxhash64("id")
    session.range(0, rows + rows // 20).select(
        F.pmod(hashed, F.lit(rows // 40)).cast("string").alias("user_id"),
        F.pmod(F.shiftright(hashed, 20), F.lit(50_000)).cast("string").alias("item_id"),
        F.when(hashed % 8 == 0, "click").otherwise("expr").alias("event"),
        (hashed % 300).cast("double").alias("value"),
        (F.lit(1_795_190_400) + F.pmod(hashed, F.lit(86_400))).alias("event_time"),
        F.lit("20261121").alias("ds"),
    ).write.format("delta").save(folder)
    taken = {"checks": 0.0, "uncharged": 0.0}

    def timed(what: str, function: Callable) -> Callable:
        def call(*args, **kwargs):
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                taken[what] += time.perf_counter() - started

        return call

    measure = timed("checks", tables.figures)

    def measured(staged, *args, **kwargs):
        timed("uncharged", staged.count)()
        return measure(staged, *args, **kwargs)

    with (
        mock.patch.object(tables, "figures", measured),
        mock.patch.object(quality, "judge", timed("checks", quality.judge)),
        mock.patch.object(quality, "keep", timed("checks", quality.keep)),
    ):
        started = time.perf_counter()
        events = session.read.format("delta").load(folder)
        written = tables.write_days(actions_daily(events), os.path.basename(folder), ["20261121"], CONTRACT)
        total = time.perf_counter() - started
    return total, taken["checks"], written["20261121"]


def _show(name: str, work: Callable[[], object], base: float | None = None, runs: int = RUNS) -> float:
    if runs > 1:
        work()
    taken = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    median = statistics.median(taken)
    print(f"  {name:<24} {median:8.2f} s" + (f"  {median / base:6.1f} x" if base else ""), flush=True)
    return median


if __name__ == "__main__":
    main()
