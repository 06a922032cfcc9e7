"""Virtual nodes and job nodes."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from flowlib.interval import ds_of
from flowlib.links import OutputLink, output_url
from flowlib.notify import tell_failure, tell_held_back
from jobs.lib import driver, errors
from jobs.lib.errors import SolutionError
from jobs.lib.settings import PROJECT_ROOT
from jobs.lib.solution import CREATE_DATA, Node, Solution

# One writer at a time; with the weight rule `upstream` an earlier day is finished before a later one goes on.
WRITERS = {"pool": "recflow_writers", "weight_rule": "upstream"}
# A node that is not due is skipped, and what comes after it goes on with what there is.
GOES_ON = {"trigger_rule": "none_failed"}
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=30)}
HOURS = {"data": 2, "features": 2, "recall": 2, "ranking": 3, "diagnostics": 1, "publish": 1}

# Trying again does not mend these.
FINAL = (errors.SolutionError, errors.ContractError, errors.QualityError, errors.NodeError, errors.SettingError)


def virtual_node(name: str) -> VirtualNode:
    """A node that does no work: the joint between two stages."""
    return VirtualNode(task_id=name, **GOES_ON, doc_md="A virtual node: it does no work and joins two stages.")


def job_node(node: Node, solution: Solution) -> JobNode:
    """A node that runs one job for the run's day in the Spark driver; its id is the table it writes."""
    is_data = node.stage == "data"  # such a job is about several tables at once
    table = solution.tables.behavior.table if is_data else solution.table(node.name)
    return JobNode(
        task_id=node.name if node == CREATE_DATA else solution.table(node.name),
        table=table,
        node_name=node.name,
        solution_path=solution.path,
        timezone=solution.timezone,
        doc_md=_doc(node, table),
        execution_timeout=timedelta(hours=HOURS[node.stage]),
        on_failure_callback=tell_failure,
        on_success_callback=tell_held_back if node.name == "rank_model" else None,
        **WRITERS,
        **RETRIES,
        **GOES_ON,
    )


def connect(before: BaseOperator, nodes: Iterable[Node], tasks: dict[str, BaseOperator], after: BaseOperator) -> None:
    """The arrows of one stage: from the joint before it along the nodes' inputs to the joint after it."""
    names = {node.name for node in nodes}
    feeding = {source for node in nodes for source in node.inputs}
    for node in nodes:
        sources = [tasks[source] for source in node.inputs if source in names]
        (sources or [before]) >> tasks[node.name]
        if node.name not in feeding:
            tasks[node.name] >> after


class VirtualNode(EmptyOperator):
    """Named so that the UI says what it is. The scheduler passes it without starting a process."""

    ui_color = "#f2f2f2"


class JobNode(BaseOperator):
    """Sends its job to the Spark driver and passes on what the job logs."""

    ui_color = "#e8f5e1"
    operator_extra_links = (OutputLink(),)
    output = ""

    def __init__(self, *, node_name: str, table: str, solution_path: str, timezone: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.node_name, self.table, self.solution_path, self.timezone = node_name, table, solution_path, timezone
        self._is_running = False

    def execute(self, context: Any) -> None:
        ds = ds_of(context["dag_run"], self.timezone)
        self.output = output_url(self.table, ds)
        self._is_running = True
        try:
            driver.run(self.node_name, [ds], self.solution_path, log=self.log.info)
        except errors.Skipped as reason:
            raise AirflowSkipException(str(reason)) from None
        except FINAL as error:
            failure = AirflowFailException(str(error))
            failure.is_blocked = isinstance(error, errors.QualityError)
            raise failure from None
        finally:
            self._is_running = False

    def on_kill(self) -> None:
        """Called on SIGTERM, in the middle of execute: leaving it closes the socket, and that cancels the job."""
        if self._is_running:
            raise AirflowException(f"{self.task_id} was stopped; its job is cancelled")


def _doc(node: Node, table: str) -> str:
    """The job file's own docstring, table and contract. The file is read, not imported: jobs may need heavy modules."""
    spec = importlib.util.find_spec(node.module)
    if spec is None or spec.origin is None:
        raise SolutionError(f"{node.name}: there is no job file {node.module.replace('.', '/')}.py")
    file = Path(spec.origin)
    module = ast.parse(file.read_text(encoding="utf-8"))
    lines = [ast.get_docstring(module) or "", f"Table: `{table}`", f"Job: `{file.relative_to(PROJECT_ROOT)}`"]
    for statement in module.body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") == "CONTRACT":
            lines.append(f"Contract: `schemas/{ast.literal_eval(statement.value)}.yaml`")
    return "\n\n".join(lines)
