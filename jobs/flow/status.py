"""`recflow status`: per table and node the last ds, and what waits, is frozen, late, failed, stale or left a gap."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from jobs.flow.lineage import Ledger, State
from jobs.flow.running import consecutive, span
from jobs.flow.shown import aligned
from jobs.lib import partitions
from jobs.lib.days import add_days, day_number, day_range, window
from jobs.lib.input_tables import TableConfig
from jobs.lib.solution import Node, Solution


@dataclass(frozen=True)
class TableStatus:
    """An input table. late: days from its last ds to the newest that is over; gaps: days between its first and last
    ds that are not there. A `once` snapshot has neither."""

    table: str
    days: list[str]
    gaps: list[str]
    late: int
    is_frozen: bool


@dataclass(frozen=True)
class NodeStatus:
    """A node over the days looked at. waiting: input has come and the node was not run, after its last ds; gaps: the
    same between its first and last ds."""

    node: Node
    states: dict[str, State]
    gaps: list[str]
    waiting: list[str]

    def having(self, name: str) -> list[str]:
        return [ds for ds, state in self.states.items() if state.name == name]


def yesterday(solution: Solution) -> str:
    """The newest day that is over in the solution's zone."""
    return add_days(datetime.now(solution.zone).strftime("%Y%m%d"), -1)


def table_status(config: TableConfig, up_to: str) -> TableStatus:
    days = [ds for ds in partitions.present_days(config) if ds <= up_to]
    is_frozen = partitions.is_frozen(config.table)
    if config.snapshot == "once" or not days:
        return TableStatus(config.table, days, [], 0, is_frozen)
    gaps = sorted(set(day_range(days[0], days[-1])) - set(days))
    return TableStatus(config.table, days, gaps, day_number(up_to) - day_number(days[-1]), is_frozen)


def node_status(node: Node, ledger: Ledger, days: list[str], arrived: Collection[str]) -> NodeStatus:
    """arrived: days whose input is there."""
    states = {ds: ledger.state(ds, node) for ds in days}
    made = [ds for ds, state in states.items() if state.name != "missing"]
    open_days = [ds for ds in days if ds in arrived and states[ds].name == "missing"]
    if not made:
        return NodeStatus(node, states, [], open_days)
    gaps = [ds for ds in open_days if made[0] < ds < made[-1]]
    return NodeStatus(node, states, gaps, [ds for ds in open_days if ds > made[-1]])


def status(solution: Solution, up_to: str, days: int) -> str:
    """The whole answer, about so many days up to a ds."""
    inputs = [c for c in (solution.tables.user, solution.tables.item, solution.tables.behavior) if c is not None]
    tables = [table_status(config, up_to) for config in inputs]
    looked_at, ledger = window(up_to, days), Ledger(solution)
    present = [(config, table.days) for config, table in zip(inputs, tables, strict=True)]
    arrived = {ds for ds in looked_at if all(partitions.as_of_day(config, ds, there) for config, there in present)}
    nodes = [node_status(node, ledger, looked_at, arrived) for node in solution.nodes()]
    lines = [f"{solution.scenario}: {days} days up to ds={up_to} ({solution.timezone})", ""]
    rows = [("table", "last ds", "days", "gaps", "late", "frozen")]
    for table in tables:
        counts = (len(table.days), len(table.gaps), table.late)
        shown = [str(n or "") for n in counts]
        rows.append((table.table, table.days[-1] if table.days else "none", *shown, "yes" if table.is_frozen else ""))
    lines += [*aligned(rows), ""]
    rows = [("node", "last ds", "present", "stale", "failed", "skipped", "gaps", "waiting")]
    for found in nodes:
        made = [ds for ds, state in found.states.items() if state.name in ("present", "stale")]
        counts = [*(len(found.having(name)) for name in ("present", "stale", "failed", "skipped"))]
        counts += [len(found.gaps), len(found.waiting)]
        rows.append((found.node.name, made[-1] if made else "none", *[str(n or "") for n in counts]))
    return "\n".join([*lines, *aligned(rows), *_details(tables, nodes)])


def _details(tables: list[TableStatus], nodes: list[NodeStatus]) -> list[str]:
    found = [f"{t.table} is frozen: `recflow unfreeze {t.table}` lets its days flow" for t in tables if t.is_frozen]
    found += [f"{t.table} is {t.late} days late: nothing after ds={t.days[-1]}" for t in tables if t.late]
    found += [f"{t.table} lacks {_spans(t.gaps)}" for t in tables if t.gaps]
    for node in nodes:
        found += [f"{node.node.name} failed for ds={ds}: {node.states[ds].why}" for ds in node.having("failed")]
        stale = node.having("stale")
        if stale:
            found.append(f"{node.node.name} is stale for {_spans(stale)}: {node.states[stale[0]].why}")
        found += [f"{node.node.name} was not run for {_spans(node.gaps)}"] if node.gaps else []
    return ["", *found, ""] if found else []


def _spans(days: list[str]) -> str:
    return ", ".join(span(run) for run in consecutive(days))
