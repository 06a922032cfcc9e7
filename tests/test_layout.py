"""Which part may import which, and what a load of a solution may pull in."""

import ast
import subprocess
import sys

import pytest

from jobs.lib.settings import PROJECT_ROOT


def imports(file):
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module


def files(*folders):
    return [file for folder in folders for file in sorted((PROJECT_ROOT / folder).rglob("*.py"))]


def test_jobs_never_import_airflow_or_the_dags():
    for file in files("jobs"):
        if file.name == "supervisor.py":
            continue
        found = [name for name in imports(file) if name.split(".")[0] in ("airflow", "flowlib", "dags")]
        assert not found, f"{file}: {found}"


def test_dags_import_only_flowlib_and_the_parts_of_lib_that_are_free_of_spark():
    for file in files("dags"):
        heavy = ("pyspark", "pandas", "delta", "xgboost")
        found = [name for name in imports(file) if name.split(".")[0] in heavy]
        assert not found, f"{file}: {found}"


@pytest.mark.parametrize(
    "module", ["jobs.lib.solution", "jobs.lib.partitions", "jobs.lib.cli", "jobs.publish.bundle", "jobs.serve.batch"]
)
def test_what_the_scheduler_and_triggerer_load_is_free_of_spark(module):
    code = (
        f"import sys, {module} as m; m.__dict__.get('load_solution', lambda: 0)(); assert 'pyspark' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT_ROOT)


def test_every_job_says_its_grain_or_that_it_has_no_table():
    for file in files("jobs/features", "jobs/recall", "jobs/ranking", "jobs/diagnostics"):
        tree = ast.parse(file.read_text())
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            assert "Grain:" in (ast.get_docstring(tree) or ""), f"{file}: the docstring does not give the grain"
