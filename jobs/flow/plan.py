"""What a backfill would do: per node and ds what has become of it, whether it will run, and why. Free of Spark.

For every ds of the range: the nodes that later days look back on. For its last ds, or for every ds when each is to be
published: the others too. Of days before, and of the other nodes, what is there and stale or failed is repaired, and
what is wanted and was never made is made. So a run leaves nothing in the range that was made from something else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from jobs.data.create_data import BEHAVIOR_TABLE, ITEM_TABLE, USER_TABLE
from jobs.flow.lineage import Ledger, outputs
from jobs.lib.days import check_ds, day_range
from jobs.lib.errors import RecflowError
from jobs.lib.solution import CREATE_DATA, Node, Solution
from jobs.ranking.rank_model import is_cadence_day

LEFT = ("missing", "failed")  # of what collects a day's results, when a run was killed before it


@dataclass(frozen=True)
class Request:
    """What is asked for. nodes: these and what comes after them (none: all); exclude: never run; force: also what is
    present; every_ds: publish every ds and not only the last; set_latest: readers may be moved back; parallel: nodes
    at a time."""

    first: str
    last: str
    nodes: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    force: bool = False
    every_ds: bool = False
    set_latest: bool = False
    parallel: int = 1

    @property
    def days(self) -> list[str]:
        return day_range(check_ds(self.first), check_ds(self.last))


class Entry(NamedTuple):
    """One node on one ds. state: present, stale, missing, failed, skipped, waiting for an input that is not there, or
    not asked: lists of a day that is not to be published. exists: there is
    something that others can read, made again or not.
    """

    node: Node
    ds: str
    state: str
    why: str
    runs: bool
    exists: bool


@dataclass
class Plan:
    """entries: in the order of the flow, then of the days; of days before the range only those that will run."""

    request: Request
    entries: list[Entry] = field(default_factory=list)

    def steps(self) -> list[tuple[Node, list[str]]]:
        """What will run: each node with its days, oldest first, in the order of the flow."""
        found: dict[str, tuple[Node, list[str]]] = {}
        for entry in self.entries:
            if entry.runs:
                found.setdefault(entry.node.name, (entry.node, []))[1].append(entry.ds)
        return [(node, sorted(days)) for node, days in found.values()]

    def waiting(self) -> list[Entry]:
        """What was asked for and cannot be made yet."""
        return [entry for entry in self.entries if entry.state == "waiting"]


def plan(solution: Solution, request: Request) -> Plan:
    """Raises RecflowError for an unknown node, and naming an excluded one whose output is missing and needed."""
    return _Planner(solution, request).plan()


def all_nodes(solution: Solution) -> list[Node]:
    """The nodes of the scenario's DAG and, for a solution with demo data, what makes these: in the order they run."""
    has_demo_tables = set(outputs(solution, CREATE_DATA)) == {USER_TABLE, ITEM_TABLE, BEHAVIOR_TABLE}
    return [*([CREATE_DATA] if solution.demo is not None and has_demo_tables else []), *solution.nodes()]


def named(solution: Solution, names: Iterable[str]) -> list[Node]:
    """Nodes by node or table name. Raises RecflowError with the names there are."""
    nodes = all_nodes(solution)
    by_name = {node.name: node for node in nodes} | {solution.table(node.name): node for node in nodes}
    if unknown := [name for name in names if name not in by_name]:
        raise RecflowError(f"no node {unknown[0]!r}; there are: {', '.join(node.name for node in nodes)}")
    return [by_name[name] for name in names]


