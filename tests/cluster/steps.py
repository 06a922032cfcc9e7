"""What an operator does in the test of the cluster, as one process each: `python -m tests.cluster.steps <step> …`."""

from __future__ import annotations

import sys

from jobs.flow.running import run_node
from jobs.lib import tables
from jobs.lib.errors import Skipped
from jobs.lib.solution import load_solution


def day(ds: str) -> None:
    """Every node of a day, as a run of the DAG does it."""
    solution = load_solution()
    for node in solution.nodes():
        try:
            run_node(solution, node.name, [ds], if_due=True)
        except Skipped as reason:
            print(reason)


def correct(ds: str) -> None:
    """The input of a day comes again, without one user."""
    behavior = load_solution().tables.behavior
    events = tables.read_days(behavior, [ds])
    gone = events.agg({"user_id": "min"}).first()[0]
    tables.write_days(events.where(events.user_id != gone).localCheckpoint(), behavior.table, [ds], behavior.table)


def write(ds: str, count: str, rounds: str) -> None:
    """A day of a table again and again, as one of several writers; each row tells how many its writer has."""
    from jobs.lib.locks import writing
    from jobs.lib.session import spark

    for _ in range(int(rounds)):
        rows = (
            spark()
            .range(int(count))
            .selectExpr(
                "'-1' AS group_key",
                "CAST(id AS STRING) AS item_id",
                f"CAST({count} AS DOUBLE) AS score",
                "CAST(id + 1 AS INT) AS rank",
                f"'{ds}' AS ds",
            )
        )
        with writing("contended"):
            tables.write_days(rows, "contended", [ds], "recall_hot")


if __name__ == "__main__":
    {step.__name__: step for step in (day, correct, write)}[sys.argv[1]](*sys.argv[2:])
