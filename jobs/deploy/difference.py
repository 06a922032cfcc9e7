"""What differs between two descriptions (jobs/deploy/description.py), as lines that a person reads: + - and ~."""

from __future__ import annotations

import json
from typing import Any

from jobs.deploy.description import Description

SHOWN = 60  # characters of a value
NAMED = 3  # keys that are named as a reason
SECTIONS = ("nodes", "tables", "features", "parameters")

Lines = dict[str, list[str]]


def difference(before: Description | None, after: Description | None) -> Lines:
    """Section -> lines, without sections in which nothing differs. None: there is no such scenario."""
    old, new = before or dict.fromkeys(SECTIONS, {}), after or dict.fromkeys(SECTIONS, {})
    parameters = _parameters(old["parameters"], new["parameters"])
    lines = {
        "nodes": _compared(old["nodes"], new["nodes"], lambda a, b: _node(a, b, list(parameters))),
        "tables": _compared(old["tables"], new["tables"], _table),
        "features": _compared(old["features"], new["features"], lambda a, b: "redefined"),
        "parameters": list(parameters.values()) if before and after else [],  # of a whole scenario they say nothing
    }
    return {section: found for section, found in lines.items() if found}


def files(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Files by path and hash: what came, went or changed."""
    return _compared(before, after, lambda a, b: "")


def counts(lines: list[str]) -> str:
    """`1 added, 2 changed` of lines of one section."""
    words = {"+": "added", "-": "removed", "~": "changed"}
    numbers = {word: sum(line.startswith(sign) for line in lines) for sign, word in words.items()}
    return ", ".join(f"{number} {word}" for word, number in numbers.items() if number)


def _compared(old: dict[str, Any], new: dict[str, Any], why) -> list[str]:
    """Of each name: that it came, went, or became another, and then why."""
    lines = [f"+ {name}" for name in new if name not in old]
    lines += [f"- {name}" for name in old if name not in new]
    changed = [name for name in new if name in old and old[name] != new[name]]
    return [*lines, *[f"~ {name}: {why(old[name], new[name])}".removesuffix(": ") for name in changed]]


def _node(old: dict[str, Any], new: dict[str, Any], changed: list[str]) -> str:
    """Its code, its place in the flow, or which keys of the solution. changed: paths of the parameters that differ."""
    reasons = []
    if old["job"] != new["job"]:
        reasons.append(f"job {old['job']} -> {new['job']}")
    elif old["code"] != new["code"]:
        reasons.append("code")
    if old["inputs"] != new["inputs"]:
        reasons.append("the nodes before it")
    reads = [path for path in {**old["reads"], **new["reads"]} if old["reads"].get(path) != new["reads"].get(path)]
    keys = list(dict.fromkeys(key for path in reads for key in _keys(path, changed)))
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return ", ".join([*reasons, *keys[:NAMED]]) + more


def _keys(part: str, changed: list[str]) -> list[str]:
    """The parameters of a part that differ; the part itself where no parameter says it, as of contracts."""
    within = [key for key in changed if key == part or key.startswith((f"{part}.", f"{part}["))]
    return within or [part]


def _table(old: dict[str, Any], new: dict[str, Any]) -> str:
    columns = _compared(old["columns"], new["columns"], lambda a, b: f"{a} -> {b}")
    said = [f"contract {old['contract']} -> {new['contract']}"] if old["contract"] != new["contract"] else []
    said += [line.replace(" ", "", 1) for line in columns]
    return ", ".join([*said, *(["checks"] if old["checks"] != new["checks"] else [])])


def _parameters(old: dict[str, Any], new: dict[str, Any]) -> dict[str, str]:
    """Path -> `~ path: old -> new` of each that differs. A line of a list that came or went is told as one."""
    found, lines = {}, {_line(path) for path in old} & {_line(path) for path in new}
    for path in sorted({*old, *new}):
        line = _line(path)
        if line != path and line not in lines:
            found[line] = f"{'+' if path in new else '-'} {line}"
        elif path not in old:
            found[path] = f"+ {path}: {_shown(new[path])}"
        elif path not in new:
            found[path] = f"- {path}: {_shown(old[path])}"
        elif old[path] != new[path]:
            found[path] = f"~ {path}: {_shown(old[path])} -> {_shown(new[path])}"
    return found


def _line(path: str) -> str:
    """`recalls[hot]` of `recalls[hot].window_days`; other paths as they are."""
    return path[: path.index("]") + 1] if "]" in path else path


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
