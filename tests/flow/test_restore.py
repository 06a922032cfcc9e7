"""An empty machine and a bucket: what is found there, and with which day the schedule begins."""

from __future__ import annotations

import deltalake
import pyarrow as pa
import pytest

from flowlib.interval import first_day
from jobs.flow import restore as restoring
from jobs.flow.restore import restore
from jobs.lib import partitions, runs
from jobs.lib.cli import main
from jobs.lib.errors import RecflowError
from jobs.lib.object_store import open_store
from jobs.lib.settings import settings
from tests.flow.world import small_solution
from tests.lib.stores import new_bucket, versitygw  # noqa: F401 - a fixture
from tests.publish.test_release import publish

LAST = "20261120"


@pytest.fixture(params=["file", "versitygw"])
def solution(request, tmp_path, monkeypatch):
    """Tables and bundles in a bucket, RECFLOW_HOME empty; it is 20261123 by the solution's clock. (moto will not do:
    deltalake waits for its answers holding the lock that it would need to answer.)"""
    warehouse = published = f"file://{tmp_path}/bucket"
    if request.param == "versitygw":
        bucket = new_bucket(request.getfixturevalue("versitygw").url, monkeypatch)
        warehouse, published = f"s3a://{bucket}", f"s3://{bucket}"
    monkeypatch.setenv("RECFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECFLOW_WAREHOUSE", f"{warehouse}/warehouse")
    monkeypatch.setenv("RECFLOW_PUBLISH", f"{published}/published")
    for name in ("RECFLOW_ENV", "RECFLOW_SOLUTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(restoring, "yesterday", lambda solution: "20261122")
    return small_solution()


@pytest.fixture
def bundle(solution):
    return publish(open_store(f"{settings().publish_root}/home_page"), b"lists", LAST)


def make(solution, table, ds):
    rows = pa.table({"item_id": ["7"], "ds": [ds]})
    path, options = partitions.delta_address(partitions.table_path(table))
    deltalake.write_deltalake(path, rows, partition_by=["ds"], storage_options=options, mode="append")
    partitions.write_record(table, ds, {"rows": 1, "content": "c"})


def test_the_schedule_goes_on_after_the_last_published_day_and_not_with_today(solution, bundle):
    make(solution, "home_page_hot", LAST)
    runs.done("home_page_publish", "20261119", {}, {}, 1.0)
    shown = restore([solution])
    assert "home_page_hot  " in shown and f"readers follow ds={LAST} {bundle.partition('/v=')[2]}" in shown
    assert shown.splitlines()[-4:] == [
        "home_page begins with ds=20261121: 2 days to make up for; days before it are not run again",
        "",
        "deployed: nothing; what runs is the code at hand",
        "now start Airflow and unpause home_page: a new Airflow pauses every DAG",
    ]
    assert first_day(solution).strftime("%Y%m%d") == "20261121"


def test_records_without_their_rows_are_told(solution, bundle):
    partitions.write_record("home_page_hot", LAST, {"rows": 1, "content": "c"})
    line = next(line for line in restore([solution]).splitlines() if line.startswith("home_page_hot "))
    assert line.endswith(f"its rows of ds={LAST} are gone")


def test_where_the_warehouse_is_lost_the_bundles_still_say_where_to_go_on(solution, bundle):
    shown = restore([solution])
    assert "no table is there: the warehouse is lost, import the inputs again and backfill" in shown
    assert "bundles: 1 under" in shown and "home_page begins with ds=20261121" in shown


def test_what_cannot_be_meant_is_refused_and_changes_nothing(solution, monkeypatch):
    with pytest.raises(RecflowError, match="dev has no bundle of home_page: nothing to go on from"):
        restore([solution])
    publish(open_store(f"{settings().publish_root}/home_page"), b"lists", "20260101")
    with pytest.raises(RecflowError, match="for ds=20260101, 325 days ago: say with --from 20261121 --solution home_p"):
        restore([solution])
    monkeypatch.setattr(restoring, "is_running", lambda: {"address": "http://a"})
    with pytest.raises(RecflowError, match="Airflow is running at http://a: `recflow stop` first"):
        restore([solution])
    assert not [*settings().home.glob("first_ds*")]


def test_every_scenario_goes_on_after_its_own_last_day(solution, bundle):
    detail, new = small_solution(scenario="detail_page"), small_solution(scenario="new")
    publish(open_store(f"{settings().publish_root}/detail_page"), b"lists", "20261118")
    shown = restore([solution, detail, new])
    assert "\ndetail_page begins with ds=20261119: 4 days to make up for" in shown
    assert "\nnew never published: it begins with the day on which Airflow first sees it" in shown
    assert [first_day(one).strftime("%Y%m%d") for one in (solution, detail)] == ["20261121", "20261119"]
    assert not (settings().home / "first_ds_new").exists()


def test_one_that_cannot_go_on_leaves_all_as_they_are(solution, bundle):
    publish(open_store(f"{settings().publish_root}/detail_page"), b"lists", "20260101")
    with pytest.raises(RecflowError, match="^detail_page was last .* --from 20261121 --solution detail_page which day"):
        restore([solution, small_solution(scenario="detail_page")])
    assert not [*settings().home.glob("first_ds*")]


def test_the_first_day_can_be_chosen_for_all_or_for_one(solution, bundle):
    assert main(["restore", "--from", "20261122"]) == 0
    assert main(["restore", "--from", "20261121", "--solution", "detail_page"]) == 0
    kept = {file.name: file.read_text() for file in settings().home.glob("first_ds*")}
    assert kept == {"first_ds_home_page": "20261122", "first_ds_detail_page": "20261121"}


def test_what_goes_on_are_the_scenarios_that_are_deployed(solution, bundle, monkeypatch):
    begun = []
    monkeypatch.setattr("jobs.deploy.active.go_on_in_it", begun.append)  # as the deployed version, where there is one
    assert main(["restore"]) == 0
    assert begun == [["restore"]]
