"""The DAG files: what Airflow sees of them."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pendulum
import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from jobs.lib import partitions
from jobs.lib.cli import _parser
from jobs.lib.errors import Skipped, SolutionError
from jobs.lib.settings import PROJECT_ROOT
from jobs.lib.solution import load_solution
from tests.dags.conftest import DAGS, FILES

GOLDEN = PROJECT_ROOT / "tests" / "golden" / "home_page_edges.txt"
DAGS_OF_FILES = (*FILES, "rec_sln_demo_data", "recflow_maintenance", "recflow_freeze")


def run_about(day):
    start = pendulum.datetime(2026, 11, day, tz="Asia/Shanghai")
    return SimpleNamespace(run_id="r", data_interval_start=start)


def edges(dag):
    return sorted(f"{task.task_id} -> {below}" for task in dag.tasks for below in task.downstream_task_ids)


def test_home_page_has_the_arrows_of_the_golden_file(dag):
    assert edges(dag("home_page")) == GOLDEN.read_text().splitlines()


def test_a_solution_file_more_in_dags_is_all_that_a_scenario_needs(dag, tmp_path, monkeypatch, solution_file):
    (tmp_path / "dags").mkdir()
    file = tmp_path / "dags" / "shop.yaml"
    file.write_text(solution_file.read_text().replace("home_page", "shop"))
    (tmp_path / "dags" / "broken.yaml").write_text("scenario: broken\n")
    monkeypatch.setattr("jobs.lib.scenarios.PROJECT_ROOT", tmp_path)
    read = runpy.run_path(str(DAGS / "flow.py")) | runpy.run_path(str(DAGS / "flow_backfill.py"))
    there = {value.dag_id for value in read.values() if isinstance(value, DAG)}
    assert there == {"home_page", "shop", "home_page_backfill", "shop_backfill"}
    assert edges(read["shop"]) == sorted(line.replace("home_page", "shop") for line in edges(dag("home_page")))
    params = read["shop_backfill"].params
    form = {name: params[name] for name in params if name not in ("from", "to")}
    asked = read["shop_backfill"].task_dict["run"].arguments(form | {"from": "20261101", "to": "20261121"})
    assert asked[2:4] == ["--solution", str(file)]
    with pytest.raises(SolutionError, match="broken.yaml: timezone: "):
        runpy.run_path(str(DAGS / "solutions_hold.py"))


def test_task_ids_are_the_names_of_tables_and_nodes(dag):
    solution = load_solution()
    ids = {task.task_id for task in dag("home_page").tasks if not isinstance(task, EmptyOperator)}
    inputs = {solution.tables.user.table, solution.tables.item.table, solution.tables.behavior.table}
    assert ids == inputs | {solution.table(node.name) for node in solution.nodes()}


def test_the_demo_data_dag_is_one_node(dag):
    assert [task.task_id for task in dag("rec_sln_demo_data").tasks] == ["create_data"]


def test_maintenance_is_one_node_a_scenario_and_week_in_the_writers_pool(dag):
    read = dag("recflow_maintenance")
    assert edges(read) == [] and {task.task_id for task in read.tasks} == {"home_page_clean_up", "detail_page_clean_up"}
    assert {(task.node_name, Path(task.solution_path).stem) for task in read.tasks} == {
        ("clean_up", "solution"), ("clean_up", "detail_page"),
    }  # fmt: skip
    assert (read.schedule.expression, read.catchup, read.max_active_runs) == ("0 3 * * 1", False, 1)


def test_a_solution_without_user_and_item_tables_has_one_anchor(dag, tmp_path, monkeypatch, solution_file):
    lines = solution_file.read_text().splitlines(keepends=True)
    file = tmp_path / "events_only.yaml"
    file.write_text("".join(line for line in lines if not line.startswith(("  user:", "  item:"))))
    monkeypatch.setenv("RECFLOW_SOLUTION", str(file))
    assert {task.task_id for task in dag("home_page").roots} == {"shop_events"}


def test_every_node_says_what_it_does_and_is_bounded(dag):
    for task in [task for name in DAGS_OF_FILES for task in dag(name).tasks]:
        assert task.doc_md, task.task_id
        if task.task_type == "JobNode":
            assert "Table: `" in task.doc_md and "Job: `jobs/" in task.doc_md, task.task_id
            assert (task.pool, task.retries) == ("recflow_writers", 2), task.task_id
            assert task.execution_timeout and task.retry_delay, task.task_id
            assert [link.name for link in task.operator_extra_links] == ["Output"]


def test_what_was_judged_is_collected_whatever_failed_and_a_failed_run_still_ends_failed(dag):
    read = dag("home_page")
    collects = read.task_dict["home_page_quality_result"]
    assert collects.is_teardown and set(collects.upstream_task_ids) == {"home_page_publish"}
    # Airflow leaves teardowns out when it decides on the state of a run: so publish decides.
    assert not collects.on_failure_fail_dagrun and [task.task_id for task in read.tasks if task.is_teardown] == [
        "home_page_quality_result"
    ]


def test_days_wait_visibly_and_slept_through_nights_are_made_up_for(dag):
    for name in ("home_page", "rec_sln_demo_data"):
        read = dag(name)
        assert (read.catchup, read.max_active_runs) == (True, 90)


def test_an_error_in_the_solution_is_an_import_error_that_names_file_and_path(tmp_path, monkeypatch, solution_file):
    from airflow.dag_processing.dagbag import DagBag

    file = tmp_path / "broken.yaml"
    file.write_text(solution_file.read_text() + "rankng: {seed: 1}\n")
    monkeypatch.setenv("RECFLOW_SOLUTION", str(file))
    bag = DagBag(dag_folder=str(DAGS / "flow.py"))
    [error] = bag.import_errors.values()
    assert f"{file}: rankng: unknown key" in error


def test_dags_and_triggers_never_load_pyspark(solution_file):
    code = (
        "import runpy, sys\n"
        f"for file in {[str(file) for file in DAGS.glob('*.py')]}: runpy.run_path(file)\n"
        "import flowlib.anchors, flowlib.links, flowlib.nodes, flowlib.interval, jobs.lib.driver\n"
        "heavy = {'pyspark', 'pandas', 'xgboost', 'great_expectations', 'delta'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    paths = {"PYTHONPATH": os.pathsep.join([str(PROJECT_ROOT), str(DAGS)])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=PROJECT_ROOT, env=os.environ | paths, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_node_that_is_not_due_is_skipped_and_what_follows_goes_on(dag, monkeypatch):
    read = dag("home_page")

    def run(*_, **__):
        raise Skipped("home_page_rank_model ds=20261121: trained every 7 days")

    monkeypatch.setattr("flowlib.nodes.driver.run", run)
    with pytest.raises(AirflowSkipException, match="trained every 7 days"):
        read.task_dict["home_page_rank_model"].execute({"dag_run": run_about(21)})
    rules = {task.task_id: task.trigger_rule for task in read.tasks if not task.is_teardown}
    anchors = {"shop_users", "shop_items", "shop_events"}
    assert {rules[task] for task in rules if task not in anchors} == {"none_failed"}


def test_a_backfill_from_the_ui_is_the_command_with_the_forms_values(dag, tmp_path, monkeypatch):
    read = dag("home_page_backfill")
    assert edges(read) == ["plan -> run"] and read.schedule is None and read.max_active_runs == 1
    form = {name: read.params[name] for name in read.params if name not in ("from", "to")}
    asked = read.task_dict["run"].arguments(
        form | {"from": "20261101", "to": "20261121", "nodes": ["hot"], "force": True}
    )
    assert asked[:2] == ["backfill", "run"] and asked[-2:] == ["--parallel", "1"]
    assert asked[4:] == ["--from", "20261101", "--to", "20261121", "--nodes", "hot", "--force", "--parallel", "1"]
    parsed = _parser().parse_args(asked)
    assert (parsed.first, parsed.nodes, parsed.force, parsed.set_latest) == ("20261101", ["hot"], True, False)


def test_a_command_that_fails_says_its_error_and_one_that_works_changes_something(dag):
    change = dag("recflow_freeze").task_dict["change"]
    change.execute({"params": {"action": "freeze", "table": "shop_events"}})
    assert partitions.is_frozen("shop_events")
    change.execute({"params": {"action": "unfreeze", "table": "shop_events"}})
    assert not partitions.is_frozen("shop_events")
    with pytest.raises(AirflowFailException, match="nonsense is no input table of a scenario; there are: shop_users"):
        change.execute({"params": {"action": "freeze", "table": "nonsense"}})
