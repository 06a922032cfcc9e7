"""Watches the deadline of `home_page`: the solution's `deadline:` block. Without one there is no such DAG.

Some minutes before the deadline an alert names the first nodes upstream that are late; at the deadline another says
that it was missed, and the run ends failed. Each is sent once for a day. After an outage only
the newest day is watched.
"""

from airflow.sdk import DAG

from flowlib.deadline import DeadlineWatch
from flowlib.interval import daily, first_day
from flowlib.nodes import RETRIES
from jobs.lib.solution import load_solution

solution = load_solution()

if solution.deadline is not None:
    with DAG(
        dag_id=f"{solution.scenario}_deadline",
        schedule=daily(solution),
        start_date=first_day(solution),
        catchup=False,
        max_active_runs=8,  # a deadline may lie some days after its ds
        is_paused_upon_creation=False,  # whoever declares a deadline wants it watched
        doc_md=__doc__,
        tags=["recflow"],
    ) as dag:
        DeadlineWatch(task_id="watch", solution_path=solution.path, doc_md=__doc__, **RETRIES)
