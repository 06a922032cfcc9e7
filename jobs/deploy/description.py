"""What a solution amounts to, as plain values: the side of a comparison that is kept with what is deployed.

Nodes with the ids of their code and of each part of the solution that they read, tables with their columns, feature
columns with their definitions, and every parameter by its path. Free of Spark.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

from jobs.flow.code import code_id
from jobs.flow.lineage import config_parts
from jobs.flow.plan import all_nodes
from jobs.lib.contracts import Contract, load_contract
from jobs.lib.scenarios import scenarios
from jobs.lib.solution import Node, Solution
from jobs.ranking.feature_list import feature_list

Description = dict[str, dict[str, Any]]


def solutions(path: str | Path | None) -> dict[str, Solution]:
    """By scenario: the given solution (default as for load_solution), and the others that are in dags/."""
    return dict(sorted(scenarios(path).items()))


def described_all(path: str | Path | None) -> dict[str, Description]:
    return {scenario: described(solution) for scenario, solution in solutions(path).items()}


def described(solution: Solution) -> Description:
    """{nodes, tables, features, parameters}, each by name."""
    nodes = all_nodes(solution)
    features = feature_list(solution)
    columns = (*features.numbers, *features.categories)
    return {
        "nodes": {node.name: _node(solution, node) for node in nodes},
        "tables": {solution.table(n.name): t for n in nodes if n.stage != "data" and (t := _table(n)) is not None},
        "features": {column: features.definition(column) for column in columns},
        "parameters": flat(solution.model_dump(mode="json")),
    }


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Path -> value of everything in a mapping: `publish.top_n`; lines of a list go by their name, label or operator,
    `recalls[hot].window_days`, so that a line put between others changes none of them."""
    if isinstance(value, dict) and value:
        inner = {f"{path}.{key}" if path else str(key): one for key, one in value.items()}
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        inner = {f"{path}[{name}]": one for name, one in zip(_names(value), value, strict=True)}
    else:
        return {path: value}
    return {key: one for at, below in inner.items() for key, one in flat(below, at).items()}


def _names(lines: list[dict]) -> list[str]:
    """What tells lines apart: their name or label where each has another one, else their place."""
    for key in ("name", "label"):
        if len({line.get(key) for line in lines} - {None}) == len(lines):
            return [str(line[key]) for line in lines]
    return [str(place) for place in range(len(lines))]


def _node(solution: Solution, node: Node) -> dict[str, Any]:
    tables, parts, line = config_parts(solution, node)
    read = {"tables": tables, **parts, **({f"recalls[{node.name}]": line} if line is not None else {})}
    reads = {path: _id(part) for path, part in read.items()}
    return {"job": node.module, "inputs": [*node.inputs], "code": code_id(node.module), "reads": reads}


def _table(node: Node) -> dict[str, Any] | None:
    name = importlib.import_module(node.module).CONTRACT
    return _columns(load_contract(name)) if name is not None else None


def _columns(contract: Contract) -> dict[str, Any]:
    columns = {spec.name or f"/{spec.pattern}/": spec.type for spec in contract.columns}
    return {"contract": contract.table, "columns": columns, "checks": _id([c.model_dump() for c in contract.checks])}


def _id(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]
