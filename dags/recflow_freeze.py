"""Freeze or unfreeze the anchor of an input table, from the UI: trigger it and choose the table.

A frozen table holds every ds that arrives at its anchor, in each scenario, visibly; unfrozen, each runs once. The same
as the commands `recflow freeze` and `recflow unfreeze`.
"""

from airflow.sdk import DAG, Param

from flowlib.commands import CommandNode
from jobs.lib.scenarios import input_tables, those_that_hold

tables = [config.table for config in reversed(input_tables(those_that_hold()[0]))]

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
