"""The platform on Postgres, a Spark cluster and a warehouse in a bucket is the platform of `make demo`.

`make cluster-test`; needs Postgres and versitygw, and some twenty minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.lib import partitions
from jobs.lib.airflow_api import Airflow
from jobs.lib.settings import PROJECT_ROOT
from tests.cluster.topology import LEFT_OUT, SECRETS, Cluster
from tests.faults.world import SOLUTION, Seen, differences, published_problems, seen

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]

FIRST, DAYS = "20261101", ["20261103", "20261104", "20261105"]
ZONE = "Asia/Shanghai"
STEPS = [sys.executable, "-m", "tests.cluster.steps"]
RECFLOW = [sys.executable, "-m", "jobs.lib.cli"]
INPUTS = [*RECFLOW, "run", "create_data", "--from", FIRST, "--to", DAYS[-1]]
BACKFILL = [*RECFLOW, "backfill", "run", "--from", DAYS[0], "--to", DAYS[-1], "--publish-every"]


@pytest.fixture(scope="module")
def cluster(request):
    """The whole stack, up and healthy, with the solution deployed."""
    folder = Path(tempfile.mkdtemp(prefix="recflow-cluster-"))  # pytest's own is closed to Postgres, another user
    folder.chmod(0o755)
    made = Cluster(folder, SOLUTION)
    try:
        made.start_all()
        airflow = Airflow(made.ui, "admin", SECRETS["RECFLOW_UI_PASSWORD"])
        deadline = time.monotonic() + 180
        while airflow.healthy() < {"metadatabase", "scheduler", "dag_processor", "triggerer"}:
            made.refuse_dead()
            assert time.monotonic() < deadline, f"Airflow does not come up; see {made.folder / 'logs'}"
            time.sleep(1)
        yield made
    except BaseException:
        print(f"logs: {folder / 'logs'}")
        made.stop_all()
        raise
    made.stop_all()
    if not request.session.testsfailed:
        shutil.rmtree(folder)


@contextmanager
def in_environment(wanted: dict[str, str]):
    """This process sees what that one sees: its warehouse, its published bundles."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith(LEFT_OUT)]:
            patch.delenv(name)
        for name in [n for n in wanted if n.startswith(LEFT_OUT)]:
            patch.setenv(name, wanted[name])
        yield


@pytest.fixture(scope="module")
def embedded(tmp_path_factory) -> Seen:
    """The same days and the same correction on one machine, in a folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(LEFT_OUT)}
    ours = {"RECFLOW_HOME": str(tmp_path_factory.mktemp("embedded")), "RECFLOW_SOLUTION": str(SOLUTION)}
    environment = kept | ours
    days = [[*STEPS, "day", ds] for ds in DAYS]
    for command in [INPUTS, *days, [*STEPS, "correct", DAYS[1]], BACKFILL]:
        done = subprocess.run(command, env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    with in_environment(environment):
        return seen()


def test_three_days_a_killed_worker_and_a_backfill_leave_what_one_machine_does(embedded, cluster):
    environment = cluster.environment("scheduler")
    cluster.run("scheduler", *RECFLOW, "deploy", "--solution", str(SOLUTION))
    cluster.run("scheduler", *INPUTS)
    airflow = Airflow(cluster.ui, "admin", SECRETS["RECFLOW_UI_PASSWORD"])
    airflow.unpause("home_page")
    killing = threading.Thread(target=kill_worker_at_work, args=(cluster, environment, DAYS[1]))
    for ds in DAYS:
        if ds == DAYS[1]:
            killing.start()
        airflow.trigger_day("home_page", ds, ZONE)
        airflow.wait_for_run("home_page", ds, ZONE)
    killing.join()
    cluster.start_worker(0)
    cluster.run("scheduler", *STEPS, "correct", DAYS[1])
    cluster.run("scheduler", *BACKFILL)
    with in_environment(environment):
        there, problems = seen(), published_problems()
    assert problems == []
    assert there.rows and there.published
    # While no model was ever made, what evaluation has looked for in vain depends on which of the two nodes came first.
    differing = differences(embedded, there)
    assert {key for key in differing if not key.startswith("_runs/")} == set()
    assert {key.split("/")[1] for key in differing} <= {"home_page_evaluation"}


def kill_worker_at_work(cluster: Cluster, environment: dict[str, str], ds: str) -> None:
    """kill -9 of a worker with its executors, as soon as the day's first table is there."""
    with in_environment(environment):
        while partitions.record("home_page_actions_daily", ds) is None:
            time.sleep(0.2)
    cluster.kill("spark-worker-0")


def test_two_drivers_that_write_one_day_of_one_table_take_turns(cluster, tmp_path):
    """As two hosts would: nothing but the bucket is shared."""
    ds, counts = "20261101", (3, 5)
    writers = []
    for count in counts:
        environment = cluster.environment("scheduler")
        environment |= {"RECFLOW_HOME": str(tmp_path / str(count)), "RECFLOW_SPARK_MASTER": "local[1]"}
        command = [*STEPS, "write", ds, str(count), "6"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        writers.append(subprocess.Popen(command, env=environment, cwd=PROJECT_ROOT, **pipes))
    ended = [(writer.communicate(timeout=300)[0], writer.returncode) for writer in writers]
    assert [code for _, code in ended] == [0, 0], ended
    with in_environment(cluster.environment("scheduler")):
        rows = partitions.read_arrow("contended", ds).to_pylist()
        record = partitions.record("contended", ds)
        versions = partitions.delta_table("contended").version()
    assert len(rows) in counts and {row["score"] for row in rows} == {len(rows)}
    assert record["rows"] == len(rows)
    assert versions == 2 * 6 - 1


def test_nothing_that_the_stack_wrote_holds_a_secret(cluster):
    canaries = [value.encode() for value in SECRETS.values()]
    found = []
    for file in sorted(cluster.folder.rglob("*")):
        if not file.is_file() or file.name == "passwords.json" or "postgres" in file.relative_to(cluster.folder).parts:
            continue
        content = file.read_bytes()
        found += [f"{file}: {canary.decode()}" for canary in canaries if canary in content]
    assert found == []
