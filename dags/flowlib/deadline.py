"""The watch over one day's deadline: warns before it, and says when it was missed.

Airflow's own DeadlineAlert counts from the run's logical date: it is an hour off on days when clocks are changed, fires
at once for every old day of a backfill, says nothing where there is no run (a paused DAG), and takes a day that was
published from the command line for late. So this is a node that waits in the triggerer for the moments that the
solution's clock says, and then looks at what is published.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from flowlib.interval import ds_of
from flowlib.notify import tell_failure
from jobs.flow import alerts
from jobs.flow.late import is_published, late
from jobs.lib.errors import RecflowError
from jobs.lib.solution import load_solution


class DeadlineWatch(BaseOperator):
    """Waits, deferred, for the warning and for the deadline. Ends failed when the day was not published in time."""

    ui_color = "#fbe3d6"

    def __init__(self, *, solution_path: str, **kwargs: Any) -> None:
        super().__init__(on_failure_callback=tell_failure, **kwargs)  # nobody else would miss a watch that died
        self.solution_path = solution_path

    @property
    def timezone(self) -> str:
        return load_solution(self.solution_path).timezone

    def execute(self, context: Any) -> None:
        self.resume(context)

    def resume(self, context: Any, event: Any = None) -> None:
        solution = load_solution(self.solution_path)
        ds, now = ds_of(context["dag_run"], solution.timezone), datetime.now(UTC)
        if now < (warned_at := solution.deadline.warned_at(ds, solution.zone)):
            self._wait_for(warned_at)
        try:
            if is_published(solution, ds):
                self.log.info("%s ds=%s is published", solution.scenario, ds)
                return
            reasons = late(solution, ds)
        except Exception as error:  # storage that cannot be asked, a record that cannot be read: that is the news
            said = str(error) if isinstance(error, RecflowError) else repr(error)
            reasons = [f"cannot look at what is published: {said}"]
        alert = alerts.of_deadline(solution, ds, now, reasons, getattr(context.get("ti"), "log_url", ""))
        alerts.send_once(alert, context, self.log.warning)
        if alert.kind == alerts.MISSED:
            failure = AirflowFailException(alert.why)
            failure.is_told = True
            raise failure
        self._wait_for(solution.deadline.at(ds, solution.zone))

    def _wait_for(self, moment: datetime) -> None:
        self.log.info("waiting until %s", moment)
        self.defer(trigger=DateTimeTrigger(moment=moment), method_name="resume")
