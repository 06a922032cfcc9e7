"""Part of `make bench`: item-to-item recall, beside `implicit` (C++) on the same pairs in the same run.

    implicit    cosine, 100 items a trigger, as a whole process: start, load Parquet, fit, write Parquet
    etrec       the same by `etrec_i2i.recalled` with Spark warm: read actions_daily (Delta, 30 days), write Parquet
    node        etrec as the node does it: rows held, measured, judged, written and committed
    swing       `swing_i2i.recalled` with its defaults; some of its triggers are held against a slow reference

implicit is no dependency: `pip install implicit==0.7.3` (the extra `peers`), or name another Python that has it and
polars by --peers-python. Seconds are medians, of the clock and of processor time of all processes;
memory is the largest sum over all processes, JVM included.

Growth (--growth): etrec and swing over pairs and catalog, and etrec's kernel on one core and on two.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench_features import processor_sec
from tests.bench_import import PeakMemory
from tests.bench_log import days_of, make_log, make_tables

TOP_N, DAYS = 100, 30
SHAPES = {  # distinct pairs, users, items
    "1.0 M pairs, 3.7 k items": (1_000_000, 6_000, 3_700),
    "0.87 M pairs, 68.5 k items": (870_000, 20_000, 68_500),
    "2.5 M pairs, 20 k items": (2_500_000, 200_000, 20_000),
}
LOG_ROWS = 20_000_000
GROWTH = [(n * 250_000, 10_000, 20_000) for n in (1, 2, 4, 8)] + [(1_000_000, 10_000, n) for n in (5_000, 80_000)]
CHECKED_TRIGGERS = 5


def compare(peers_python: str, runs: int) -> None:
    print(f"\nitem to item, {TOP_N} items a trigger; medians of {runs} runs")
    for name, shape in SHAPES.items():
        with _stored(shape) as home:
            _compare_one(name, home, peers_python, runs, swing=shape[0] == 1_000_000)
    with tempfile.TemporaryDirectory() as home:
        os.environ["RECFLOW_HOME"] = home
        make_log(f"{home}/log", LOG_ROWS, DAYS)
        make_tables(f"{home}/log", DAYS)
        _pairs_of_log(home)
        _compare_one(f"{LOG_ROWS / 1e6:.0f} M actions of create_data's shape", home, peers_python, runs, swing=True)


def growth(runs: int) -> None:
    print("\ngrowth, seconds of etrec and swing, read to written")
    for pairs, users, items in GROWTH:
        with _stored((pairs, users, items)) as home:
            seconds = [_medians(_job(job, home), runs)[0] for job in ("etrec_i2i", "swing_i2i")]
            print(f"  {pairs:>11,} pairs {items:>7,} items  {seconds[0]:6.2f} {seconds[1]:6.2f}", flush=True)
    with _stored(SHAPES["1.0 M pairs, 3.7 k items"]) as home:
        for cores in (1, 2):
            subprocess.run(
                [sys.executable, "-m", "tests.bench_recall"],
                env=os.environ | {"RECFLOW_HOME": home, "RECFLOW_SPARK_MASTER": f"local[{cores}]"},
                check=True,
            )


def kernels_alone() -> None:
    """Seconds of the part that splits over tasks, the pairs having been read: in a process with its own Spark."""
    from jobs.lib.settings import settings

    for job in ("etrec_i2i", "swing_i2i"):
        rows = _recalled(job)
        seconds, _ = _medians(lambda rows=rows: rows.write.format("noop").mode("overwrite").save(), 3)
        print(f"  {settings().spark_master}: kernel of {job} {seconds:6.2f}", flush=True)


def _compare_one(name: str, home: str, peers_python: str, runs: int, swing: bool) -> None:
    print(f"\n{name}: {pq.read_metadata(f'{home}/pairs.parquet').num_rows:,} distinct pairs", flush=True)
    peer = [peers_python, str(Path(__file__).with_name("bench_implicit.py")), f"{home}/pairs.parquet"]
    peer += [f"{home}/implicit.parquet", str(TOP_N), str(os.cpu_count())]
    base = None
    if subprocess.run([peers_python, "-c", "import implicit, polars"], capture_output=True).returncode:
        print(f"  {peers_python} has no implicit: see the head of {__file__}")
    else:
        base = _show("implicit", lambda: subprocess.run(peer, check=True), runs)
    _show("etrec", _job("etrec_i2i", home), runs, base)
    if base:
        _check_like_implicit(home)
    if swing:
        _show("etrec, as the node", _node, runs, base)
        _show("swing", _job("swing_i2i", home), runs, base)
        _check_swing(home)


def _recalled(job: str):
    from jobs.lib.solution import load_solution
    from jobs.recall import inputs

    module = __import__(f"jobs.recall.{job}", fromlist=["recalled"])
    return module.recalled(inputs.Day(load_solution(), days_of(DAYS)[-1]), _params(job, module))


def _params(job: str, module):
    more = {"similarity": "cosine", "max_user_behavior": 1_000_000, "min_user_behavior": 1, "top_n": TOP_N}
    return module.Params(name="bench", job=job, **(more if job == "etrec_i2i" else {}))


def _job(job: str, home: str) -> Callable[[], None]:
    return lambda: _recalled(job).write.mode("overwrite").parquet(f"{home}/{job}")


def _node() -> None:
    from jobs.lib import tables
    from jobs.lib.spark import F

    ds = days_of(DAYS)[-1]
    tables.write_days(_recalled("etrec_i2i").withColumn("ds", F.lit(ds)), "bench_etrec_i2i", [ds], "recall_i2i")


def _show(name: str, work: Callable[[], object], runs: int, base: float | None = None) -> float:
    with PeakMemory() as peak:
        seconds, processor_sec = _medians(work, runs)
    ratio = f"{seconds / base:5.1f} x" if base else " " * 7
    memory = f"memory {peak.bytes / 2**30:5.2f} GiB" if name != "implicit" else ""  # Spark's process is there as well
    print(f"  {name:<20} {seconds:7.2f} s {ratio}  processors {processor_sec:6.1f} s  {memory}", flush=True)
    return seconds


def _medians(work: Callable[[], object], runs: int) -> tuple[float, float]:
    """Seconds, and seconds of processor time of all processes, after one run to warm up."""
    work()
    taken, used = [], []
    for _ in range(runs):
        started, before = time.perf_counter(), processor_sec()
        work()
        taken.append(time.perf_counter() - started)
        used.append(processor_sec() - before)
    return median(taken), median(used)


@contextmanager
def _stored(shape: tuple[int, int, int]) -> Iterator[str]:
    """A home with pairs.parquet, and the same pairs as actions_daily of so many days."""
    import deltalake

    from jobs.lib.delta_files import DataFile, replace_days
    from jobs.lib.partitions import table_path
    from jobs.lib.solution import load_solution

    with tempfile.TemporaryDirectory() as home:
        os.environ["RECFLOW_HOME"] = home
        user, item = (pa.array(codes.astype(str)) for codes in _pairs(*shape))
        pq.write_table(pa.table({"user_id": user, "item_id": item}), f"{home}/pairs.parquet", compression="zstd")
        table, files = load_solution().table("actions_daily"), []
        for n, ds in enumerate(days_of(DAYS)):
            start, end = len(user) * n // DAYS, len(user) * (n + 1) // DAYS
            rows = pa.table({"user_id": user[start:end], "item_id": item[start:end]})
            rows = rows.append_column("event", pa.array(["click"] * len(rows)))
            for name in ("cnt", "value_micros", "last_time"):
                rows = rows.append_column(name, pa.array(np.ones(len(rows), np.int64)))
            path = Path(f"{table_path(table)}/ds={ds}/part-0.parquet")
            path.parent.mkdir(parents=True)
            pq.write_table(rows, path, compression="zstd")
            files.append(DataFile(f"ds={ds}/part-0.parquet", ds, path.stat().st_size, len(rows), 0))
        columns = deltalake.Schema.from_arrow(rows.schema.append(pa.field("ds", pa.string())))
        replace_days(table_path(table), days_of(DAYS), files, columns)
        yield home


def _pairs(n: int, users: int, items: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct pairs in no order; users and items are as unlike as MovieLens's (log-normal, 1.0 and 1.4)."""
    random = np.random.default_rng(7)
    activity, popularity = (np.cumsum(np.exp(s * random.standard_normal(k))) for s, k in ((1.0, users), (1.4, items)))
    found = np.empty(0, np.int64)
    while len(found) < n:
        missing = (n - len(found)) * 11 // 10 + 1_000
        user = np.searchsorted(activity, random.random(missing) * activity[-1])
        item = np.searchsorted(popularity, random.random(missing) * popularity[-1])
        found = np.unique(np.concatenate([found, user * items + item]))
    found = random.permutation(found)[:n]
    return found // items, found % items


