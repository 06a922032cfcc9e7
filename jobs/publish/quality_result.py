"""Collects what was judged of a day, blocked writes included, and builds Great Expectations' Data Docs of it.

Grain: one row per (ds, table_name, contract, check_name). Runs when everything else has ended, whatever came of it.
"""

from __future__ import annotations

import logging
from typing import Any

from jobs.lib import quality_results
from jobs.lib.reads import Reads
from jobs.lib.session import spark
from jobs.lib.solution import Node, Solution
from jobs.lib.tables import write_days
from jobs.publish.data_docs import write_data_docs

log = logging.getLogger("recflow")

CONTRACT = "quality_result"
SETTINGS = ()
COLUMNS = (
    "table_name string, contract string, contract_id string, check_name string, kind string, severity string, "
    "level string, is_blocking boolean, observed double, observed_of bigint, orange string, red string, shown string, "
    "overridden_by string, override_reason string, ds string"
)


def result_rows(judged: list[dict[str, Any]]) -> list[tuple]:
    """judged: what `quality_results.of_day` gives."""
    return [
        (
            day["table"], day["contract"], day["contract_id"], r["name"], r["kind"], r["severity"], r["level"],
            r["blocks"], None if r["observed"] is None else float(r["observed"]), r["of"], r["orange"], r["red"],
            quality_results.described(r), *[(r["override"] or {}).get(key) for key in ("who", "why")], day["ds"],
        )
        for day in judged
        for r in day["results"]
    ]  # fmt: skip


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    """No partition: what was judged is kept beside them, and collected whenever a run of the day ends."""
    return Reads()


def main(days: list[str], solution: Solution, node: Node) -> None:
    writers = quality_results.writers(solution) - {solution.table("quality_result")}
    judged = {ds: quality_results.of_day(ds, writers) for ds in days}
    rows = [row for found in judged.values() for row in result_rows(found)]
    write_days(spark().createDataFrame(rows, COLUMNS), solution.table("quality_result"), days, CONTRACT)
    for ds, found in judged.items():
        log.info("Data Docs of ds=%s: %s", ds, write_data_docs(solution.scenario, ds, found))
