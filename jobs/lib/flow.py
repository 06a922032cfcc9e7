"""The whole flow in one process: what the DAG `home_page` does node by node."""

from __future__ import annotations

import logging

from jobs.lib import partitions
from jobs.lib.cli import run_node
from jobs.lib.solution import Solution, load_solution

log = logging.getLogger("recflow")


def run_flow(solution: Solution, days: list[str]) -> None:
    """Every node for every day, node by node, so that each works off the whole range at once where it can."""
    nodes = solution.nodes()
    has_failed = True
    try:
        for number, node in enumerate(nodes, start=1):
            log.info("[%s/%s] %s", number, len(nodes), solution.table(node.name))
            run_node(solution, node.name, days)
        has_failed = False
    finally:
        for node in nodes:
            if has_failed and node.always:
                run_node(solution, node.name, days)


def try_folder(registration: str, folder: str, days: int) -> None:
    """Import files, run the flow afresh for the last `days` days of the data, and print what came out."""
    from jobs.data.import_files import import_folder
    from jobs.publish.summary import print_summary

    for report in import_folder(registration, folder):
        print(report)
    solution = load_solution(registration)
    for node in solution.nodes():
        partitions.forget(solution.table(node.name))  # what was made from an earlier import, or by another registration
    span = partitions.present_days(solution.tables.behavior)[-days:]
    run_flow(solution, span)
    print_summary(solution, span[-1])
