"""The demo's data, one run per day: one node writes the day's partition of the user, item and behavior tables.

The anchors of `home_page` wait for what this makes. Your own tables need no such DAG: whatever commits their partitions
lets the anchors pass.
"""

from airflow.sdk import DAG

from flowlib.interval import daily, first_day
from flowlib.nodes import job_node
from jobs.lib.solution import find_node, load_solution

solution = load_solution()

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
