"""Runs a plan: node by node, the nodes that later days look back on for the whole range in one pass.

Each step looks again at what is still to do, so that what another run has made meanwhile, or what turned out the same
although an input was made again, is not repeated. It stops at the first failure. What was asked for and what is done is
kept in `_backfills/<number>.json`, so that `--continue` goes on where it stopped.
"""

from __future__ import annotations

import json
import logging
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, replace

from jobs.flow.lineage import Ledger, outputs, reads_of, run_name
from jobs.flow.plan import LEFT, Plan, Request, plan
from jobs.flow.running import make, skip, span
from jobs.lib import runs
from jobs.lib.errors import RecflowError
from jobs.lib.locks import is_held, writing
from jobs.lib.object_store import ObjectChanged, open_store
from jobs.lib.settings import settings
from jobs.lib.solution import Node, Solution

log = logging.getLogger("recflow")

PASS_DAYS = 62  # of a range in one pass: two months of a log, whatever the range

Step = tuple[Node, list[str]]


class Backfill:
    """One run of a plan. Raises what the first failing node raised, and then nothing after it has begun."""

    def __init__(self, solution: Solution, request: Request, number: int, done: set[tuple[str, str]]) -> None:
        self.solution, self.request, self.number, self.done = solution, request, number, done
        self.made: set[tuple[str, str]] = set()
        self.is_stopped = False
        self.started, self.worked = time.monotonic(), 0.0

    def run(self) -> Plan:
        planned = plan(self.solution, self.request)
        steps = [step for node, days in planned.steps() for step in self._passes(node, days)]
        log.info("backfill %s: %s partitions in %s steps", self.number, sum(len(days) for _, days in steps), len(steps))
        _skip(self.solution, planned)
        self._weights = _weights(self.solution, steps)
        self._total = sum(self._weights[node.name] * len(days) for node, days in steps)
        self._keep("running")
        try:
            self._run_all(steps)
        except BaseException as error:
            self._keep("failed", str(error))
            if isinstance(error, RecflowError):
                self._collect(steps)
            log.info("backfill %s stopped; `recflow backfill run --continue` goes on from here", self.number)
            raise
        self._keep("done")
        log.info("backfill %s: done in %s", self.number, _clock(time.monotonic() - self.started))
        return planned

    def _passes(self, node: Node, days: list[str]) -> list[Step]:
        size = PASS_DAYS if node.history else 1
        return [(node, days[at : at + size]) for at in range(0, len(days), size)]

    def _run_all(self, steps: list[Step]) -> None:
        todo: dict[str, tuple[Node, list[list[str]]]] = {}
        for node, days in steps:
            todo.setdefault(node.name, (node, []))[1].append(days)
        if self.request.parallel == 1:
            for node, passes in todo.values():
                self._run_node(node, passes)
        else:
            self._run_at_once(todo)

    def _run_at_once(self, todo: dict[str, tuple[Node, list[list[str]]]]) -> None:
        """Nodes that read nothing of each other at the same time. After a failure those at work end their pass."""
        before = {name: _read_by(self.solution, node, passes[0][-1]) for name, (node, passes) in todo.items()}
        running: dict[Future, str] = {}
        with ThreadPoolExecutor(self.request.parallel) as pool:
            try:
                while todo or running:
                    ready = [n for n in todo if not before[n] & ({*todo, *running.values()} - {n})]
                    for name in ready[: self.request.parallel - len(running)]:
                        running[pool.submit(self._run_node, *todo.pop(name))] = name
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        running.pop(future)
                        future.result()
            finally:
                self.is_stopped = True

    def _run_node(self, node: Node, passes: list[list[str]]) -> None:
        for days in passes:
            if self.is_stopped:
                return
            # Another backfill must not make between the look and the work what would then be made, and so be gone for a
            # moment, again.
            with writing(f"_backfill-{run_name(self.solution, node)}"):
                self._make(node, self._still_to_do(node, days), days)
            self.done |= {(node.name, ds) for ds in days}
            self.worked += self._weights[node.name] * len(days)
            self._keep("running")
            self._tell()

    def _make(self, node: Node, todo: list[str], days: list[str]) -> None:
        if same := sorted(set(days) - set(todo)):
            log.info("%s %s: made from the same already", run_name(self.solution, node), span(same))
        if todo:
            log.info("%s %s", run_name(self.solution, node), span(todo))
            make(self.solution, self._with_params(node, todo), todo)
            self.made |= {(node.name, ds) for ds in todo}

    def _collect(self, steps: list[Step]) -> None:
        """What was judged before something was blocked is collected all the same."""
        for node, days in steps:
            if node.always:
                make(self.solution, node, days)

    def _still_to_do(self, node: Node, days: list[str]) -> list[str]:
        ledger = Ledger(self.solution)
        if node.always:
            return [ds for ds in days if ("publish", ds) in self.made or ledger.state(ds, node).name in LEFT]
        is_moved = {self.request.last} if node.name == "publish" and self.request.set_latest else set()
        asked = set(days) if self.request.force else is_moved & set(days)
        forced = {ds for ds in asked if (node.name, ds) not in self.done}
        return [ds for ds in days if ds in forced or ledger.state(ds, node).name != "present"]

    def _with_params(self, node: Node, days: list[str]) -> Node:
        """Readers go back once, to the last ds: not day by day through the range."""
        if node.name != "publish":
            return node
        return replace(node, params={"set_latest": self.request.set_latest and self.request.last in days})

    def _tell(self) -> None:
        spent, share = time.monotonic() - self.started, self.worked / self._total
        left = f", about {_clock(spent / share - spent)} left" if share < 1 else ""
        log.info("backfill %s: %.0f%% after %s%s", self.number, 100 * share, _clock(spent), left)

    def kept(self, state: str, error: str = "") -> bytes:
        """What `--continue` needs to know."""
        about = {"scenario": self.solution.scenario, "request": asdict(self.request), "state": state, "error": error}
        return json.dumps(about | {"done": sorted(self.done)}, sort_keys=True).encode()

    def _keep(self, state: str, error: str = "") -> None:
        _store().put(_key(self.number), self.kept(state, error))