def _pairs_of_log(home: str) -> None:
    import polars as pl

    acted = pl.scan_parquet(f"{home}/log/*/*.parquet").filter(pl.col("event") != "expr")
    acted.select("user_id", "item_id").unique().collect().write_parquet(f"{home}/pairs.parquet")
    shutil.rmtree(f"{home}/log")


def _check_like_implicit(home: str) -> None:
    """The scores of each trigger, best first, are implicit's (float32 there); which of a tie is kept may differ."""
    import polars as pl

    ours, theirs = (
        pl.read_parquet(f"{home}/{files}")
        .sort("score", descending=True)
        .group_by("trigger_item_id", maintain_order=True)
        .agg("score")
        .sort("trigger_item_id")
        for files in ("etrec_i2i/*.parquet", "implicit.parquet")
    )
    same = ours["trigger_item_id"].equals(theirs["trigger_item_id"])
    apart = np.abs(ours["score"].explode().to_numpy() - theirs["score"].explode().to_numpy()).max() if same else 1
    if apart > 1e-5:
        raise AssertionError(f"etrec's scores are not implicit's: {apart} apart")
    print(f"  {'':<20} the scores of {len(ours):,} triggers are implicit's (at most {apart:.0e} apart)")


def _check_swing(home: str) -> None:
    import polars as pl

    from jobs.recall import swing_i2i
    from tests.recall.test_swing_i2i import reference

    pairs = [tuple(row) for row in pq.read_table(f"{home}/pairs.parquet").to_pandas().itertuples(index=False)]
    found = pl.read_parquet(f"{home}/swing_i2i/*.parquet")
    triggers = (
        found["trigger_item_id"]
        .unique()
        .sort()
        .gather_every(-(-found["trigger_item_id"].n_unique() // CHECKED_TRIGGERS))
    )
    wanted = found.filter(pl.col("trigger_item_id").is_in(triggers.implode()))
    columns = ["trigger_item_id", "rank", "item_id", "score"]
    if sorted(wanted.select(columns).rows()) != reference(pairs, _params("swing_i2i", swing_i2i), set(triggers)):
        raise AssertionError("swing is not the reference's")
    print(f"  {'':<20} {wanted.height:,} rows of {len(triggers)} triggers have the bits of the reference")


if __name__ == "__main__":
    kernels_alone()