class _Planner:
    def __init__(self, solution: Solution, request: Request) -> None:
        self.solution, self.request, self.days = solution, request, set(request.days)
        self.ledger = Ledger(solution)
        self.nodes = all_nodes(solution)
        self.behavior = solution.tables.behavior.table
        self.maker = {table: node for node in self.nodes for table in outputs(solution, node)}
        self.excluded = {node.name for node in named(solution, request.exclude)}
        self.selected = self._selected() - self.excluded
        self.entries: dict[tuple[str, str], Entry] = {}

    def plan(self) -> Plan:
        for node in self.nodes:
            if node.name in self.selected and not node.always:
                for ds in self.request.days:
                    self._visit(node, ds)
        for node in self.nodes:
            if node.always and node.name in self.selected:
                self._follow_publish(node)
        place = {node.name: number for number, node in enumerate(self.nodes)}
        shown = [e for e in self.entries.values() if e.runs or (e.node.name in self.selected and e.ds in self.days)]
        return Plan(self.request, sorted(shown, key=lambda entry: (place[entry.node.name], entry.ds)))

    def _selected(self) -> set[str]:
        """The nodes asked for and everything that reads what they make."""
        if not self.request.nodes:
            return {node.name for node in self.nodes}
        chosen = {node.name for node in named(self.solution, self.request.nodes)}
        for node in self.nodes:
            read = {self.maker[table].name for table, _ in self._pairs(node, self.request.last) if table in self.maker}
            if read & chosen or (node.always and "publish" in chosen):
                chosen.add(node.name)
        return chosen

    def _pairs(self, node: Node, ds: str) -> list[tuple[str, str]]:
        reads = self.ledger.reads(ds, node)
        model = [(self.solution.table("rank_model"), reads.model_up_to)] if reads.model_up_to else []
        return [*reads.needs, *reads.wanted, *reads.found, *model]

    def _visit(self, node: Node, ds: str, is_needed: bool = False) -> Entry:
        key, known = (node.name, ds), self.entries.get((node.name, ds))
        if known is None or (is_needed and not known.runs and not known.exists and known.state != "waiting"):
            self.entries[key] = self._entry(node, ds, is_needed)
        return self.entries[key]

    def _entry(self, node: Node, ds: str, is_needed: bool) -> Entry:
        state, why = self.ledger.state(ds, node)
        exists = self.ledger.is_there(ds, node)
        runs = self._should_run(node, ds, state, exists, is_needed)
        if not exists and not runs and node.name not in self.excluded:
            return self._left(node, ds)
        again, lacking, left_out = self._inputs(node, ds, is_needed=runs)
        if state == "present" and again:
            state, why, runs = "stale", again, True
            _, lacking, left_out = self._inputs(node, ds, is_needed=True)
        if node.name in self.excluded:
            return Entry(node, ds, "waiting" if lacking and not exists else state, why, False, exists)
        if runs and left_out:
            maker, day = left_out
            raise RecflowError(f"{maker.name} is excluded, its ds={day} is missing, and {node.name} ds={ds} needs it")
        if runs and lacking:
            return Entry(node, ds, "waiting", lacking, False, exists)
        if runs:
            why = why or ("forced" if state == "present" else "never made")
        return Entry(node, ds, state, why, runs, exists or runs)

    def _left(self, node: Node, ds: str) -> Entry:
        """A day on which the node made nothing, and is not asked to."""
        state, why = "not asked", "lists are made for the last ds; --publish-every makes them for each"
        if node.name == "rank_model":
            state, why = "skipped", f"trained every {self.solution.cadence.rank_model} days and on the last ds"
        return Entry(node, ds, state, why, False, False)

    def _should_run(self, node: Node, ds: str, state: str, exists: bool, is_needed: bool) -> bool:
        if state in ("stale", "failed") or (is_needed and not exists):
            return True
        if node.name == "publish" and self.request.set_latest and ds == self.request.last:
            return True  # readers are moved by publishing
        is_asked = node.name in self.selected and ds in self.days
        if is_asked and self._is_due(node, ds):
            return state != "present" or self.request.force
        return is_asked and exists and self.request.force

    def _is_due(self, node: Node, ds: str) -> bool:
        if node.name not in self.selected or ds not in self.days:
            return False
        if node.history or ds == self.request.last:
            return True
        return is_cadence_day(ds, self.solution) if node.name == "rank_model" else self.request.every_ds

    def _inputs(self, node: Node, ds: str, is_needed: bool) -> tuple[str, str, tuple[Node, str] | None]:
        """Of what a node reads for ds: which is made again first, which it cannot do without and lacks, and which
        excluded node should have made it. is_needed: what it lacks is wanted, because it will run."""
        reads = self.ledger.reads(ds, node)
        again, lacking, left_out = "", "", None
        needed = {*reads.needs, *reads.wanted}
        for table, day in dict.fromkeys((*self.ledger.pairs(ds, node), *self._new_models(reads.model_up_to))):
            maker, is_wanted = self.maker.get(table), (table, day) in needed
            if maker is not None and self._is_planned(maker, day, is_wanted):
                entry = self._visit(maker, day, is_needed and is_wanted)
                runs, exists = entry.runs, entry.exists
                if is_wanted and not exists and maker.name in self.excluded and entry.state != "waiting":
                    left_out = left_out or (maker, day)
            else:
                runs, exists = False, self.ledger.content(table, day) is not None
                if (table, day) == (self.behavior, ds) and node.name != "input_checks":
                    exists = exists and not self._is_blocked(ds)
            which = table if day == ds else f"{table} ds={day}"
            if runs and not again:
                again = f"{which} is made again"
            if not exists and (table, day) in reads.needs and not lacking:
                lacking = f"{which} is not there" if self.ledger.content(table, day) is None else f"{which} is not fit"
        return again, lacking, left_out

    def _is_blocked(self, ds: str) -> bool:
        """Judged unfit, and not to be judged anew before."""
        return self.ledger.is_blocked(ds) and not ("input_checks" in self.selected and ds in self.days)

    def _is_planned(self, maker: Node, ds: str, is_wanted: bool) -> bool:
        """Is it for this plan to say what becomes of a partition? Demo data of other days, and what is only used if it
        is there, are taken as they are."""
        in_range = maker.name in self.selected and ds in self.days
        return in_range or (is_wanted and maker != CREATE_DATA)

    def _new_models(self, up_to: str | None) -> list[tuple[str, str]]:
        """Where no model is there yet, any of the range may become the newest."""
        if up_to is None or any(ds <= up_to for ds in self.ledger.models()):
            return []
        return [(self.solution.table("rank_model"), ds) for ds in self.request.days if ds <= up_to]

    def _follow_publish(self, node: Node) -> None:
        """What collects a day's results runs whenever the day is published."""
        for ds in self.request.days:
            published = self.entries.get(("publish", ds))
            is_there = self.ledger.is_there(ds, node)
            is_left = published is not None and published.exists and self.ledger.state(ds, node).name in LEFT
            runs = published is not None and (published.runs or is_left)
            state = "present" if is_there else "missing" if runs else "not asked"
            why = "the day is published" if runs else ""
            self.entries[node.name, ds] = Entry(node, ds, state, why, runs, runs or is_there)
