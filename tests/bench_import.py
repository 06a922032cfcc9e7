"""Part of `make bench`: importing a CSV log, beside DuckDB parsing the same file and writing Parquet by day.

DuckDB casts, derives the day and writes; the import also refuses, looks for exact duplicates, judges and commits. Both
run warm (the Spark session is there) on a file in the page cache. Memory: the largest sum over all processes of the
import, the JVM included, sampled four times a second.
"""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

ZONE = "Asia/Shanghai"
FIRST_SEC, DAYS = 1_758_470_400, 60
COLUMNS = "request_id, user_id, item_id, event, event_time, playtime, page, net_type"
TYPES = dict.fromkeys(COLUMNS.split(", "), "varchar") | {"event_time": "bigint", "playtime": "double"}


def compare(rows: int, runs: int, show) -> None:
    """show(name, work, base, runs) times the work and returns its median."""
    import duckdb

    from jobs.data.import_files import import_folder

    with tempfile.TemporaryDirectory() as folder:
        os.environ["RECFLOW_HOME"] = folder
        file, database = Path(folder) / "log.csv", duckdb.connect()
        database.execute(f"SET threads = {os.cpu_count()}")
        _write_log(database, rows, file)
        registered, small = _registration("log.csv"), _registration("small.csv")
        (Path(folder) / "small.csv").write_text("".join(file.open().readlines(1 << 20)))
        import_folder(small, folder)  # starts the workers
        print(f"\nImport of {rows:,} CSV rows ({file.stat().st_size / 1e9:.2f} GB) over {DAYS} days")
        base = show("duckdb", lambda: _duckdb(database, file, folder), None, runs)
        database.close()  # its memory is not the import's
        with PeakMemory() as peak:
            show("import", lambda: import_folder(registered, folder), base, runs)
        database = duckdb.connect()
        database.execute(f"SET threads = {os.cpu_count()}")
        show("duckdb again", lambda: _duckdb(database, file, folder), base, runs)
        print(f"{'':12} import's peak memory, JVM included: {peak.bytes / 2**30:.2f} GiB")


class PeakMemory:
    """The largest resident memory of this process and all below it."""

    def __enter__(self) -> PeakMemory:
        self.bytes, self._is_over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil

        while not self._is_over.wait(0.25):
            total = 0
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.bytes = max(self.bytes, total)


def _registration(file: str):
    from jobs.data.registration import Registration

    roles = {"request_id": "request_id", "user_id": "user_id", "item_id": "item_id", "event_time": "event_time"}
    roles |= {"value": "playtime", "scene": "page", "categorical": ["net_type"]}
    behavior = {"file": file, "roles": roles, "event": {"column": "event"}, "impressions": True}
    raw = {"name": "bench", "timezone": ZONE, "events": ["expr", "click", "praise"], "target": "click"}
    return Registration.model_validate({**raw, "not_after": "20991231", "files": {"behavior": behavior}})


def _write_log(database, rows: int, file: Path) -> None:
    database.execute(
        f"""COPY (SELECT 'r' || (i // 10) AS request_id, (hash(i // 10) % 200000)::VARCHAR AS user_id,
            (hash(i * 7 + 1) % 20000)::VARCHAR AS item_id,
            CASE WHEN hash(i) % 10 < 8 THEN 'expr' WHEN hash(i) % 10 = 8 THEN 'click' ELSE 'praise' END AS event,
            {FIRST_SEC} + i * {DAYS * 86_400} // {rows} AS event_time,
            CASE WHEN hash(i) % 10 = 8 THEN hash(i * 3) % 10000 / 100.0 ELSE 0 END AS playtime,
            CASE WHEN hash(i) % 3 = 0 THEN 'home' ELSE 'detail' END AS page,
            CASE WHEN hash(i) % 4 = 0 THEN '5g' ELSE 'wifi' END AS net_type
        FROM range({rows}) t(i)) TO '{file}' (HEADER)"""
    )


def _duckdb(database, file: Path, folder: str) -> None:
    database.execute(
        f"""COPY (SELECT *, (event_time + 28800) // 86400 AS ds FROM read_csv('{file}', columns = {TYPES}))
        TO '{folder}/duckdb' (FORMAT parquet, PARTITION_BY (ds), OVERWRITE_OR_IGNORE, COMPRESSION zstd)"""
    )
