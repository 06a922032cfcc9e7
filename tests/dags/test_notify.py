"""Alerts as Airflow's notifiers send them, to a server of HTTP and one of mail."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pendulum
import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.utils.types import DagRunType

from flowlib import notify
from jobs.flow import alerts
from jobs.lib.errors import QualityError
from tests.dags.conftest import DAGS

SECRET = "T0/B0/canary"


@pytest.fixture
def posted(monkeypatch, warehouse):
    """What a webhook was given; `answers` are the statuses that it answers with, then 200."""
    got, answers = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(answers.pop(0) if answers else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("RECFLOW_WEBHOOK_URL", f"http://127.0.0.1:{server.server_port}/{SECRET}")
    monkeypatch.setenv("RECFLOW_NOTIFIER", "flowlib.notify.WebhookNotifier")
    monkeypatch.setattr(notify, "WAIT_SEC", 0)
    yield SimpleNamespace(got=got, answers=answers)
    server.shutdown()
    server.server_close()


def about_a_day():
    start = pendulum.datetime(2026, 11, 21, tz="Asia/Shanghai")
    return SimpleNamespace(run_id="r", data_interval_start=start, run_type="scheduled")


def run_of(dag):
    task = dag("home_page").task_dict["home_page_hot"]
    return {"task": task, "dag_run": about_a_day(), "ti": SimpleNamespace(log_url="http://ui/log")}


def test_a_failed_node_is_posted_with_scenario_ds_node_reason_log_and_what_to_do(dag, posted):
    notify.tell_failure(run_of(dag) | {"exception": ValueError("first line\nsecond line")})
    [(path, body)] = posted.got
    subject = "recflow dev: home_page ds=20261121: home_page_hot failed"
    assert path == f"/{SECRET}" and body.pop("text").startswith(f"{subject}\nfirst line\n")
    assert body == {
        "kind": "failed",
        "env": "dev",
        "scenario": "home_page",
        "ds": "20261121",
        "node": "home_page_hot",
        "why": "first line",
        "log": "http://ui/log",
        "runbook": "infra/README.md#a-node-fails",
        "subject": subject,
    }


def test_a_blocked_check_is_told_as_such(dag, posted, monkeypatch):
    def run(*_, **__):
        raise QualityError("check one_row_per_grain blocks")

    monkeypatch.setattr("flowlib.nodes.driver.run", run)
    context = run_of(dag)
    with pytest.raises(AirflowFailException) as failed:
        context["task"].execute(context)
    notify.tell_failure(context | {"exception": failed.value})
    assert posted.got[0][1]["kind"] == "blocked" and "one_row_per_grain" in posted.got[0][1]["why"]


def test_a_model_that_is_held_back_is_told_and_one_that_serves_is_not(dag, posted, monkeypatch):
    about = {"status": "trained", "reason": "AUC 0.7"}
    monkeypatch.setattr(alerts, "model_of", lambda solution, ds: about)
    context = run_of(dag)
    notify.tell_held_back(context)
    about["status"] = "held_back"
    for _ in range(2):  # the second time, the node was cleared
        notify.tell_held_back(context)
    [(_, body)] = posted.got
    assert (body["kind"], body["why"]) == ("held_back", "AUC 0.7; the model before it serves on")


@pytest.mark.parametrize(("newest", "posts"), [("20261121", 1), ("20261122", 0)])
def test_a_model_that_a_backfill_of_old_days_held_back_is_not_told(dag, posted, monkeypatch, newest, posts):
    monkeypatch.setattr(alerts, "model_of", lambda solution, ds: {"status": "held_back", "reason": "AUC 0.7"})
    monkeypatch.setattr(notify, "yesterday", lambda solution: newest)
    context = run_of(dag)
    context["dag_run"].run_type = DagRunType.BACKFILL_JOB
    notify.tell_held_back(context)
    assert len(posted.got) == posts


def test_a_backfill_that_fails_is_told(dag, posted):
    about = SimpleNamespace(run_id="r", data_interval_start=pendulum.datetime(2026, 11, 21), run_type="manual")
    for task in dag("home_page_backfill").tasks:
        [tell] = task.on_failure_callback
        tell({"task": task, "dag_run": about, "exception": ValueError("home_page_hot ds=20261101: bad luck")})
    told = [(body["subject"], body["why"]) for _, body in posted.got]
    why = "home_page_hot ds=20261101: bad luck"
    assert told == [(f"recflow dev: home_page: home_page_backfill.{node} failed", why) for node in ("plan", "run")]


def test_the_body_is_the_operators_and_may_name_parts_of_the_alert(posted, monkeypatch):
    arguments = {"body": {"text": "{{ alert.subject }}", "payload": {"severity": "error", "source": "{{ alert.ds }}"}}}
    monkeypatch.setenv("RECFLOW_NOTIFIER_ARGS", json.dumps(arguments))
    assert alerts.send(alerts.Alert("missed", "home_page", "20261121", "n", "w"))
    body = posted.got[0][1]
    assert body["payload"] == {"severity": "error", "source": "20261121"} and body["text"].endswith(
        "deadline was missed"
    )


def test_mail_goes_out_by_airflows_own_notifier(warehouse, monkeypatch):
    got = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=take_mail, args=(listening, got), daemon=True).start()
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "recflow@example.com"}
        about = {"conn_type": "smtp", "host": "127.0.0.1", "port": listening.getsockname()[1], "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(about))
        monkeypatch.setenv("RECFLOW_NOTIFIER", "airflow.providers.smtp.notifications.smtp.SmtpNotifier")
        arguments = {"to": "ops@example.com", "subject": "{{ alert.subject }}", "html_content": "{{ alert.text }}"}
        monkeypatch.setenv("RECFLOW_NOTIFIER_ARGS", json.dumps(arguments))
        lines = []
        assert alerts.send(alerts.Alert("missed", "shop", "20261121", "n", "w"), say=lines.append), lines
    assert "Subject: recflow dev: shop ds=20261121: the deadline was missed" in got


def take_mail(listening, got):
    """As much of SMTP as one mail needs."""
    peer, _ = listening.accept()
    with peer, peer.makefile("rw", newline="\r\n") as lines:
        print("220 here", file=lines, flush=True)
        in_data = False
        for line in map(str.strip, lines):
            got.append(line)
            if in_data and line != ".":
                continue
            in_data = line.upper() == "DATA"
            print("354 go on" if in_data else "221 bye" if line.upper() == "QUIT" else "250 ok", file=lines, flush=True)


def test_a_webhook_in_trouble_is_asked_again_and_one_that_refuses_is_not_and_the_address_stays_secret(posted):
    alert, lines = alerts.Alert("missed", "home_page", "20261121", "n", "w"), []
    posted.answers.extend([503, 429])
    assert alerts.send(alert, say=lines.append) and len(posted.got) == 3
    posted.answers.append(403)
    assert not alerts.send(alert, say=lines.append) and len(posted.got) == 4
    assert lines[-1] == (
        "the alert was not sent: RecflowError: the webhook of RECFLOW_WEBHOOK_URL did not take it: "
        "HTTP Error 403: Forbidden"
    )
    assert SECRET not in "\n".join(lines)


def test_an_address_that_is_no_webhook_is_refused_without_being_shown(posted, monkeypatch):
    monkeypatch.setenv("RECFLOW_WEBHOOK_URL", f"file:///{SECRET}")
    lines = []
    assert not alerts.send(alerts.Alert("test", "home_page", "", "", "w"), say=lines.append)
    assert lines[-1].endswith("SettingError: RECFLOW_WEBHOOK_URL holds no http:// or https:// address")


def test_every_node_tells_of_its_failure(dag, posted):
    tasks = [task for task in dag("home_page").tasks if task.task_type in ("JobNode", "TableAnchor")]
    for task in tasks:
        [tell] = task.on_failure_callback
        tell({"task": task, "dag_run": about_a_day(), "exception": ValueError("bad luck")})
    told = [(body["scenario"], body["ds"], body["node"], body["why"]) for _, body in posted.got]
    assert told == [("home_page", "20261121", task.task_id, "bad luck") for task in tasks]
    assert {"shop_events", "home_page_publish"} <= {task.task_id for task in tasks}
    telling = [task.task_id for task in tasks if task.on_success_callback]
    assert telling == ["home_page_rank_model"]


def watch(dag, monkeypatch, tmp_path, solution_file, now):
    """The node of the deadline's DAG, at a moment."""
    from flowlib import deadline

    file = tmp_path / "page.yaml"
    file.write_text(solution_file.read_text() + 'deadline: {publish: "07:30", warn_minutes: 60}\n')
    monkeypatch.setenv("RECFLOW_SOLUTION", str(file))

    class Clock(deadline.datetime):
        @classmethod
        def now(cls, tz=None):
            return now.astimezone(tz)

    monkeypatch.setattr(deadline, "datetime", Clock)
    monkeypatch.setattr(deadline, "late", lambda solution, ds: ["home_page_hot: failed: bad luck"])
    return dag("home_page_deadline").task_dict["watch"]


