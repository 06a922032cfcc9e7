"""A tiny flow through the real scheduler: waits at the anchors, runs, publishes, and leaves no secret anywhere. (That
running all of it again changes nothing is shown by tests/flow/test_real_flow.py.)"""

import configparser
import json
import socket
import threading
from functools import partial

import pytest

from jobs.lib import driver, partitions, platform
from jobs.lib.cli import main
from jobs.lib.days import day_range
from jobs.lib.settings import PROJECT_ROOT, settings
from jobs.lib.solution import load_solution
from tests.security.canaries import CANARIES, files_with

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

AIRFLOWS_OWN = [("core", "fernet_key"), ("api", "secret_key"), ("api_auth", "jwt_secret")]
FIRST, LAST = "20261101", "20261106"


@pytest.fixture
def airflow(warehouse, monkeypatch):
    monkeypatch.setenv("RECFLOW_SOLUTION", str(PROJECT_ROOT / "tests" / "e2e" / "tiny.yaml"))
    for name, secret in CANARIES.items():
        monkeypatch.setenv(name, secret)
    (warehouse / "spark-events").mkdir()
    events = {"enabled": "true", "compress": "false", "dir": f"file://{warehouse}/spark-events"}
    options = " ".join(f"--conf spark.eventLog.{name}={value}" for name, value in events.items())
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", f"{options} pyspark-shell")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    platform.start(port)
    yield
    platform.stop()


def published():
    root = settings().home / "published" / "dev" / "home_page"
    latest = json.loads((root / "latest.json").read_text())
    files = {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if f.is_file()}
    return latest, files


def test_a_day_waits_for_its_tables_runs_is_published_and_published_again_is_the_same(airflow):
    """What is run beside Airflow is run by the driver that its nodes share."""
    solution, said = load_solution(), []
    zone, run_in_driver = solution.timezone, partial(driver.run, solution_path=solution.path)
    run = threading.Thread(target=_remember, args=(said, "home_page", LAST, zone))
    run.start()
    run_in_driver("create_data", day_range(FIRST, LAST))
    run.join(timeout=800)
    assert not run.is_alive() and said[-1] == "finished", said
    latest, files = published()
    assert latest["ds"] == LAST
    assert main(["bundle", "verify", f"{settings().publish_root}/home_page"]) == 0
    assert partitions.record("home_page_recommendations", LAST)["rows"] > 0
    assert partitions.present_days("home_page_rank_samples") == [f"2026110{n}" for n in (3, 4, 5, 6)]

    run_in_driver("publish", [LAST])
    assert published() == (latest, files)
    platform.stop()  # what is still in memory is written
    _no_secret_is_left(settings().home)


def _no_secret_is_left(home):
    """Of Airflow's logs and database (rendered templates, XComs), Spark's event logs, tables, records, the bundle."""
    assert any((home / "spark-events").rglob("events_*")), "no event log was written"
    assert (home / "airflow" / "airflow.db").exists() and any((home / "airflow" / "logs").rglob("*.log"))
    assert files_with(home, CANARIES) == {}
    config = configparser.RawConfigParser()
    config.read(home / "airflow" / "airflow.cfg")
    own = {f"{section}.{key}": config[section][key] for section, key in AIRFLOWS_OWN} | {
        "ui": platform.credentials()[1]
    }
    places = {file for files in files_with(home, own).values() for file in files}
    assert places == {"airflow/airflow.cfg", "airflow/passwords.json"}


def _remember(said, dag_id, ds, zone):
    try:
        platform.run_day(dag_id, ds, zone, said.append)
        said.append("finished")
    except Exception as error:
        said.append(repr(error))
        raise
