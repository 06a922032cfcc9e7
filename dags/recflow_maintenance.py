"""Weekly clean-up of the tables that recflow writes: old days, small files and dead files (jobs/data/clean_up.py).

Like every run, one is about the start of its interval, here a Monday a week back: tables are kept up to a week longer
than `retention:` says, never shorter. It waits its turn in the writers' pool, so no node writes while it works.
"""

from airflow.sdk import DAG

from flowlib.interval import first_day, weekly
from flowlib.nodes import job_node
from jobs.lib.solution import find_node, load_solution

solution = load_solution()

with DAG(
    dag_id="recflow_maintenance",
    schedule=weekly(solution),
    start_date=first_day(solution),
    catchup=False,  # one clean-up does what the ones that were slept through would have done
    max_active_runs=1,
    doc_md=__doc__,
    tags=["recflow"],
) as dag:
    job_node(find_node(solution, "clean_up"), solution)
