"""A plan as text: states counted per node, then why each partition is not present or will run."""

from __future__ import annotations

from itertools import groupby

from jobs.flow.plan import Entry, Plan
from jobs.lib.days import day_number
from jobs.lib.solution import Solution

STATES = ("present", "stale", "missing", "failed", "skipped", "waiting", "not asked")


def shown(plan: Plan, solution: Solution) -> str:
    """The whole plan."""
    days = plan.request.days
    steps = plan.steps()
    made = sum(len(days_) for _, days_ in steps)
    head = f"{solution.scenario} ds={days[0]}..{days[-1]} ({len(days)} days): "
    head += f"{made:,} partitions of {len(steps)} nodes to make" if made else "everything is present, nothing to make"
    rows = [("node", *STATES, "to run")]
    for node, entries in groupby(plan.entries, key=lambda entry: entry.node):
        of_node = list(entries)
        counts = [sum(entry.state == state for entry in of_node) for state in STATES]
        rows.append((node.name, *[str(n or "") for n in counts], str(sum(entry.runs for entry in of_node) or "")))
    lines = [_reason(group) for group in _alike(plan.entries)]
    unasked = {entry.why for entry in plan.entries if entry.state == "not asked"} - {""}
    lines += [f"        not asked: {why}" for why in sorted(unasked)]
    return "\n".join([head, "", *aligned(rows), *(["", "Why", *lines] if lines else [])])


def _alike(entries: list[Entry]) -> list[list[Entry]]:
    """Runs of days of a node with the same state and reason, of everything that is not simply present."""
    groups: list[list[Entry]] = []
    for entry in entries:
        if entry.state in ("present", "not asked") and not entry.runs:
            continue
        last = groups[-1][-1] if groups else None
        is_alike = last is not None and (last.node, last.state, last.runs) == (entry.node, entry.state, entry.runs)
        if is_alike and last.why == entry.why and day_number(entry.ds) == day_number(last.ds) + 1:
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return groups


def _reason(group: list[Entry]) -> str:
    first, last = group[0], group[-1]
    days = first.ds if len(group) == 1 else f"{first.ds}..{last.ds}"
    runs = "runs" if first.runs else "    "
    return f"  {runs}  {first.node.name:<18} {days:<18} {first.state}: {first.why}"


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """The first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
