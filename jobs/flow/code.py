"""A job's code as an id that changes when what it computes may change. Free of Spark.

Taken over the syntax trees of the job file and of everything it imports from the computing packages, without
docstrings and comments: who words a comment anew does not make sixty days stale. Of `jobs.lib` and `jobs.flow` only
what decides values counts: how rows are moved, checked and kept does not change them.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache

from jobs.lib.settings import PROJECT_ROOT

VALUES = {
    "jobs.lib.columns",
    "jobs.lib.expression",
    "jobs.lib.list_params",
    "jobs.lib.roles",
    "jobs.lib.sources",
    "jobs.lib.times",
}


@cache
def code_id(module: str) -> str:
    """16 hex digits. Cached for the life of the process, which keeps the code it started with."""
    digest = hashlib.sha256()
    for name in sorted(_closure(module)):
        digest.update(f"{name}\n{_bare(name)}\n".encode())
    return digest.hexdigest()[:16]


def _closure(module: str) -> set[str]:
    found, todo = set(), [module]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [imported for imported in _imports(name) if _counts(imported)]
    return found


def _counts(module: str) -> bool:
    if module.startswith(("jobs.lib", "jobs.flow")):
        return module in VALUES
    return (PROJECT_ROOT / _file(module)).exists()


def _imports(module: str) -> list[str]:
    """Modules of jobs that a module imports anywhere, functions included; of `from jobs.a import b` both readings."""
    names = []
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *[f"{node.module}.{alias.name}" for alias in node.names]]
    return [name for name in names if name.startswith("jobs.")]


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse((PROJECT_ROOT / _file(module)).read_text(encoding="utf-8"))


@cache
def _bare(module: str) -> str:
    """The tree as text, without docstrings."""
    tree = ast.parse((PROJECT_ROOT / _file(module)).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:]
    return ast.dump(tree)


def _file(module: str) -> str:
    return module.replace(".", "/") + ".py"
