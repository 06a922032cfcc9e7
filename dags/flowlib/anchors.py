"""Table anchors: the head of a flow, where each day waits until its input partition is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from flowlib.interval import ds_of
from flowlib.links import OutputLink, output_url
from flowlib.nodes import RETRIES
from flowlib.notify import tell_failure
from jobs.lib import driver, partitions
from jobs.lib.input_tables import TableConfig
from jobs.lib.solution import Solution

POLL_SEC = 5
TIMEOUT = timedelta(days=14)


def table_anchor(config: TableConfig, solution: Solution, poll_sec: float = POLL_SEC, timeout: timedelta = TIMEOUT):
    """A node named after the table. It passes when the table's partition `ds` is committed and the table not frozen."""
    return TableAnchor(
        task_id=config.table,
        table_config=config.model_dump(mode="json"),
        solution_path=solution.path,
        timezone=solution.timezone,
        poll_sec=poll_sec,
        timeout=timeout,
        on_failure_callback=tell_failure,
        **RETRIES,
        doc_md=f"Waits until the partition `ds` of `{config.table}` is committed and the table is not frozen.\n\n"
        f"`recflow freeze {config.table}` holds every day here; `recflow unfreeze {config.table}` lets them flow.",
    )


class TableAnchor(BaseSensorOperator):
    """Waits in the triggerer, so that a waiting day holds no worker."""

    ui_color = "#d7e8f7"
    operator_extra_links = (OutputLink(),)
    output = ""

    def __init__(
        self, *, table_config: dict, solution_path: str, timezone: str, poll_sec: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.table_config, self.solution_path = table_config, solution_path
        self.timezone, self.poll_sec = timezone, poll_sec

    def execute(self, context: Any) -> None:
        config = TableConfig.model_validate(self.table_config)
        ds = ds_of(context["dag_run"], self.timezone)
        self.output = output_url(config.table, ds)
        if (obstacle := partitions.obstacle(config, ds)) is None:
            self._pass(config.table, ds)
            return
        self.log.info(obstacle)
        until = datetime.now(UTC) + timedelta(seconds=self.timeout)
        trigger = PartitionTrigger(self.table_config, ds, self.poll_sec, until.isoformat())
        self.defer(trigger=trigger, method_name="resume")

    def resume(self, context: Any, event: dict) -> None:
        self.output = output_url(self.table_config["table"], event["ds"])
        if event["timed_out"]:
            raise AirflowFailException(f"gave up after {timedelta(seconds=self.timeout)}: {event['obstacle']}")
        self._pass(self.table_config["table"], event["ds"])

    def _pass(self, table: str, ds: str) -> None:
        """The flow goes on with a Spark job: its driver starts while Airflow gets there."""
        self.log.info("%s ds=%s is there", table, ds)
        driver.start_early(self.log.info)


class PartitionTrigger(BaseTrigger):
    """Fires when the partition is committed and its table not frozen, or when `until` has passed."""

    def __init__(self, table_config: dict, ds: str, poll_sec: float, until: str) -> None:
        super().__init__()
        self.table_config, self.ds, self.poll_sec, self.until = table_config, ds, poll_sec, until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("table_config", "ds", "poll_sec", "until")
        return "flowlib.anchors.PartitionTrigger", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        config = TableConfig.model_validate(self.table_config)
        shown = None
        while (obstacle := await self._obstacle(config)) is not None:
            if obstacle != shown:
                self.log.info(obstacle)
                shown = obstacle
            is_late = datetime.now(UTC) >= datetime.fromisoformat(self.until)
            if is_late and not await self._is_frozen(config):  # an operator holds it: it waits as long as that
                yield TriggerEvent({"ds": self.ds, "timed_out": True, "obstacle": obstacle})
                return
            await asyncio.sleep(self.poll_sec)
        yield TriggerEvent({"ds": self.ds, "timed_out": False})

    async def _is_frozen(self, config: TableConfig) -> bool:
        try:
            return await asyncio.to_thread(partitions.is_frozen, config.table)
        except Exception:
            return False  # the obstacle says why storage cannot be asked

    async def _obstacle(self, config: TableConfig) -> str | None:
        """Storage that cannot be asked right now is one more thing to wait for: a day must not fail by it."""
        try:
            return await asyncio.to_thread(partitions.obstacle, config, self.ds)
        except Exception as error:
            return f"waiting for {config.table} ds={self.ds}: cannot look: {type(error).__name__}: {error}"
