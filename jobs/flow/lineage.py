"""What each partition was made from, and whether that is still so. Free of Spark.

An origin is {code, config, inputs}: ids of the job's code and of the parts of the solution that it reads, and for every
partition that it read {table: {ds: content}}, content being null where there was none. A partition is present when its
origin is what it would be made from now, and stale when any of it differs.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections import defaultdict
from typing import Any, NamedTuple

from jobs.flow.code import code_id
from jobs.lib import files, partitions, runs, sources
from jobs.lib.days import day_range
from jobs.lib.input_tables import TableConfig
from jobs.lib.object_store import open_store
from jobs.lib.reads import Reads, on_days
from jobs.lib.settings import settings
from jobs.lib.solution import Node, Solution
from jobs.publish.under_way import COLLECTED
from jobs.ranking.models import usable_days

BASE = ("timezone", "scenes", "events", "target", "event_weights")

Origin = dict[str, Any]


class State(NamedTuple):
    """name: present, stale, missing, failed or skipped; why: what differs, the error, the reason."""

    name: str
    why: str = ""


def outputs(solution: Solution, node: Node) -> tuple[str, ...]:
    """The tables that a node writes. input_checks and publish write none; their runs are kept under that name."""
    if node.job == "create_data":
        tables = solution.tables
        return tuple(config.table for config in (tables.user, tables.item, tables.behavior) if config is not None)
    return (solution.table(node.name),)


def has_table(node: Node) -> bool:
    return node.job == "create_data" or importlib.import_module(node.module).CONTRACT is not None


def run_name(solution: Solution, node: Node) -> str:
    """Under which name a node's runs are kept."""
    return node.name if node.stage == "data" else solution.table(node.name)


def reads_of(ds: str, solution: Solution, node: Node) -> Reads:
    return importlib.import_module(node.module).reads(ds, solution, node)


