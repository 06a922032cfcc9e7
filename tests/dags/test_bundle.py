"""The DAG bundle of deployed versions: which code Airflow's processes get."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from jobs.deploy.deploy import deploy, rollback
from jobs.lib import airflow_config
from jobs.lib.settings import PROJECT_ROOT
from tests.dags.conftest import SOLUTION

# What a process of Airflow does, in one of its own: it follows what it is told on its input, line by line.
FOLLOWING = """
import json, sys
from flowlib.bundle import DeployedBundle
from flowlib import nodes
for line in sys.stdin:
    version = line.strip()
    if version != "refresh":
        bundle = DeployedBundle(name="recflow", version=version or None)
        bundle.initialize()
    else:
        bundle.refresh()
    from flowlib import nodes
    from jobs.lib.solution import load_solution
    current = bundle.get_current_version()
    said = [str(bundle.path), current and current.version, nodes.__file__]
    print(json.dumps([*said, load_solution().path]), flush=True)
"""


@pytest.fixture
def follower(warehouse, monkeypatch):
    monkeypatch.setenv("RECFLOW_SOLUTION", str(SOLUTION))
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(warehouse / "bundles"))
    monkeypatch.setenv("PYTHONPATH", f"{PROJECT_ROOT}:{PROJECT_ROOT / 'dags'}")
    with subprocess.Popen(
        [sys.executable, "-c", FOLLOWING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT_ROOT
    ) as process:

        def ask(line):
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


def deployed(warehouse, comment):
    file = warehouse / "solution.yaml"
    file.write_text(f"{SOLUTION.read_text()}# {comment}\n")
    return deploy(file, "me", lambda files: {}).version


def test_the_processor_follows_what_is_active_and_a_node_gets_the_version_of_its_run(follower, warehouse):
    def by(version):
        root = warehouse / "deployments" / version
        return [str(root / "dags"), version, str(root / "dags/flowlib/nodes.py"), str(root / "solution.yaml")]

    own = PROJECT_ROOT / "dags"
    assert follower("") == [str(own), None, str(own / "flowlib" / "nodes.py"), str(SOLUTION)]
    one = deployed(warehouse, "one")
    assert follower("refresh") == by(one)
    two = deployed(warehouse, "two")
    assert follower("refresh") == by(two)
    assert follower(one) == by(one)  # a node of a run that began before
    rollback(None, "me")
    assert follower(two) == by(two) and follower("") == by(one)
    assert {folder.name for folder in (warehouse / "bundles/recflow/versions").iterdir()} == {one, two}


def test_the_embedded_airflow_reads_its_dags_from_the_bundle(warehouse):
    home = warehouse / "airflow"
    airflow_config.write_config(home, 8080)
    text = (home / "airflow.cfg").read_text()
    assert 'dag_bundle_config_list = [{"name": "recflow", "classpath": "flowlib.bundle.DeployedBundle"' in text
    assert f"dag_bundle_storage_path = {home}/bundles" in text