def run(solution: Solution, request: Request) -> Plan:
    """Run what a plan of the request says."""
    number = max((int(key[-11:-5]) for key in _store().list("_backfills/")), default=0) + 1
    while True:
        backfill = Backfill(solution, request, number, set())
        try:
            _store().swap(_key(number), None, backfill.kept("running"))
        except ObjectChanged:
            number += 1  # another one began in this moment
            continue
        with writing(_lock(number)):
            return backfill.run()


def go_on(solution: Solution) -> Plan:
    """Go on with the scenario's newest backfill that stopped before its end, not with one that is at work. Raises
    RecflowError when there is none."""
    for key in reversed(_store().list("_backfills/")):
        kept, number = json.loads(_store().get(key)), int(key[-11:-5])
        if kept["state"] == "done" or kept["scenario"] != solution.scenario or is_held(_lock(number)):
            continue
        asked = {k: tuple(v) if isinstance(v, list) else v for k, v in kept["request"].items()}
        with writing(_lock(number)):
            return Backfill(solution, Request(**asked), number, {(name, ds) for name, ds in kept["done"]}).run()
    raise RecflowError("there is no backfill to go on with: each came to its end, or is at work")


def _key(number: int) -> str:
    return f"_backfills/{number:06d}.json"


def _lock(number: int) -> str:
    return f"_backfill-{number:06d}"


def _skip(solution: Solution, planned: Plan) -> None:
    """Days on which a node is not due are kept as skipped, with the reason, as in a daily run."""
    skipped = [entry for entry in planned.entries if entry.state == "skipped"]
    for entry in skipped:
        skip(solution, entry.node, entry.ds, entry.why)
    if skipped:
        log.info("%s: skipped on %s days: %s", run_name(solution, skipped[0].node), len(skipped), skipped[0].why)


def _read_by(solution: Solution, node: Node, ds: str) -> set[str]:
    """Names of the nodes whose tables a node reads, or that have to be over before it."""
    makers = {t: n.name for n in solution.nodes() for t in outputs(solution, n)}
    makers |= {config: "create_data" for config in _input_tables(solution)}
    reads = reads_of(ds, solution, node)
    read = {makers[table] for table, _ in (*reads.needs, *reads.wanted, *reads.found) if table in makers}
    after = {"publish"} if node.always else set(node.inputs)
    return read | after | ({"rank_model"} if reads.model_up_to else set())


def _input_tables(solution: Solution) -> list[str]:
    tables = solution.tables
    return [config.table for config in (tables.user, tables.item, tables.behavior) if config is not None]


def _weights(solution: Solution, steps: list[Step]) -> dict[str, float]:
    """Seconds that a node's last run took per ds; 1 where it never ran."""
    weights = {}
    for node in {node.name: node for node, _ in steps}.values():
        name = run_name(solution, node)
        known = [runs.run_of(name, ds) for ds in runs.days_of(name)[-1:]]
        weights[node.name] = max([run["seconds"] for run in known if run and "seconds" in run] or [1.0])
    return weights


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _store():
    return open_store(settings().warehouse_root)
