"""`recflow try`: somebody's files through the whole flow, afresh."""

from __future__ import annotations

from jobs.flow import backfill
from jobs.flow.plan import Request
from jobs.lib import partitions
from jobs.lib.locks import writing
from jobs.lib.solution import load_solution


def try_folder(registration: str, folder: str, days: int) -> None:
    """Import files, run the flow for the last `days` days of the data, and print what came out."""
    from jobs.data.import_files import import_folder
    from jobs.publish.summary import print_summary

    for report in import_folder(registration, folder):
        print(report)
    solution = load_solution(registration)
    for table in [solution.table(node.name) for node in solution.nodes()]:
        with writing(table):
            partitions.forget(table)  # what was made from an earlier import, or by another registration
    span = partitions.present_days(solution.tables.behavior)[-days:]
    backfill.run(solution, Request(span[0], span[-1], force=True, every_ds=True))
    print_summary(solution, span[-1])
