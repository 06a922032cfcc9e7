"""Conditions of jobs/lib/expression.py, evaluated over Arrow columns: one row per pair of user and item."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from jobs.lib.expression_tree import NUMBER, TAGS, Expression, Leaf

if TYPE_CHECKING:
    import pyarrow as pa

_FUNCTIONS = {
    "==": "equal",
    "!=": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
    "+": "add",
    "-": "subtract",
    "*": "multiply",
    "/": "divide",
    "negative": "negate",
    "missing": "is_null",
    "not": "invert",
    "and": "and_kleene",
    "or": "or_kleene",
}


def is_true(condition: Expression, column: Callable[[Leaf], pa.Array], rows: int) -> np.ndarray:
    """Where a condition is definitely true: missing is not. column: the values of a leaf, one per row, plain arrays
    (text, DOUBLE, and for tags lists of text)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = _evaluated(condition, column)
    if isinstance(found, pa.Scalar):
        return np.full(rows, found.as_py() is True)
    return pc.fill_null(found, False).to_numpy(zero_copy_only=False)


def _evaluated(node: Expression, column: Callable[[Leaf], pa.Array]) -> pa.Array | pa.Scalar:
    import pyarrow as pa
    import pyarrow.compute as pc

    if node.op == "leaf":
        return _finite(column(node.value)) if node.kind == NUMBER else column(node.value)
    if node.op == "literal":
        return pa.scalar(node.value)
    if node.op == "in":
        return _is_in(*node.args, column)
    values = [_evaluated(arg, column) for arg in node.args]
    function = getattr(pc, _FUNCTIONS[node.op])
    found = reduce(function, values) if len(values) > 1 else function(*values)
    return _finite(found) if node.kind == NUMBER else found


def _finite(numbers: pa.Array | pa.Scalar) -> pa.Array | pa.Scalar:
    """Infinities and NaN as missing, and -0 as 0."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.is_finite(numbers), pc.add(numbers, 0.0), pa.scalar(None, pa.float64()))


def _is_in(wanted: Expression, among: Expression, column: Callable[[Leaf], pa.Array]) -> pa.Array | pa.Scalar:
    import pyarrow as pa
    import pyarrow.compute as pc

    value, nothing = _evaluated(wanted, column), pa.scalar(None, pa.bool_())
    if among.kind != TAGS:
        return pc.if_else(pc.is_valid(value), pc.is_in(value, value_set=pa.array(among.value)), nothing)
    tags = column(among.value)
    owner = pc.list_parent_indices(tags)
    same = pc.equal(pc.list_flatten(tags), value.take(owner) if isinstance(value, pa.Array) else value)
    found = np.zeros(len(tags), bool)
    found[owner.to_numpy(zero_copy_only=False)[pc.fill_null(same, False).to_numpy(zero_copy_only=False)]] = True
    return pc.if_else(pc.and_(pc.is_valid(tags), pc.is_valid(value)), pa.array(found), nothing)
