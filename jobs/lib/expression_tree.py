"""The tree of an expression, what it may name, and which kinds of values go together. Free of Spark."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

TEXT, NUMBER, TRUTH, TAGS, TEXTS, NUMBERS = "text", "a number", "true or false", "tags", "a list of text", "numbers"
DAYS_SINCE, COUNT = "days_since", "count"
ORDER, EQUAL = ("<", "<=", ">", ">="), ("==", "!=")


class Leaf(NamedTuple):
    """A value that is looked up. side: item, user, context (name: a column), or days_since, count (name: an event)."""

    side: str
    name: str
    days: int = 0  # how far days_since and count look back


@dataclass(frozen=True)
class Expression:
    """A node of the tree. kind: of its value; value: of a literal, a list, or the Leaf of a name; at: its column."""

    op: str
    kind: str
    args: tuple[Expression, ...] = ()
    value: Any = None
    at: int = 1

    def leaves(self) -> dict[Leaf, str]:
        """What is looked up, each with its kind."""
        found = {self.value: self.kind} if self.op == "leaf" else {}
        for arg in self.args:
            found |= arg.leaves()
        return found


def possible(condition: Expression, unknown: Collection[Leaf], is_negated: bool = False) -> Expression:
    """True wherever a condition is true for any values of the unknown leaves: a comparison that names one of them is
    true, whichever way round it is asked."""
    if condition.op == "not":
        return possible(condition.args[0], unknown, not is_negated)
    if condition.op in ("and", "or"):
        word = {"and": "or", "or": "and"}[condition.op] if is_negated else condition.op
        return replace(condition, op=word, args=tuple(possible(arg, unknown, is_negated) for arg in condition.args))
    if any(leaf in unknown for leaf in condition.leaves()):
        return Expression("literal", TRUTH, value=True, at=condition.at)
    return Expression("not", TRUTH, (condition,), at=condition.at) if is_negated else condition


@dataclass(frozen=True)
class Names:
    """What an expression may name. columns: side -> column -> kind; reach: days that days_since(event) looks back."""

    columns: Mapping[str, Mapping[str, str]]
    events: tuple[str, ...] = ()
    reach: int = 30


def must_be(found: Expression, kind: str, what: str) -> Expression:
    if found.kind != kind:
        raise ValueError(f"{what} must be {kind}: column {found.at} is {found.kind}")
    return found


def comparison(sign: str, at: int, left: Expression, right: Expression) -> Expression:
    if sign in ORDER:
        for side in (left, right):
            must_be(side, NUMBER, f"a side of {sign}")
    elif left.kind != right.kind or left.kind not in (TEXT, NUMBER, TRUTH):
        raise ValueError(f"{sign} at column {at} cannot compare {left.kind} with {right.kind}")
    for leaf, bound, beyond in ((left, right, ">"), (right, left, "<")):
        if bound.op == "literal" and bound.kind == NUMBER:
            _must_reach(leaf, math.floor(bound.value) + 1 if sign == beyond else math.ceil(bound.value))
    return Expression(sign, TRUTH, (left, right), at=left.at)


def _must_reach(leaf: Expression, days: int) -> None:
    """A bare days_since must look back as far as what it is compared with: beyond its reach it is missing, and nothing
    is true of it. Compared as a part of an expression it is not checked."""
    if leaf.op == "leaf" and leaf.value.side == DAYS_SINCE and days > leaf.value.days:
        said, reach = f"{DAYS_SINCE}({leaf.value.name}", leaf.value.days
        raise ValueError(f"{said}) at column {leaf.at} looks back {reach} days: write {said}, {days})")


def membership(at: int, left: Expression, right: Expression) -> Expression:
    if (left.kind, right.kind) not in ((TEXT, TEXTS), (NUMBER, NUMBERS), (TEXT, TAGS)):
        raise ValueError(
            f"`in` at column {at} takes text and a list of text, a number and a list of numbers, or text and "
            f"tags, not {left.kind} and {right.kind}"
        )
    if right.op == "list" and right.kind == NUMBERS:
        _must_reach(left, math.ceil(max(right.value)))
    return Expression("in", TRUTH, (left, right), at=left.at)