def config_id(solution: Solution, node: Node) -> str:
    """Of what every job reads, of the tables' roles, and of the parts that the job file names in SETTINGS."""
    text = json.dumps(config_parts(solution, node), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def config_parts(solution: Solution, node: Node) -> tuple[dict, dict, dict | None]:
    """What config_id is taken over: the tables, parts of the solution by their path, and the recall's own line."""
    where = {"source": {"path", "through", "done_file"}}  # not what is read, and how
    tables = solution.tables.model_dump(mode="json", exclude=dict.fromkeys(("behavior", "item", "user"), where))
    module = importlib.import_module(node.module)
    parts = {path: _part(solution, path) for path in (*BASE, *module.SETTINGS)}
    if hasattr(module, "contracts"):
        parts["contracts"] = [contract.content_id for contract in module.contracts(solution)]
    if "recalls" in module.SETTINGS:  # these nodes also run the code of recalls that list items for groups of users
        by_group = [line.module.__name__ for line in solution.recalls if hasattr(line.module, "for_users")]
        parts["code"] = [code_id(name) for name in sorted(set(by_group))]
    blended_later = {"fusion_weight", "quota"}
    return tables, parts, node.params.model_dump(mode="json", exclude=blended_later) if node.stage == "recall" else None


def _part(solution: Solution, path: str) -> Any:
    part = solution
    for name in path.split("."):
        part = getattr(part, name)
    return part.model_dump(mode="json") if hasattr(part, "model_dump") else part


class Ledger:
    """Contents and origins as they are now. Each partition is looked up once: make a new one to see what changed."""

    def __init__(self, solution: Solution) -> None:
        self.solution = solution
        tables = solution.tables
        self._inputs = {c.table: c for c in (tables.user, tables.item, tables.behavior) if c is not None}
        self._contents: dict[str, dict[str, str | None]] = defaultdict(dict)
        self._configs: dict[str, str] = {}
        self._reads: dict[tuple[str, str], Reads] = {}
        self._models: list[str] | None = None

    def content(self, table: str, ds: str) -> str | None:
        """An id of the rows of a partition; None when it is not there. Of a table that another system fills, an id of
        its files: written again they count as changed."""
        known = self._contents[table]
        if ds not in known:
            config = self._inputs.get(table)
            record = None if config is not None and config.source else partitions.record(table, ds)
            if record is not None:
                known[ds] = record["content"]
            else:
                known[ds] = None if config is None else _files_id(config, ds)
        return known[ds]

    def reads(self, ds: str, node: Node) -> Reads:
        if (node.name, ds) not in self._reads:
            self._reads[node.name, ds] = reads_of(ds, self.solution, node)
        return self._reads[node.name, ds]

    def pairs(self, ds: str, node: Node) -> tuple[tuple[str, str], ...]:
        """Everything that the node reads for ds."""
        reads = self.reads(ds, node)
        models = on_days(self.solution.table("rank_model"), self._models_looked_at(reads.model_up_to))
        return tuple(dict.fromkeys((*reads.needs, *reads.wanted, *reads.found, *models)))

    def origin(self, ds: str, node: Node) -> Origin:
        """What the partition would be made from now."""
        inputs: dict[str, dict[str, str | None]] = defaultdict(dict)
        for table, day in self.pairs(ds, node):
            inputs[table][day] = self.content(table, day)
        if node.name not in self._configs:
            self._configs[node.name] = config_id(self.solution, node)
        return {"code": code_id(node.module), "config": self._configs[node.name], "inputs": dict(inputs)}

    def made(self, ds: str, node: Node) -> dict[str, str | None]:
        """Contents of the partitions that the node makes; none where it has no table."""
        return {t: self.content(t, ds) for t in outputs(self.solution, node)} if has_table(node) else {}

    def is_there(self, ds: str, node: Node) -> bool:
        """Are the partitions that the node makes there? Of a node without a table: has it run, and left a bundle?"""
        if has_table(node):
            return all(self.made(ds, node).values())
        run = runs.run_of(run_name(self.solution, node), ds)
        has_run = run is not None and run["state"] == runs.DONE
        return has_run and (node.name != "publish" or self._is_published(ds))

    def is_blocked(self, ds: str) -> bool:
        """Were the day's inputs judged unfit? Then nothing is made from them until they are judged anew."""
        run = runs.run_of(self.solution.table("input_checks"), ds)
        return run is not None and run["state"] == runs.FAILED

    def _is_published(self, ds: str) -> bool:
        """Also of a day whose bundle `recflow bundle gc` took: that is no reason to publish it again."""
        store = open_store(f"{settings().publish_root}/{self.solution.scenario}")
        return bool(store.list(f"ds={ds}/")) or store.exists(f"{COLLECTED}/ds={ds}")

    def outcome(self, ds: str, node: Node) -> State:
        """How a node ended for ds, whatever has changed since: present, missing, failed or skipped. (It parses no code,
        which Python 3.11 does not survive in the many threads of a server.)"""
        return self._outcome(ds, node, runs.run_of(run_name(self.solution, node), ds))

    def _outcome(self, ds: str, node: Node, run: dict[str, Any] | None) -> State:
        if run is not None and run["state"] == runs.FAILED:
            return State("failed", run["error"])
        if self.is_there(ds, node):
            return State("present")
        is_skipped = run is not None and run["state"] == runs.SKIPPED
        return State("skipped", run["reason"]) if is_skipped else State("missing")

    def state(self, ds: str, node: Node) -> State:
        """What has become of a node for ds."""
        run = runs.run_of(run_name(self.solution, node), ds)
        if (ended := self._outcome(ds, node, run)).name != "present":
            return ended
        if run is None or run["state"] != runs.DONE:
            unknown = "nothing is known about what it was made from"
            return State("present") if node.job == "create_data" else State("stale", unknown)
        if node.job != "create_data" and run.get("made") != self.made(ds, node):
            return State("stale", "it was written by a run that did not come to its end")
        change = difference(run["origin"], self.origin(ds, node))
        return State("stale", change) if change else State("present")

    def models(self) -> list[str]:
        """Every ds with a usable model."""
        if self._models is None:
            self._models = usable_days(self.solution)
        return self._models

    def _models_looked_at(self, up_to: str | None) -> list[str]:
        """From the newest usable model's day to up_to; without one, every day that has samples."""
        if up_to is None:
            return []
        newest = max((ds for ds in self.models() if ds <= up_to), default=None)
        if newest is not None:
            return day_range(newest, up_to)
        return [ds for ds in partitions.present_days(self.solution.table("rank_samples")) if ds <= up_to]


def difference(made_from: Origin, now: Origin) -> str:
    """What has changed since, in a few words; empty when nothing has."""
    if made_from["code"] != now["code"]:
        return "its code changed"
    if made_from["config"] != now["config"]:
        return "the solution changed"
    changed = []
    for table in sorted({*made_from["inputs"], *now["inputs"]}):
        before, after = made_from["inputs"].get(table, {}), now["inputs"].get(table, {})
        for ds in sorted({*before, *after}):
            # What is gone (retention, a lake that drops old days) cannot make anything anew: what was made of it stays.
            if after.get(ds) is not None and before.get(ds) != after.get(ds):
                what = "is new" if before.get(ds) is None else "changed"
                changed.append(f"{table} ds={ds} {what}")
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return changed[0] + more if changed else ""


def _files_id(config: TableConfig, ds: str) -> str | None:
    """An id of the files that hold a day of a table that another system fills."""
    if not partitions.is_committed(config, ds):
        return None
    if config.source is not None:
        held = sources.files_of(config, ds)
    else:
        everything = files.delta_files(partitions.table_path(config.table)) or []
        held = [file for file in everything if file.partition.get("ds") == ds]
    text = "\n".join(sorted(f"{file.name} {file.size} {file.modified}" for file in held))
    return hashlib.sha256(text.encode()).hexdigest()[:24]
