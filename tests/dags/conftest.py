"""Airflow without an installation: its home is a temporary folder, and nothing here asks its database."""

from __future__ import annotations

import os
import runpy
import sys
import tempfile
from pathlib import Path

os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="recflow-test-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

import pytest  # noqa: E402

from jobs.lib.settings import PROJECT_ROOT  # noqa: E402

DAGS = PROJECT_ROOT / "dags"
SOLUTION = Path(__file__).parent / "solution.yaml"
FILES = {f"{name}{suffix}": f"flow{suffix}" for name in ("home_page", "detail_page") for suffix in ("", "_backfill")}

if str(DAGS) not in sys.path:
    sys.path.insert(0, str(DAGS))


@pytest.fixture
def solution_file(warehouse, monkeypatch):
    """The fixture solution in an installation of its own."""
    monkeypatch.setenv("RECFLOW_SOLUTION", str(SOLUTION))
    return SOLUTION


@pytest.fixture
def dag(solution_file):
    """A function that reads the file of a DAG as Airflow does, and gives that DAG."""

    def read(name):
        file = "flow_deadline" if name.endswith("_deadline") else FILES.get(name, name)
        found = runpy.run_path(str(DAGS / f"{file}.py"))
        return found["dag"] if file == name else found[name]

    return read
