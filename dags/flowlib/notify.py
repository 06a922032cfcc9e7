"""Alerts from Airflow: what a failed node, a held-back model and a deadline send, and a notifier that posts JSON."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from airflow.sdk import BaseNotifier

from flowlib.interval import ds_of
from jobs.flow import alerts
from jobs.flow.status import yesterday
from jobs.lib.errors import RecflowError, SettingError
from jobs.lib.solution import load_solution

TRIES = 3
WAIT_SEC = 2


class WebhookNotifier(BaseNotifier):
    """Posts JSON to the address in an environment variable: Slack, Teams, PagerDuty, or whatever takes a webhook.

    body: what is posted, templates over `alert` allowed; by default everything that is known of the alert (`text` is
    what Slack shows). The address is a secret: it is read when it is needed and never shown.
    """

    template_fields = ("body",)

    def __init__(
        self, url_env: str = "RECFLOW_WEBHOOK_URL", body: dict | None = None, timeout_sec: float = 10, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.url_env, self.body, self.timeout_sec = url_env, body, timeout_sec

    def notify(self, context: Any) -> None:
        url = os.environ.get(self.url_env, "")
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise SettingError(f"{self.url_env} holds no http:// or https:// address")
        data = json.dumps(context["alert"] if self.body is None else self.body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        for attempt in range(1, TRIES + 1):
            try:
                with urllib.request.urlopen(request, timeout=self.timeout_sec):
                    return
            except OSError as error:
                is_refused = isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code != 429
                if is_refused or attempt == TRIES:
                    raise RecflowError(f"the webhook of {self.url_env} did not take it: {error}") from None
            time.sleep(WAIT_SEC * attempt)


def tell_failure(context: Any) -> None:
    """A node's `on_failure_callback`: called once, when no retry is left."""
    task, error = context["task"], context.get("exception")
    if getattr(error, "is_told", False):
        return
    scenario, is_blocked = _scenario(task), getattr(error, "is_blocked", False)
    node = task.task_id if task.dag_id == scenario else f"{task.dag_id}.{task.task_id}"
    alert = alerts.of_failure(scenario, _ds(context), node, error, _log(context), is_blocked)
    alerts.send(alert, context, task.log.warning)


def tell_held_back(context: Any) -> None:
    """The `on_success_callback` of training: a model that did not pass its gate leaves the run green.

    Once for a day, and not for old days that are made by a backfill: nothing is to be done about them.
    """
    task, ds = context["task"], _ds(context)
    solution = load_solution(task.solution_path)
    if context["dag_run"].run_type == "backfill" and ds != yesterday(solution):
        return
    alert = alerts.of_held_back(solution, ds, _log(context))
    if alert is not None:
        alerts.send_once(alert, context, task.log.warning)


def _scenario(task: Any) -> str:
    """Of a solution file that cannot be read, which may be why the node failed, the DAG's name."""
    try:
        return load_solution(task.solution_path).scenario
    except RecflowError:
        return task.dag_id


def _ds(context: Any) -> str:
    """Empty for a run that is about no day, as a command's, and where that cannot be told."""
    try:
        timezone = getattr(context["task"], "timezone", None)
        return ds_of(context["dag_run"], timezone) if timezone else ""
    except RecflowError:
        return ""


def _log(context: Any) -> str:
    return getattr(context.get("ti"), "log_url", "")
