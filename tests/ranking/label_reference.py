"""The slow reading of a label's tree, over rows as dictionaries. None is missing."""

from __future__ import annotations

import math


def plain(node, events):
    return value_of(node, None, events)


def finite(x):
    return None if x is None or not math.isfinite(x) else float(x)


def value_of(node, row, events):
    """row: the event that is looked at, inside an aggregate."""
    if node.op == "literal":
        return node.value
    if node.op == "leaf":
        value = row[node.value.name]
        return finite(value) if node.kind == "a number" else value
    if node.op in ("max", "min", "sum", "avg", "count"):
        found = [value_of(node.args[0], event, events) for event in events]
        if node.op == "count":
            return float(sum(v is True for v in found))
        found = [v for v in found if v is not None]
        if node.op == "sum":
            return math.fsum(round(v * 1e6) for v in found) / 1e6
        if not found:
            return None
        return {"max": max, "min": min, "avg": lambda v: math.fsum(round(x * 1e6) for x in v) / 1e6 / len(v)}[node.op](
            found
        )
    if node.op == "in":
        value = value_of(node.args[0], row, events)
        return None if value is None else value in node.args[1].value
    args = [value_of(arg, row, events) for arg in node.args]
    if node.op == "missing":
        return args[0] is None
    if node.op == "if":
        return args[1] if args[0] is True else args[2]
    if node.op in ("and", "or"):
        decided = node.op == "or"
        return decided if decided in args else None if None in args else not decided
    if node.op in ("least", "greatest"):
        found = [v for v in args if v is not None]
        return {"least": min, "greatest": max}[node.op](found) if found else None
    if None in args:
        return None
    try:
        found = {
            "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
            ">": lambda a, b: a > b, ">=": lambda a, b: a >= b, "+": lambda a, b: a + b, "-": lambda a, b: a - b,
            "*": lambda a, b: a * b, "/": lambda a, b: a / b, "negative": lambda a: -a, "not": lambda a: not a,
            "exp": math.exp, "ln": math.log, "log1p": math.log1p, "sqrt": math.sqrt, "pow": math.pow, "abs": abs,
        }[node.op](*args)  # fmt: skip
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return finite(found) if node.kind == "a number" else found
