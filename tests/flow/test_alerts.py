"""What an alert says, that it goes out once, and that nothing fails by one that cannot be sent."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.flow import alerts
from jobs.flow.alerts import Alert
from jobs.lib.cli import main
from jobs.lib.deadline_params import Deadline
from jobs.lib.driver import JobError
from jobs.lib.errors import DataError, MissingPartition, QualityError, WriterError
from jobs.lib.object_store import MissingObject, StoreError, open_store
from jobs.lib.settings import PROJECT_ROOT, settings
from tests.flow.world import small_solution

DS = "20261121"
MISSED = Alert(alerts.MISSED, "home_page", DS, "home_page_publish", "07:30 was the deadline")


@pytest.fixture
def told(warehouse, monkeypatch):
    """What the notifier was given; the class is named as an operator names it."""
    monkeypatch.setenv("RECFLOW_NOTIFIER", f"{__name__}.Notifier")
    monkeypatch.setenv("RECFLOW_NOTIFIER_ARGS", '{"to": "ops"}')
    Notifier.told = []
    return Notifier.told


class Notifier:
    told: list = []

    def __init__(self, to):
        self.to = to

    def __call__(self, context):
        if self.to == "nobody":
            raise OSError("nobody is there")
        self.told.append((self.to, context["alert"]["text"]))


def test_a_warning_before_and_a_miss_after_the_deadline_say_how_long_and_who_is_late(warehouse):
    solution = small_solution(deadline={"publish": "07:30"})
    at = Deadline(publish="07:30").at(DS, solution.zone)
    warning = alerts.of_deadline(
        solution, DS, at - timedelta(minutes=60), ["a is frozen: b", "c: failed"], "http://log"
    )
    assert warning.text == (
        "recflow dev: home_page ds=20261121: not published yet\n"
        "07:30 Asia/Shanghai is the deadline, 60 min left; late: a is frozen: b; c: failed\n"
        "Log: http://log\n"
        "What to do: infra/README.md#data-are-late"
    )
    missed = alerts.of_deadline(solution, DS, at + timedelta(minutes=2), ["c: failed"], "")
    assert (missed.kind, missed.runbook) == (alerts.MISSED, "infra/README.md#the-deadline")
    assert missed.why == "07:30 Asia/Shanghai is the deadline, 2 min ago; late: c: failed"


@pytest.mark.parametrize(
    ("error", "is_blocked", "kind", "section"),
    [
        (QualityError("3 checks block\nmore"), True, alerts.BLOCKED, "a-check-blocks"),
        (StoreError("s3://b/x (bucket b at h): HeadObject failed: 500"), False, alerts.FAILED, "storage-is-down"),
        (RuntimeError("gave up after 14 days: cannot look: StoreError: x"), False, alerts.FAILED, "storage-is-down"),
        (MissingObject("no object at s3://b/x"), False, alerts.FAILED, "a-node-fails"),
        (WriterError("s3a://b/t: another writer committed; run this again"), False, alerts.FAILED, "a-node-fails"),
        (DataError("the bucket_id column of s3a://b/t is full of nulls"), False, alerts.FAILED, "a-node-fails"),
        (RuntimeError("3 files were successfully read, then failed"), False, alerts.FAILED, "a-node-fails"),
        (JobError("Py4JJavaError: o1.save\nNo space left on device"), False, alerts.FAILED, "the-disk-is-full"),
        (StoreError("file:///w: No space left on device"), False, alerts.FAILED, "the-disk-is-full"),
        (MissingPartition("shop has no partition ds=20261121"), False, alerts.FAILED, "data-are-late"),
        ("Task was killed", False, alerts.FAILED, "a-node-fails"),
        (None, False, alerts.FAILED, "a-node-fails"),
    ],
)
def test_a_failure_is_told_by_its_first_line_with_what_to_do(warehouse, error, is_blocked, kind, section):
    alert = alerts.of_failure("home_page", DS, "home_page_hot", error, "", is_blocked)
    assert (alert.kind, alert.runbook) == (kind, f"infra/README.md#{section}")
    assert alert.why == (str(error).splitlines()[0] if error else "it was killed, or its log says more")


def test_the_runbook_has_every_section_that_an_alert_names():
    named = set(re.findall(r'["#]([a-z]+(?:-[a-z]+)+)"', Path(alerts.__file__).read_text()))
    assert {"a-check-blocks", "the-gate-holds-a-model-back", "the-deadline", "storage-is-down"} < named
    headings = re.findall(r"^### (.+)$", (PROJECT_ROOT / alerts.RUNBOOK).read_text(), re.MULTILINE)
    assert named <= {heading.lower().replace(" ", "-") for heading in headings}


def test_an_alert_about_the_deadline_goes_out_once_also_after_a_restart(told):
    for _ in range(3):
        alerts.send_once(MISSED)
    assert told == [("ops", MISSED.text)]
    [kept] = alerts.of_day("home_page", DS)
    assert (kept["kind"], kept["sent"], kept["problem"]) == ("missed", True, None)
    open_store(settings().warehouse_root).put(alerts._key(MISSED), b"{")  # nobody knows
    alerts.send_once(MISSED)
    assert len(told) == 2


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("RECFLOW_NOTIFIER_ARGS", '{"to": "nobody"}', "OSError: nobody is there"),
        ("RECFLOW_NOTIFIER_ARGS", '{"secret', "SettingError: RECFLOW_NOTIFIER_ARGS is no JSON"),
        ("RECFLOW_NOTIFIER_ARGS", "[1]", "SettingError: RECFLOW_NOTIFIER_ARGS is no JSON object"),
        (
            "RECFLOW_NOTIFIER",
            "no.such.Class",
            "SettingError: RECFLOW_NOTIFIER is 'no.such.Class': there is no such class",
        ),
        ("RECFLOW_NOTIFIER", "", "no RECFLOW_NOTIFIER is set"),
    ],
)
def test_what_cannot_be_sent_is_said_and_tried_again_the_next_time(told, monkeypatch, variable, value, said):
    monkeypatch.setenv(variable, value)
    lines = []
    assert not alerts.send(MISSED, say=lines.append)
    assert lines == [f"ALERT {MISSED.text}", f"the alert was not sent: {said}"]
    monkeypatch.setenv("RECFLOW_NOTIFIER", f"{__name__}.Notifier")
    monkeypatch.setenv("RECFLOW_NOTIFIER_ARGS", '{"to": "ops"}')
    alerts.send_once(MISSED)
    assert told == [("ops", MISSED.text)]


def test_the_command_tries_the_notifier(told, monkeypatch, capsys):
    assert main(["alert"]) == 0 and "sent by `recflow alert`" in told[0][1]
    monkeypatch.setenv("RECFLOW_NOTIFIER", "")
    assert main(["alert"]) == 1
    assert capsys.readouterr().out.endswith("the alert was not sent: no RECFLOW_NOTIFIER is set\n")
