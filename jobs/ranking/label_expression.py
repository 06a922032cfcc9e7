"""The language of `ranking.labels`: a number out of the events of one sample (request, user, item). Free of Spark.

    max(if(event = 'click', 1, 0))        1 where it was clicked
    ln(1 + sum(value))                    the value by its role, or by the column's own name: sum(playtime)
    max(if(event = 'click' and value > 10, 1, 0))
    if(count(event = 'praise') > 0, 2, max(if(event = 'click', 1, 0)))

It is the filters' language (jobs/lib/expression.py) with `if(condition, then, else)`, the functions of score formulas
(jobs/recall/formula.py) and the aggregates max, min, sum, avg of a number and count of a condition. A column of the
events stands inside an aggregate, and no aggregate inside another. Text is compared with events that the solution has.

Aggregates pass over missing values. Of nothing sum and count are 0, the others missing. `if` takes its last value where
the condition is not true; least and greatest pass over missing values; all else that is computed of a missing value is
missing, so are ln of 0 and below and whatever is not finite. Sums are of values rounded to 1e-6, so that the order of
rows changes no bit.
"""

from __future__ import annotations

from itertools import product

from jobs.lib.expression import Parser, Token
from jobs.lib.expression_tree import EQUAL, NUMBER, TEXT, TRUTH, Expression, Leaf, Names, must_be
from jobs.recall.formula import FUNCTIONS

AGGREGATES = {"max": NUMBER, "min": NUMBER, "sum": NUMBER, "avg": NUMBER, "count": TRUTH}
IF, EVENT = "if", "event"
MOST_VALUES = 100

_COMBINED = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "least": min,
    "greatest": max,
}


def parsed(text: str, names: Names) -> Expression:
    """names.columns: {EVENT: the events' columns}. Raises ValueError that says what is wrong at which column."""
    found = must_be(_Parser(text, names).whole(), NUMBER, "the whole expression")
    _check_events(found, names.events)
    return found


def values_of(node: Expression) -> set[float] | None:
    """The values that it can take, or None where that cannot be told (or they are many)."""
    if node.op == "literal":
        return {node.value}
    args = [values_of(arg) for arg in (node.args[1:] if node.op == IF else node.args)]
    if not args or any(arg is None for arg in args):
        return None
    if node.op == IF:
        return args[0] | args[1]
    if node.op in ("max", "min"):
        return args[0]
    if node.op in ("least", "greatest"):  # missing ones are passed over: any may be what is left beside the literals
        best = {"least": min, "greatest": max}[node.op]
        literals = [arg.value for arg in node.args if arg.op == "literal"]
        return {best([value, *literals]) for value in set().union(*args)}
    if node.op == "negative":
        return {-value for value in args[0]}
    if node.op not in _COMBINED:
        return None
    found = args[0]
    for arg in args[1:]:
        found = {_COMBINED[node.op](a, b) for a, b in product(found, arg)}
        if len(found) > MOST_VALUES:
            return None
    return found


class _Parser(Parser):
    """The filters' parser with calls, and names of one kind: columns of the events."""

    inside: Token | None = None  # the aggregate whose argument is read

    def value(self) -> Expression:
        if self.token.kind != "quoted":
            return super().value()
        self.position += 1
        return self.column(self.tokens[self.position - 1])

    def own_events(self, function: Token) -> Expression:
        return self.column(function)

    def column(self, side: Token) -> Expression:
        if self.taken("("):
            return self.call(side)
        known = self.names.columns[EVENT]
        if side.text not in known:
            functions = ", ".join((IF, *AGGREGATES, *FUNCTIONS))
            raise ValueError(
                f"unknown name {side.text!r} at column {side.at}; columns: {', '.join(known)}; functions: {functions}"
            )
        if self.inside is None:
            raise ValueError(
                f"{side.text} at column {side.at} has a value for each event: put it inside {', '.join(AGGREGATES)}"
            )
        return Expression("leaf", known[side.text], value=Leaf(EVENT, side.text), at=side.at)

    def call(self, function: Token) -> Expression:
        name = function.text
        if name in AGGREGATES:
            return self.aggregate(function)
        if name != IF and name not in FUNCTIONS:
            allowed = ", ".join((IF, *AGGREGATES, *FUNCTIONS))
            raise ValueError(f"unknown function {name!r} at column {function.at}; allowed: {allowed}")
        args = [self.either()]
        while self.taken(","):
            args.append(self.either())
        self.required(")")
        wanted = 3 if name == IF else FUNCTIONS[name]
        if len(args) != wanted if wanted else len(args) < 2:
            said = f"{wanted or 'two or more'} argument{'' if wanted == 1 else 's'}"
            raise ValueError(f"{name} at column {function.at} takes {said}")
        for number, arg in enumerate(args):
            what, kind = ("the condition of if", TRUTH) if (name, number) == (IF, 0) else (f"what {name} takes", NUMBER)
            must_be(arg, kind, what)
        return Expression(name, NUMBER, tuple(args), at=function.at)

    def aggregate(self, function: Token) -> Expression:
        name = function.text
        if self.inside is not None:
            raise ValueError(f"{name} at column {function.at} stands inside {self.inside.text}, itself an aggregate")
        self.inside = function
        of = must_be(self.either(), AGGREGATES[name], f"what {name} takes")
        self.required(")")
        self.inside = None
        return Expression(name, NUMBER, (of,), at=function.at)


def _check_events(node: Expression, events: tuple[str, ...]) -> None:
    """`event = 'clik'` would be 0 for ever."""
    for arg in node.args:
        _check_events(arg, events)
    if node.op not in (*EQUAL, "in") or not any(arg.value == Leaf(EVENT, EVENT) for arg in node.args):
        return
    for arg in node.args:
        named = arg.value if arg.op == "list" else [arg.value] if (arg.op, arg.kind) == ("literal", TEXT) else []
        if unknown := [name for name in named if name not in events]:
            raise ValueError(f"unknown event {unknown[0]!r} at column {arg.at}; allowed: {', '.join(events)}")
