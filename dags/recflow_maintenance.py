"""Weekly clean-up of the tables that recflow writes: old days, small files and dead files (jobs/data/clean_up.py). One
node per scenario.

Like every run, one is about the start of its interval, here a Monday a week back: tables are kept up to a week longer
than `retention:` says, never shorter. It waits its turn in the writers' pool, so no node writes while it works.
"""

from airflow.sdk import DAG

from flowlib.interval import first_day, weekly
from flowlib.nodes import job_node
from jobs.lib.scenarios import those_that_hold
from jobs.lib.solution import find_node

solutions = [*those_that_hold()[0].values()]

with DAG(
    dag_id="recflow_maintenance",
    schedule=weekly(solutions[0]),
    start_date=first_day(solutions[0]),
    catchup=False,  # one clean-up does what the ones that were slept through would have done
    max_active_runs=1,
    doc_md=__doc__,
    tags=["recflow"],
) as dag:
    for solution in solutions:
        job_node(find_node(solution, "clean_up"), solution)
