"""The flow of a scenario, one run per day: tables in, published recommendations out. One DAG per solution file.

Table anchors hold each day until its input is there; then features, recall, ranking, diagnostics and publish, stage by
stage. What was judged on the way is collected when publish has ended, also when something was blocked; a blocked run
still ends failed. Nodes, inputs and parameters come from the solution file: every one in `dags/`, and
`$RECFLOW_SOLUTION`. A node's id is the table it writes. Make or repeat a day with a backfill of that day: every node
replaces its own partition. Scenarios run side by side, their nodes in turns: the writers' pool has one place.
"""

from airflow.sdk import DAG

from flowlib.anchors import table_anchor
from flowlib.interval import daily, first_day
from flowlib.nodes import connect, job_node, virtual_node
from jobs.lib.scenarios import those_that_hold


def flow(solution):
    def stage(name):
        return [node for node in solution.nodes() if node.stage == name]

    with DAG(
        dag_id=solution.scenario,
        schedule=daily(solution),
        start_date=first_day(solution),
        catchup=True,  # nights that were slept through are made up for
        max_active_runs=90,  # a day that waits must not hide the days behind it; the writers' pool bounds the work
        doc_md=__doc__,
        tags=["recflow"],
    ) as dag:
        tables = solution.tables
        anchors = [table_anchor(table, solution) for table in (tables.user, tables.item, tables.behavior) if table]
        inputs_ready = virtual_node("inputs_ready")
        features_done = virtual_node("features_done")
        recall_done = virtual_node("recall_done")
        ranking_done = virtual_node("ranking_done")
        jobs = {node.name: job_node(node, solution) for node in solution.nodes()}

        anchors >> inputs_ready
        connect(inputs_ready, stage("features"), jobs, features_done)
        connect(features_done, stage("recall"), jobs, recall_done)
        connect(recall_done, stage("ranking"), jobs, ranking_done)
        connect(ranking_done, stage("diagnostics"), jobs, jobs["publish"])
        jobs["publish"] >> jobs["quality_result"].as_teardown()  # whatever became of publish, which decides the run
    return dag


solutions, _ = those_that_hold()  # dags/solutions_hold.py shows what is wrong with the others
globals().update({name: flow(solution) for name, solution in solutions.items()})
