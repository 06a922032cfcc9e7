"""One local Spark session for the whole run, and an empty warehouse for each test that asks for one."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("RECFLOW_SPARK_MASTER", "local[2]")
os.environ.setdefault("RECFLOW_DRIVER_MEMORY", "2g")


@pytest.fixture(scope="session")
def spark():
    from jobs.lib.session import spark as session

    running = session()
    running.conf.set("spark.sql.shuffle.partitions", "2")
    yield running
    running.stop()


@pytest.fixture
def warehouse(tmp_path, monkeypatch):
    """An installation of its own: tables, partition records and published bundles under a temporary folder."""
    monkeypatch.setenv("RECFLOW_HOME", str(tmp_path))
    for name in ("RECFLOW_WAREHOUSE", "RECFLOW_PUBLISH", "RECFLOW_ENV", "RECFLOW_SOLUTION"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path