def test_airflow_finds_the_watch_where_there_is_a_deadline_and_only_there(tmp_path, monkeypatch, solution_file):
    from airflow.dag_processing.dagbag import DagBag

    def found():
        bag = DagBag(dag_folder=str(DAGS / "flow_deadline.py"), safe_mode=True)
        return sorted((dag_id, read.catchup) for dag_id, read in bag.dags.items()), bag.import_errors

    assert found() == ([], {})
    file = tmp_path / "page.yaml"
    file.write_text(solution_file.read_text() + 'deadline: {publish: "07:30"}\n')
    monkeypatch.setenv("RECFLOW_SOLUTION", str(file))
    assert found() == ([("home_page_deadline", False)], {})
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "shop.yaml").write_text(file.read_text().replace("home_page", "shop"))
    (tmp_path / "dags" / "unwatched.yaml").write_text(solution_file.read_text().replace("home_page", "unwatched"))
    monkeypatch.setattr("jobs.lib.scenarios.PROJECT_ROOT", tmp_path)
    assert found() == ([("home_page_deadline", False), ("shop_deadline", False)], {})


@pytest.mark.parametrize(
    ("clock", "until", "kinds"),
    [((3, 0), (6, 30), []), ((6, 31), (7, 30), ["warning"]), ((7, 31), None, ["missed"])],
)
def test_a_day_is_warned_about_and_then_missed(dag, monkeypatch, tmp_path, solution_file, posted, clock, until, kinds):
    now = pendulum.datetime(2026, 11, 22, *clock, tz="Asia/Shanghai")
    task = watch(dag, monkeypatch, tmp_path, solution_file, now)
    context = {
        "dag_run": SimpleNamespace(run_id="r", data_interval_start=pendulum.datetime(2026, 11, 21, tz="Asia/Shanghai"))
    }
    for _ in range(2):  # the second time after a restart
        with pytest.raises(TaskDeferred if until else AirflowFailException) as left:
            task.execute(context)
    assert [body["kind"] for _, body in posted.got] == kinds
    if until:
        assert left.value.trigger.moment == pendulum.datetime(2026, 11, 22, *until, tz="Asia/Shanghai")


