"""Watches the deadline of `home_page`: the solution's `deadline:` block. Without one there is no such DAG.

Some minutes before the deadline an alert names the first nodes upstream that are late; at the deadline another says
that it was missed, and the run ends failed. Each is sent once for a day.
"""

from flowlib.deadline import deadline_dag
from jobs.lib.solution import load_solution

solution = load_solution()
if solution.deadline is not None:
    dag = deadline_dag(solution, __doc__)
