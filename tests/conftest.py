"""One local Spark session for the whole run, and an empty warehouse for each test that asks for one."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("RECFLOW_SPARK_MASTER", "local[2]")
os.environ.setdefault("RECFLOW_DRIVER_MEMORY", "2g")

# A test has a hundred rows and a new plan for each few of them: to generate, compile and re-plan code for it takes more
# than to interpret it. The drivers of Airflow's tasks (e2e, faults) keep Spark's own defaults, as in production.
TINY_DATA = {
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}


@pytest.fixture(scope="session")
def spark():
    from jobs.lib.session import spark as session

    running = session()
    for key, value in TINY_DATA.items():
        running.conf.set(key, value)
    yield running
    running.stop()


@pytest.fixture
def warehouse(tmp_path, monkeypatch):
    """An installation of its own: tables, partition records and published bundles under a temporary folder."""
    monkeypatch.setenv("RECFLOW_HOME", str(tmp_path))
    for name in ("RECFLOW_WAREHOUSE", "RECFLOW_PUBLISH", "RECFLOW_ENV", "RECFLOW_SOLUTION"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path
