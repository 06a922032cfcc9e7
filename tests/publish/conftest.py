"""A warehouse with one day in it and the bundle of that day, both made once and only read by tests."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from jobs.lib.object_store import open_store
from jobs.publish.bundle import Entry
from jobs.publish.publish import publish
from tests.lib.stores import bucket, s3_server, store_url, versitygw  # noqa: F401 - fixtures
from tests.publish.builders import DS, solution, write_day


@pytest.fixture(scope="session")
def one_day(tmp_path_factory):
    """The warehouse folder."""
    folder = tmp_path_factory.mktemp("one_day")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECFLOW_WAREHOUSE", str(folder))
        patch.delenv("RECFLOW_ENV", raising=False)
        write_day()
    return folder


@pytest.fixture(scope="session")
def bundle(spark, one_day, tmp_path_factory):
    """The address of the day's bundle."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECFLOW_WAREHOUSE", str(one_day))
        patch.setenv("RECFLOW_PUBLISH", str(tmp_path_factory.mktemp("published")))
        patch.delenv("RECFLOW_ENV", raising=False)
        return publish(solution(), DS)


@pytest.fixture
def exported(bundle):
    """For tests of what is published beside the tables: these come from the day's bundle, as Spark wrote them once."""
    written = open_store(bundle)
    objects = json.loads(written.get("manifest.json"))["objects"]
    entries = [Entry(**about) for about in objects if about["schema"] is not None]

    def tables(solution, ds, address):
        for entry in entries:
            open_store(address).put(entry.key, written.get(entry.key))
        return entries

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jobs.publish.publish._tables", tables)
        yield patch


@pytest.fixture
def published(spark, one_day, warehouse):
    """The scenario's address in an empty folder, and a copy of the day's tables that a test may change."""
    shutil.copytree(one_day, warehouse / "warehouse")
    return f"file://{warehouse}/published/dev/home_page"


@pytest.fixture
def executors_reach(spark):
    """Tell Spark's Python workers where the storage of this test is: they got their environment when Spark started."""
    before = dict(spark.sparkContext.environment)

    def reach() -> None:
        aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        spark.sparkContext.environment.update(aws)

    yield reach
    spark.sparkContext.environment.clear()
    spark.sparkContext.environment.update(before)
