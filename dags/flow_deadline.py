"""Watches the deadline of a scenario: the `deadline:` block of its solution. Without one there is no such DAG.

Some minutes before the deadline an alert names the first nodes upstream that are late; at the deadline another says
that it was missed, and the run ends failed. Each is sent once for a day. After an outage only
the newest day is watched.
"""

from airflow.sdk import DAG

from flowlib.deadline import DeadlineWatch
from flowlib.interval import daily, first_day
from flowlib.nodes import RETRIES
from jobs.lib.scenarios import those_that_hold


def deadline(solution):
    with DAG(
        dag_id=solution.table("deadline"),
        schedule=daily(solution),
        start_date=first_day(solution),
        catchup=False,
        max_active_runs=8,  # a deadline may lie some days after its ds
        is_paused_upon_creation=False,  # whoever declares a deadline wants it watched
        doc_md=__doc__,
        tags=["recflow"],
    ) as dag:
        DeadlineWatch(task_id="watch", solution_path=solution.path, doc_md=__doc__, **RETRIES)
    return dag


solutions, _ = those_that_hold()  # dags/solutions_hold.py shows what is wrong with the others
watched = [deadline(solution) for solution in solutions.values() if solution.deadline is not None]
globals().update({dag.dag_id: dag for dag in watched})
