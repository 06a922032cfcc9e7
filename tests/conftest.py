"""One local Spark session for the whole run, and an empty warehouse for each test that asks for one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

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

# The main module of an xdist worker has no file: pyspark.sql.connect then believes that its doctests run, and exits.
if not hasattr(sys.modules["__main__"], "__file__"):
    sys.modules["__main__"].__file__ = __file__

LONGEST = ("e2e/test_flow.py", "flow/test_real_flow.py", "publish/test_publish.py", "features/test_range_pass.py")


def pytest_collection_modifyitems(items):
    """The files that take longest first: the workers of `make test` share out files, and none should begin one last."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_terminal_summary(terminalreporter):
    """What the audit of packages could not do stands where whoever reads only the end sees it (.ci/run)."""
    for line in os.environ.get("RECFLOW_AUDIT", "").splitlines():
        if "NOT DONE" in line:
            terminalreporter.write_line(line)


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
