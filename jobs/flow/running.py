"""Runs nodes: one at a time per table, after the days of their windows that were never made, and keeps how it ended."""

from __future__ import annotations

import importlib
import logging
import time
from dataclasses import replace

from jobs.flow.lineage import Ledger, outputs, run_name
from jobs.lib import partitions, runs
from jobs.lib.data_errors import told_in_one_line
from jobs.lib.days import add_days
from jobs.lib.errors import MissingPartition, RecflowError, Skipped
from jobs.lib.locks import writing
from jobs.lib.object_store import StoreError
from jobs.lib.solution import CLEAN_UP, CREATE_DATA, Node, Solution, find_node

log = logging.getLogger("recflow")


def run_node(solution: Solution, name: str, days: list[str], params: dict | None = None, if_due: bool = False) -> None:
    """Run one node (by node, table or job name) for some days, in this process, after what its windows lack.

    params: what flags say about the demo data; only `create_data` takes any. if_due: raise Skipped, with the reason,
    for a day on which the node's cadence does not want it.
    """
    node = find_node(solution, name)
    if params and node != CREATE_DATA:
        raise RecflowError(f"--{next(iter(params))} is about create_data, not {name}")
    if node == CLEAN_UP:
        importlib.import_module(node.module).main(days, solution, node)
        return
    if if_due:
        _skip_if_not_due(solution, node, days)
    for earlier, earlier_days in never_made(solution, node, days):
        log.info("%s: %s", solution.table(node.name), _filled(solution, earlier, earlier_days))
        make(solution, earlier, earlier_days)
    make(solution, replace(node, params=params) if params else node, days)


def make(solution: Solution, node: Node, days: list[str]) -> None:
    """Run a node for exactly these days, and keep how it ended and what it was made from.

    The origin is taken before anything is read: should an input be replaced meanwhile, the result counts as stale.
    """
    started = time.monotonic()
    with writing(*outputs(solution, node)):
        ledger = Ledger(solution)
        _refuse_missing(solution, node, days, ledger)
        _look_at_windows(solution, node, days, ledger)
        for part in consecutive(days) if node.history else [[ds] for ds in days]:
            _make_part(solution, node, part, ledger)
    log.info("%s %s done in %.1f s", node.name, span(days), time.monotonic() - started)


def _make_part(solution: Solution, node: Node, days: list[str], ledger: Ledger) -> None:
    name, started = run_name(solution, node), time.monotonic()
    origins = {ds: ledger.origin(ds, node) for ds in days}
    try:
        with runs.under_way(name, days), told_in_one_line(f"{name} {span(days)}"):
            importlib.import_module(node.module).main(days, solution, node)
    except MissingPartition:
        raise  # not made yet is no failure of this node
    except Exception as error:
        _keep_failure(name, days, error)
        raise
    seconds, ledger = time.monotonic() - started, Ledger(solution)
    for ds in days:
        runs.done(name, ds, origins[ds], ledger.made(ds, node), seconds / len(days), len(days))


def _keep_failure(name: str, days: list[str], error: Exception) -> None:
    """A store that takes nothing more (a full disk) must not hide what failed."""
    shown = str(error) if isinstance(error, RecflowError) else f"{type(error).__name__}: {error}"
    try:
        for ds in days:
            runs.failed(name, ds, shown)
    except StoreError as unkept:
        log.warning("%s: that it failed could not be kept: %s", name, unkept)


def never_made(solution: Solution, node: Node, days: list[str]) -> list[tuple[Node, list[str]]]:
    """What must run first so that no window is shorter than the inputs allow: nodes with their days, in the order of
    the flow. Only what was never made: what is stale is a backfill's business."""
    by_table, behavior = {solution.table(n.name): n for n in solution.nodes()}, solution.tables.behavior.table
    ledger, wanted = Ledger(solution), {}

    def want(table: str, ds: str) -> bool:
        """Is it there, or can it be made?"""
        if ledger.content(table, ds) is not None:
            return True
        maker = by_table.get(table)
        if maker is None or (maker == node and ds in days):
            return maker is not None
        if (maker.name, ds) not in wanted:
            reads = ledger.reads(ds, maker)
            is_fit = behavior not in {name for name, _ in reads.needs} or not ledger.is_blocked(ds)
            wanted[maker.name, ds] = is_fit and all([want(*pair) for pair in reads.needs])
            if wanted[maker.name, ds]:
                for pair in reads.wanted:
                    want(*pair)
        return wanted[maker.name, ds]

    for ds in days:
        for pair in ledger.reads(ds, node).wanted:
            want(*pair)
    found = [(n, sorted(ds for (name, ds), can in wanted.items() if name == n.name and can)) for n in solution.nodes()]
    return [(n, missing) for n, missing in found if missing]


def consecutive(days: list[str]) -> list[list[str]]:
    """The days cut into runs without a gap."""
    found: list[list[str]] = []
    for ds in sorted(days):
        if found and add_days(found[-1][-1], 1) == ds:
            found[-1].append(ds)
        else:
            found.append([ds])
    return found


def span(days: list[str]) -> str:
    """How days are shown: ds=20261101, or ds=20261101..20261121 (21 days)."""
    return f"ds={days[0]}" if len(days) == 1 else f"ds={days[0]}..{days[-1]} ({len(days)} days)"


def _refuse_missing(solution: Solution, node: Node, days: list[str], ledger: Ledger) -> None:
    tables = solution.tables
    inputs = {c.table: c for c in (tables.user, tables.item, tables.behavior) if c is not None}
    for ds in days:
        for table, day in ledger.reads(ds, node).needs:
            if ledger.content(table, day) is None:
                raise partitions.missing(inputs.get(table, table), [day], run_name(solution, node))


def _look_at_windows(solution: Solution, node: Node, days: list[str], ledger: Ledger) -> None:
    """Days of a window that are not there: marked in the log (and by the features), or refused."""
    absent: dict[str, set[str]] = {}
    for ds in days:
        for table, day in ledger.reads(ds, node).wanted:
            if ledger.content(table, day) is None:
                absent.setdefault(table, set()).add(day)
    for table, missing in absent.items():
        if solution.short_history == "fail":
            raise partitions.missing(table, sorted(missing), run_name(solution, node))
        log.warning("%s: a window is short, %s lacks %s", run_name(solution, node), table, span(sorted(missing)))


def _skip_if_not_due(solution: Solution, node: Node, days: list[str]) -> None:
    not_due = getattr(importlib.import_module(node.module), "not_due", None)
    for ds in days:
        if not_due is not None and (reason := not_due(ds, solution)) is not None:
            skip(solution, node, ds, reason)
            raise Skipped(f"{run_name(solution, node)} ds={ds}: {reason}")


def skip(solution: Solution, node: Node, ds: str, reason: str) -> None:
    """Keep why a node did not run for ds; what another run has made there meanwhile stays its own."""
    with writing(*outputs(solution, node)):
        if not Ledger(solution).is_there(ds, node):
            runs.skipped(run_name(solution, node), ds, reason)


def _filled(solution: Solution, node: Node, days: list[str]) -> str:
    return f"{solution.table(node.name)} was never made for {span(days)}, which its windows need: made first"
