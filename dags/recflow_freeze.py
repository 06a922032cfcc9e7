"""Freeze or unfreeze the anchor of an input table, from the UI: trigger it and choose the table.

A frozen table holds every ds that arrives at its anchor, visibly; unfrozen, each runs once. The same as the commands
`recflow freeze` and `recflow unfreeze`.
"""

from airflow.sdk import DAG, Param

from flowlib.commands import CommandNode
from jobs.lib.solution import load_solution

solution = load_solution()
tables = [table.table for table in (solution.tables.behavior, solution.tables.item, solution.tables.user) if table]

with DAG(
    dag_id="recflow_freeze",
    schedule=None,
    is_paused_upon_creation=False,  # it runs only when somebody triggers it
    doc_md=__doc__,
    tags=["recflow"],
    params={
        "action": Param("freeze", type="string", enum=["freeze", "unfreeze"], title="Freeze or unfreeze"),
        "table": Param(tables[0], type="string", enum=tables, title="Table"),
    },
) as dag:
    CommandNode(
        task_id="change",
        arguments=lambda params: [params["action"], params["table"]],
        doc_md="Freezes or unfreezes the chosen table.",
    )