def test_a_published_day_is_left_in_peace_and_storage_that_is_down_is_the_news(
    dag, monkeypatch, tmp_path, solution_file, posted
):
    from flowlib import deadline
    from jobs.lib.object_store import StoreError

    task = watch(dag, monkeypatch, tmp_path, solution_file, pendulum.datetime(2026, 11, 22, 8, tz="Asia/Shanghai"))
    context = {
        "dag_run": SimpleNamespace(run_id="r", data_interval_start=pendulum.datetime(2026, 11, 21, tz="Asia/Shanghai"))
    }
    monkeypatch.setattr(deadline, "is_published", lambda solution, ds: True)
    task.execute(context)
    assert posted.got == []

    def down(solution, ds):
        raise StoreError("s3://b does not answer")

    monkeypatch.setattr(deadline, "is_published", down)
    with pytest.raises(AirflowFailException, match="cannot look at what is published: s3://b does not answer"):
        task.execute(context)
    assert posted.got[0][1]["kind"] == "missed"


def test_a_watch_that_cannot_read_a_record_says_so_and_one_that_dies_is_told_too(
    dag, monkeypatch, tmp_path, solution_file, posted
):
    from flowlib import deadline

    def corrupt(solution, ds):
        raise ValueError("no JSON")

    task = watch(dag, monkeypatch, tmp_path, solution_file, pendulum.datetime(2026, 11, 22, 8, tz="Asia/Shanghai"))
    monkeypatch.setattr(deadline, "is_published", corrupt)
    context, [tell] = {"task": task, "dag_run": about_a_day()}, task.on_failure_callback
    with pytest.raises(AirflowFailException) as left:
        task.execute(context)
    tell(context | {"exception": left.value})
    [(_, body)] = posted.got  # missed, and not failed on top of it
    assert body["kind"] == "missed" and body["why"].endswith(
        "late: cannot look at what is published: ValueError('no JSON')"
    )
    tell(context)  # killed
    (tmp_path / "page.yaml").write_text("scenario: [")
    tell(context)
    told = [(body["kind"], body["scenario"], body["ds"], body["node"]) for _, body in posted.got[1:]]
    assert told == [
        ("failed", "home_page", "20261121", "home_page_deadline.watch"),
        ("failed", "home_page_deadline", "", "watch"),
    ]
