"""Part of `make bench`: training over samples in files, as the node does it, in its own process.

Synthetic samples of 14 days with some 50 features, written in parts. 2 M are trained in memory and in external memory,
which must give the same AUC; then 20 M in external memory, which must stay within 8 GiB. Seconds are those of the
process from start to end; memory is its largest resident set, mapped files included.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

DAYS, PART_ROWS, REQUEST_ROWS = 14, 100_000, 20
MOST_BYTES = 8 * 2**30
SMALL_ROWS, LARGE_ROWS, ROUNDS = 2_000_000, 20_000_000, 100
CATEGORIES = [f"value_{n}" for n in range(30)]


def compare(small_rows: int = SMALL_ROWS, large_rows: int = LARGE_ROWS, rounds: int = ROUNDS) -> None:
    print(f"\ntraining over {DAYS} days of samples in files, in a process of its own", flush=True)
    with tempfile.TemporaryDirectory() as home:
        os.environ["RECFLOW_HOME"] = home
        if small_rows:
            make_samples(small_rows)
            limits = {"in memory": small_rows, "external": 0}
            found = [_train(f"{small_rows / 1e6:g} M {name}", limit, rounds) for name, limit in limits.items()]
            if found[0][0] != found[1][0]:
                raise AssertionError(f"the AUC in memory and in external memory differ: {found}")
        if large_rows:
            make_samples(large_rows)
            _, peak = _train(f"{large_rows / 1e6:g} M external", 0, rounds)
            if peak > MOST_BYTES:
                raise AssertionError(f"{peak / 2**30:.2f} GiB are more than {MOST_BYTES / 2**30:g}")


def _solution(external_memory_rows: int = 0, rounds: int = ROUNDS):
    """Of the demo's features so many that there are some 50."""
    from tests.features.builders import demo_solution

    return demo_solution(
        features={"windows": [7], "preference": {"window": 7}},
        ranking={
            "training_days": DAYS,
            "rounds": rounds,
            "external_memory_rows": external_memory_rows,
            "params": {"learning_rate": 0.1, "max_depth": 6, "min_child_weight": 20},
        },
    )


def _train(name: str, external_memory_rows: int, rounds: int) -> tuple[float, int]:
    """(AUC on the test day, peak bytes)"""
    from jobs.lib import partitions
    from jobs.ranking.training import Request, in_own_process

    solution = _solution(external_memory_rows, rounds)
    days = partitions.present_days(solution.table("rank_samples"))
    with _PeakOfTraining() as peak:
        started = time.perf_counter()
        about = in_own_process(Request(solution, days, days[0])).metadata
        seconds = time.perf_counter() - started
    measured = about["metrics"]
    auc, of_item = measured["model"]["auc"], measured["item_ctr"]["auc"]
    print(
        f"  {name:<20} {seconds:8.1f} s  memory {peak.bytes / 2**30:5.2f} GiB  {len(about['features'])} features, "
        f"{about['rounds']['best']} trees, test AUC {auc:.5f}, item rate alone {of_item:.5f}",
        flush=True,
    )
    return auc, peak.bytes


class _PeakOfTraining:
    """The largest resident memory of the training process."""

    def __enter__(self) -> _PeakOfTraining:
        self.bytes, self._is_over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(0.2):
            for process in psutil.Process().children():
                try:
                    if "jobs.ranking.training" in process.cmdline():
                        self.bytes = max(self.bytes, process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue


def make_samples(rows: int) -> None:
    """The table of samples, replaced: a file a day, written in parts."""
    import deltalake

    from jobs.lib import partitions
    from jobs.lib.days import from_day_number
    from jobs.lib.delta_files import DataFile, replace_days

    solution, random = _solution(), np.random.default_rng(7)
    table, files, schema = solution.table("rank_samples"), [], None
    root, days = partitions.table_path(table), [from_day_number(20_400 + n) for n in range(DAYS)]
    for ds in days:
        path = Path(f"{root}/ds={ds}/part-{rows}.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        written, writer = 0, None
        while written < rows // DAYS:
            part = _part(solution, random, written, min(PART_ROWS, rows // DAYS - written))
            writer = writer or pq.ParquetWriter(path, part.schema, compression="zstd")
            writer.write_table(part)
            written, schema = written + part.num_rows, part.schema
        writer.close()
        files.append(DataFile(f"ds={ds}/{path.name}", ds, path.stat().st_size, written, 0))
        partitions.write_record(table, ds, {"rows": written, "content": str(written), "checks": []})
    columns = deltalake.Schema.from_arrow(schema.append(pa.field("ds", pa.string())))
    replace_days(root, days, files, columns)


def _part(solution, random: np.random.Generator, first: int, n: int) -> pa.Table:
    """The label depends on the item's rate, a count of the user, a share and a category."""
    from jobs.ranking.feature_list import category_columns, number_columns
    from jobs.ranking.models import baseline_column

    at, names = first + np.arange(n), number_columns(solution)
    numbers = {name: random.integers(0, 200, n) / 200 for name in names}
    category = {name: random.integers(0, len(CATEGORIES), n) for name in category_columns(solution)}
    strong = numbers[baseline_column(solution)[0]] + numbers[names[5]] * numbers[names[-1]]
    strong = strong + (next(iter(category.values())) % 7) / 7
    click = (random.random(n) < 1 / (1 + np.exp(5 - 3 * strong))).astype(np.int32)
    values = pa.array(CATEGORIES)
    columns = {
        "request_id": pa.array((at // REQUEST_ROWS).astype(str)),
        "user_id": pa.array((at // REQUEST_ROWS % 200_000).astype(str)),
        "item_id": pa.array((at % REQUEST_ROWS).astype(str)),
        "is_sampled_negative": pa.array(np.zeros(n, bool)),
        "is_click": pa.array(click),
        "is_praise": pa.array(click * (random.random(n) < 0.2).astype(np.int32)),
        "ln_playtime": pa.array(click * random.random(n)),
        **{name: pa.array(of) for name, of in numbers.items()},
        **{name: values.take(pa.array(of)) for name, of in category.items()},
    }
    return pa.table(columns)


if __name__ == "__main__":
    import sys

    compare(*(int(float(text)) for text in sys.argv[1:]))
