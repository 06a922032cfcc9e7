"""`recflow plan`: what this code and solution would change against what is deployed. Free of Spark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs.deploy import package
from jobs.deploy.active import active_version, deployments, manifest_in
from jobs.deploy.description import described, solutions
from jobs.deploy.difference import counts, difference, files
from jobs.flow.lineage import run_name
from jobs.flow.plan import Entry, Request, plan
from jobs.flow.shown import reasons
from jobs.lib import runs
from jobs.lib.days import add_days
from jobs.lib.solution import Solution, load_solution


def changes(path: str | Path | None, days: int) -> str | None:
    """The whole answer; None when a deployment would change nothing. days: as many up to the last that was made are
    looked at for what a backfill would make again."""
    store = deployments()
    version = active_version(store)
    contents = package.contents(Path(load_solution(path).path))
    new = package.version_of(package.zipped(contents))
    if new == version:
        return None
    deployed = manifest_in(store, version) if version else {"files": [], "scenarios": {}}
    head = f"{new}, and {version} is deployed" if version else f"{new}; nothing is deployed"
    lines = [head, *_scenarios(deployed["scenarios"], solutions(path), days)]
    if version:
        changed = files(package.hashes_in(deployed), package.file_hashes(contents))
        lines += ["", f"files: {counts(changed)}", *[f"  {line}" for line in changed]]
    return "\n".join(lines)


def _scenarios(deployed: dict[str, Any], now: dict[str, Solution], days: int) -> list[str]:
    lines = []
    for scenario in sorted({*deployed, *now}):
        found = difference(deployed.get(scenario), described(now[scenario]) if scenario in now else None)
        lines += ["", scenario if found else f"{scenario}: the same"]
        for section, of_section in found.items():
            lines += [f"  {section}: {counts(of_section)}", *[f"    {line}" for line in of_section]]
        if found and scenario in now:
            lines += [f"  {line}" for line in _stale(now[scenario], days)]
    return lines


def _stale(solution: Solution, days: int) -> list[str]:
    """Partitions that are there and would be made from something else now; also what is stale for another reason,
    which is said."""
    made = {ds for node in solution.nodes() for ds in runs.days_of(run_name(solution, node))}
    if not made:
        return ["stale: nothing, as nothing was made yet"]
    last = max(made)
    first = min(ds for ds in made if ds > add_days(last, -days))  # days that were never made are no part of a change
    planned = plan(solution, Request(first, last))
    stale: list[Entry] = [entry for entry in planned.entries if entry.state == "stale"]
    span = f"ds={first}..{last}"
    if not stale:
        return [f"stale: nothing in {span}"]
    nodes = len({entry.node.name for entry in stale})
    return [f"stale: a backfill of {span} would make {len(stale):,} partitions of {nodes} nodes again", *reasons(stale)]
