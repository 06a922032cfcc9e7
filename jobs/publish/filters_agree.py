"""Were a day's lists made by the filters that would be published with them? Free of Spark.

A bundle's filters are those of the solution as it is now, its `filtered` and `recommendations` what the last runs left.
"""

from __future__ import annotations

from jobs.flow.lineage import Origin, config_id
from jobs.lib import partitions, runs
from jobs.lib.errors import RecflowError
from jobs.lib.solution import Solution


def check_filters(solution: Solution, ds: str) -> None:
    """Raises RecflowError where they were not. Partitions of which no finished run is known pass."""
    table, lists = solution.table("filtered"), solution.table("recommendations")
    node = next((node for node in solution.nodes() if node.name == "filtered"), None)
    origin = _origin(table, ds)
    if node is not None and origin is not None and origin["config"] != config_id(solution, node):
        raise RecflowError(
            f"{table} ds={ds} was made by other filters, or by other settings that they stand on: run filtered and "
            "recommendations again"
        )
    record, made_from = partitions.record(table, ds) if node is not None else None, _origin(lists, ds)
    removed = record["content"] if record is not None else None
    if made_from is not None and made_from["inputs"].get(table, {}).get(ds) != removed:
        raise RecflowError(f"{lists} ds={ds} was made by other filters: run recommendations again")


def _origin(table: str, ds: str) -> Origin | None:
    run = runs.run_of(table, ds)
    return run["origin"] if run is not None and run["state"] == runs.DONE else None
