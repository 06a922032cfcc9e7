"""Anchors: a day passes when its partition is committed and its table not frozen."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pendulum
import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from flowlib.anchors import PartitionTrigger, table_anchor
from jobs.lib import partitions
from jobs.lib.solution import load_solution

DS = "20261121"
RUN = {"dag_run": SimpleNamespace(run_id="r", data_interval_start=pendulum.datetime(2026, 11, 21, tz="Asia/Shanghai"))}


@pytest.fixture(autouse=True)
def early(monkeypatch):
    """What was said to starts of a Spark driver ahead of its job."""
    started: list[str] = []
    monkeypatch.setattr("flowlib.anchors.driver.start_early", lambda log: started.append("started"))
    return started


@pytest.fixture
def events(solution_file):
    return load_solution().tables.behavior


@pytest.fixture
def anchor(events):
    return table_anchor(events, load_solution(), poll_sec=0.01)


def trigger(events, seconds=60.0):
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    return PartitionTrigger(events.model_dump(mode="json"), DS, 0.01, until.isoformat())


async def event_of(waiting, meanwhile=None, seconds=10.0):
    """The payload of the trigger's event, after `meanwhile` was done some polls later; None when it does not fire."""
    found = asyncio.ensure_future(anext(waiting.run()))
    await asyncio.sleep(0.1)
    assert meanwhile is None or not found.done()
    if meanwhile:
        meanwhile()
    done, _ = await asyncio.wait([found], timeout=seconds)
    found.cancel()
    return found.result().payload if done else None


def test_the_trigger_fires_once_the_partition_is_committed(events):
    payload = asyncio.run(event_of(trigger(events), lambda: partitions.write_record(events.table, DS, {"rows": 0})))
    assert payload == {"ds": DS, "timed_out": False}


def test_another_day_of_the_table_does_not_count(events):
    partitions.write_record(events.table, "20261120", {"rows": 1})
    assert asyncio.run(event_of(trigger(events), seconds=0.3)) is None


def test_a_frozen_table_holds_a_committed_day_until_it_is_unfrozen(events):
    partitions.write_record(events.table, DS, {"rows": 1})
    partitions.freeze(events.table)
    payload = asyncio.run(event_of(trigger(events), lambda: partitions.unfreeze(events.table)))
    assert payload == {"ds": DS, "timed_out": False}


def test_a_snapshot_that_is_there_once_serves_every_day(solution_file):
    items = load_solution().tables.item
    assert partitions.obstacle(items, DS) is not None
    partitions.write_record(items.table, "20260101", {"rows": 1})
    assert partitions.obstacle(items, DS) is None


def test_storage_that_fails_is_waited_for(events, monkeypatch):
    real, calls = partitions.is_committed, iter([OSError("storage is away")])

    def flaky(config, ds):
        for error in calls:
            raise error
        return real(config, ds)

    monkeypatch.setattr(partitions, "is_committed", flaky)
    partitions.write_record(events.table, DS, {"rows": 1})
    assert asyncio.run(event_of(trigger(events))) == {"ds": DS, "timed_out": False}


def test_the_trigger_can_be_made_again_from_what_it_serializes(events):
    path, arguments = trigger(events).serialize()
    assert path == "flowlib.anchors.PartitionTrigger"
    assert PartitionTrigger(**arguments).serialize() == (path, arguments)


def test_an_anchor_whose_day_is_there_does_not_wait_and_starts_a_driver(anchor, events, early):
    partitions.write_record(events.table, DS, {"rows": 1})
    anchor.execute(RUN)
    assert anchor.output == "/recflow/shop_events/20261121"
    assert early == ["started"]


def test_an_anchor_whose_day_is_not_there_leaves_its_worker(anchor, early):
    with pytest.raises(TaskDeferred) as deferred:
        anchor.execute(RUN)
    assert deferred.value.trigger.ds == DS and not early


def test_giving_up_names_table_and_day(anchor, events):
    payload = asyncio.run(event_of(trigger(events, seconds=0.0)))
    with pytest.raises(AirflowFailException, match="waiting for shop_events ds=20261121: not committed yet"):
        anchor.resume(RUN, payload)
