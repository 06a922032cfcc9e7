"""Why a day is not published yet: the first nodes upstream that are late, in words. Free of Spark.

The flow goes stage by stage, so only what could be at work now is named: anchors that wait; else, of the first stage
that is not done, the nodes whose inputs are all there.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from jobs.flow.lineage import Ledger, run_name
from jobs.flow.running import span
from jobs.lib import partitions, runs
from jobs.lib.solution import Node, Solution

LEFT = ("missing", "failed")


def is_published(solution: Solution, ds: str) -> bool:
    """Has the day's publish come to its end, and is its bundle there?"""
    return Ledger(solution).is_there(ds, solution.node("publish"))


def late(solution: Solution, ds: str) -> list[str]:
    """What publish of ds waits for, the first of each line of nodes; never empty."""
    inputs = [c for c in (solution.tables.user, solution.tables.item, solution.tables.behavior) if c is not None]
    held = [obstacle for config in inputs if (obstacle := partitions.obstacle(config, ds)) is not None]
    if held:
        return [_with_newest(solution, obstacle) for obstacle in held]
    running = runs.now_running()
    by_reason: dict[str, list[str]] = {}
    for node in first_left(solution, ds, running):
        by_reason.setdefault(_why(solution, node, ds, running), []).append(run_name(solution, node))
    return [f"{_listed(late_nodes)}: {why}" for why, late_nodes in by_reason.items()]


def first_left(solution: Solution, ds: str, running: dict[str, dict[str, Any]]) -> list[Node]:
    """The nodes of the first stage that is not done whose inputs are there; publish itself where only it is left."""
    ledger = Ledger(solution)

    def is_left(node: Node) -> bool:
        is_at_work = ds in running.get(run_name(solution, node), {"days": []})["days"]
        return is_at_work or ledger.outcome(ds, node).name in LEFT

    left = [node for node in solution.nodes() if not node.always and is_left(node)]
    left = left or [solution.node("publish")]
    names = {node.name for node in left}
    return [node for node in left if node.stage == left[0].stage and not names & set(node.inputs)]


def _why(solution: Solution, node: Node, ds: str, running: dict[str, dict[str, Any]]) -> str:
    name = run_name(solution, node)
    if ds in running.get(name, {"days": []})["days"]:
        usual = runs.usual_seconds(name, ds)
        return f"running since {_clock(running[name]['since'], solution)}{_usually(usual)}"
    run = runs.run_of(name, ds)
    if run is not None and run["state"] == runs.FAILED:
        return f"failed: {run['error'].splitlines()[0]}"
    for other, about in running.items():
        since = _clock(about["since"], solution)
        return f"not started, its turn comes after {other} {span(about['days'])} (running since {since})"
    return "not started, though what it reads is there: is the DAG paused, or is its task queued or stopped?"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _with_newest(solution: Solution, obstacle: str) -> str:
    """For whoever has to ask the table's owner."""
    for config in (solution.tables.user, solution.tables.item, solution.tables.behavior):
        if config is not None and f"{config.table} ds=" in obstacle:
            days = partitions.present_days(config)
            return f"{obstacle} (newest: {'ds=' + days[-1] if days else 'none'})"
    return obstacle


def _clock(since: float, solution: Solution) -> str:
    return datetime.fromtimestamp(since, solution.zone).strftime("%H:%M")


def _usually(seconds: float | None) -> str:
    if seconds is None:
        return ", never timed before"
    return f", usually {seconds:.0f} s" if seconds < 90 else f", usually {seconds / 60:.0f} min"
