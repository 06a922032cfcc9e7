"""A warehouse with one day in it, made once; every test publishes from it to an empty store of its own."""

from __future__ import annotations

import shutil

import pytest

from tests.lib.stores import s3_server, store_url  # noqa: F401 - fixtures
from tests.publish.builders import write_day


@pytest.fixture(scope="session")
def one_day(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one_day")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECFLOW_WAREHOUSE", str(folder))
        patch.delenv("RECFLOW_ENV", raising=False)
        write_day(spark)
    return folder


@pytest.fixture
def published(one_day, warehouse, store_url, monkeypatch):  # noqa: F811
    """The scenario's address in an empty store; the warehouse of the day is read, not written."""
    monkeypatch.setenv("RECFLOW_WAREHOUSE", str(one_day))
    monkeypatch.setenv("RECFLOW_PUBLISH", store_url)
    return f"{store_url}/dev/home_page"


@pytest.fixture
def own_tables(one_day, tmp_path, monkeypatch):
    """A copy of the day's tables that a test may change."""

    def use() -> None:
        shutil.copytree(one_day, tmp_path / "own")
        monkeypatch.setenv("RECFLOW_WAREHOUSE", str(tmp_path / "own"))

    return use
