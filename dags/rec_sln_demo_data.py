"""The demo's data, one run per day: one node writes the day's partition of the user, item and behavior tables.

The anchors of `home_page` and `detail_page` wait for what this makes. Your own tables need no such DAG: whatever
commits their partitions lets the anchors pass.
"""

from airflow.sdk import DAG

from flowlib.interval import daily, first_day
from flowlib.nodes import job_node
from jobs.lib.scenarios import those_that_hold
from jobs.lib.solution import find_node

solutions = [*those_that_hold()[0].values()]
solution = next((solution for solution in solutions if solution.demo), solutions[0])

with DAG(
    dag_id="rec_sln_demo_data",
    schedule=daily(solution),
    start_date=first_day(solution),
    catchup=True,
    max_active_runs=90,
    doc_md=__doc__,
    tags=["recflow"],
) as dag:
    job_node(find_node(solution, "create_data"), solution)
