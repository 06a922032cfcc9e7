"""`recflow restore`: an empty machine goes on from what is in the bucket. Free of Spark.

Tables, run records, freezes and overrides are in the warehouse; bundles and deployed versions under the publish prefix.
What only RECFLOW_HOME knew is Airflow's history of runs and the first day of each scenario's schedule. A new Airflow
begins with the day on which it is set up, and would leave out the days since the machine was lost: so a scenario's
first day is set to the one after the newest that it published. Days before it are not run again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from jobs.deploy.active import active_version, deployments
from jobs.flow.lineage import has_table
from jobs.flow.shown import aligned
from jobs.flow.status import yesterday
from jobs.lib import partitions, runs
from jobs.lib.days import add_days, check_ds, day_number
from jobs.lib.errors import RecflowError
from jobs.lib.first_ds import set_first_ds
from jobs.lib.object_store import open_store
from jobs.lib.platform import is_running
from jobs.lib.settings import settings
from jobs.lib.solution import Solution
from jobs.publish.versions import Version, all_versions

MOST_DAYS = 14  # that are made up for without being asked


@dataclass(frozen=True)
class TableFound:
    """A table of the solution as the warehouse has it. problem: what its records promise and its files do not hold."""

    table: str
    days: list[str]
    problem: str


def restore(solutions: Collection[Solution], first: str | None = None) -> str:
    """Say what is there and set the first day of each scenario's schedule. first: that day, where it is to be another.

    A scenario that never published is left to begin when Airflow first sees it. Raises RecflowError, and sets nothing,
    while Airflow runs, when there is nothing to go on from, or when more than MOST_DAYS would have to be made up for
    unasked.
    """
    if running := is_running():
        raise RecflowError(f"Airflow is running at {running['address']}: `recflow stop` first, restore, then start it")
    lines, begins = [], []
    for solution in solutions:
        tables, bundles = tables_found(solution), _bundles(solution)
        newest = _newest_published(solution, bundles)
        lines += _shown(solution, tables, bundles)
        if newest is None and first is None:
            lines += [f"{solution.scenario} never published: it begins with the day on which Airflow first sees it", ""]
            continue
        begin = check_ds(first or add_days(newest, 1))
        left = day_number(yesterday(solution)) - day_number(begin) + 1
        if first is None and left > MOST_DAYS:
            raise RecflowError(
                f"{solution.scenario} was last published for ds={newest}, {left} days ago: say with --from 20261121 "
                f"--solution {solution.scenario} which day Airflow is to begin with"
            )
        begins.append((solution, begin))
        days = f"{left} days to make up for" if left > 0 else "nothing to make up for"
        lines += [f"{solution.scenario} begins with ds={begin}: {days}; days before it are not run again", ""]
    if not begins:
        names = " or ".join(solution.scenario for solution in solutions)
        raise RecflowError(f"{settings().publish_root} has no bundle of {names}: nothing to go on from")
    for solution, begin in begins:
        set_first_ds(solution, begin)
    version = active_version(deployments())
    lines += [f"deployed: {version or 'nothing; what runs is the code at hand'}"]
    names = ", ".join(solution.scenario for solution, _ in begins)
    return "\n".join([*lines, f"now start Airflow and unpause {names}: a new Airflow pauses every DAG"])


def tables_found(solution: Solution) -> list[TableFound]:
    """The inputs that are in the warehouse, and what the flow makes."""
    inputs = [c for c in (solution.tables.user, solution.tables.item, solution.tables.behavior) if c is not None]
    names = [config.table for config in inputs if config.source is None]
    names += [solution.table(node.name) for node in solution.nodes() if has_table(node)]
    return [_table(name) for name in names]


def _table(name: str) -> TableFound:
    """Its newest day with rows stands for the others: records and files are lost by folders, not one by one."""
    days = partitions.present_days(name)
    problem = ""
    for ds in days[::-1]:
        record = partitions.record(name, ds)
        if record is not None and record["rows"]:
            delta = partitions.delta_table(name)
            stored = {part["ds"] for part in delta.partitions()} if delta is not None else set()
            problem = "" if ds in stored else f"its rows of ds={ds} are gone"
            break
    return TableFound(name, days, problem)


def _bundles(solution: Solution) -> list[Version]:
    store = open_store(f"{settings().publish_root}/{solution.scenario}")
    return [version for version in all_versions(store) if version.published is not None]


def _newest_published(solution: Solution, bundles: list[Version]) -> str | None:
    """By the runs of publish; where the warehouse is lost, by the bundles."""
    table = solution.table("publish")
    done = [ds for ds in runs.days_of(table) if (runs.run_of(table, ds) or {}).get("state") == runs.DONE]
    return max([*done[-1:], *(bundle.ds for bundle in bundles)], default=None)


def _shown(solution: Solution, tables: list[TableFound], bundles: list[Version]) -> list[str]:
    lost = not any(found.days for found in tables)
    rows = [("table", "first ds", "last ds", "days", "")]
    rows += [
        (t.table, *((t.days[0], t.days[-1]) if t.days else ("none", "")), str(len(t.days)), t.problem) for t in tables
    ]
    latest = next((bundle for bundle in bundles if bundle.is_latest), None)
    readers = f"readers follow ds={latest.ds} {latest.version}" if latest else "latest.json names none of them"
    lines = [f"{solution.scenario}: warehouse {settings().warehouse_root}", ""]
    lines += (
        ["no table is there: the warehouse is lost, import the inputs again and backfill"] if lost else aligned(rows)
    )
    return [*lines, "", f"bundles: {len(bundles)} under {settings().publish_root}/{solution.scenario}; {readers}"]
