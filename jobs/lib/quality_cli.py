"""`recflow quality`: what was judged of a day, and letting a check that blocks pass once."""

from __future__ import annotations

import argparse
from typing import Any

from jobs.lib import quality_results
from jobs.lib.days import check_ds
from jobs.lib.scenarios import add_solution_flag
from jobs.lib.solution import load_solution

COLUMNS = ("level", "severity", "table", "contract", "check", "observed", "orange", "red", "")


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="every check of a day; ends with 1 when something blocks")
    show.add_argument("--ds", required=True, help="the day, yyyymmdd")
    show.add_argument("--table", help="only this table")
    add_solution_flag(show)
    override = actions.add_parser("override", help="let the next write of a table and ds pass one check that blocks it")
    for flag, text in (
        ("--table", "the table that is blocked"),
        ("--ds", "the day, yyyymmdd"),
        ("--check", "the check that blocks"),
        ("--who", "who answers for it"),
        ("--why", "why it may pass"),
    ):
        override.add_argument(flag, required=True, help=text)


def run(arguments: argparse.Namespace) -> int:
    ds = check_ds(arguments.ds)
    if arguments.action == "override":
        quality_results.override(arguments.table, ds, arguments.check, arguments.who, arguments.why)
        print(f"{arguments.table} ds={ds}: check {arguments.check} passes once, at the next run of the node")
        return 0
    writers = quality_results.writers(load_solution(arguments.solution))
    judged = [day for day in quality_results.of_day(ds, writers) if arguments.table in (None, day["table"])]
    lines = shown(judged)
    print("\n".join(lines) if lines else f"nothing was judged for ds={ds}")
    return 1 if quality_results.blocking(judged) else 0


def shown(judged: list[dict[str, Any]]) -> list[str]:
    """A readable table, the worst first."""
    worst = {"red": 0, "orange": 1, "no_history": 2, "green": 3}
    results = [(day["table"], day["contract"], result) for day in judged for result in day["results"]]
    results.sort(key=lambda r: (not r[2]["blocks"], worst[r[2]["level"]], *r[:2], r[2]["name"]))
    rows = [COLUMNS] if results else []
    for table, contract, result in results:
        limits = (result["orange"] or "", result["red"] or "")
        observed = quality_results.described(result)
        about = (result["level"], result["severity"], table, contract, result["name"])
        rows.append((*about, observed, *limits, _remark(result)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))] if rows else []
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _remark(result: dict[str, Any]) -> str:
    if result["override"]:
        return f"{result['override']['who']} let it pass: {result['override']['why']}"
    return "blocks" if result["blocks"] else ""
