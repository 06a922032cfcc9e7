"""Score formulas: one arithmetic expression, checked without Spark, written out as Spark SQL or evaluated over arrays.

Allowed are numbers, + - * /, unary minus, parentheses, the functions of FUNCTIONS, and names (all DOUBLE). Which names,
each user says in a `Names`: its own plain ones, and for the hot recalls, in every window that they look at

- `target_uv`, `target_cnt`: distinct users and number of the recall's `event`;
- `<event>_uv`, `<event>_cnt`: the same of any declared event (`click_uv`, `purchase_cnt`);
- `expr`: impressions, whatever the impression event is called; 0 where none are recorded.

The names of the window before begin with `before_` (`before_target_uv`, `before_expr`). Anything else is refused by
name and position, so a formula can neither read other columns nor run code.
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

FUNCTIONS = {"exp": 1, "ln": 1, "log1p": 1, "sqrt": 1, "pow": 2, "abs": 1, "least": None, "greatest": None}
BEFORE = "before_"
TARGET = "target"
MAX_LENGTH = 500
MAX_DEPTH = 30

_FIGURE = re.compile(r"([a-z][a-z0-9_]*)_(uv|cnt)")
_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


class Aggregate(NamedTuple):
    """What a name like `before_click_uv` stands for."""

    window: str  # "", or BEFORE
    event: str | None  # TARGET: the recall's own; None: the impression
    stat: str  # uv: distinct users; cnt: number


@dataclass(frozen=True)
class Names:
    """The names that a recall's formula may use: `plain` ones, and the aggregates of `windows`."""

    plain: tuple[str, ...]
    windows: tuple[str, ...] = ("",)

    def aggregate(self, name: str) -> Aggregate | None:
        """What a name stands for, or None when it is no aggregate of these windows."""
        if not self.windows:
            return None
        window = BEFORE if BEFORE in self.windows and name.startswith(BEFORE) else ""
        figure = name.removeprefix(window)
        if figure == "expr":
            return Aggregate(window, None, "cnt")
        found = _FIGURE.fullmatch(figure)
        return Aggregate(window, *found.groups()) if found else None

    def __str__(self) -> str:
        figures = ("target_uv", "target_cnt", "expr", "<event>_uv", "<event>_cnt")
        return ", ".join([*(window + figure for window in self.windows for figure in figures), *self.plain])


def check_formula(text: str, names: Names) -> str:
    """The formula on one line. Raises ValueError naming what is not allowed, and its column (from 1)."""
    formula = " ".join(text.split())
    to_sql(formula, names)
    return formula


def to_sql(formula: str, names: Names) -> str:
    """The formula as Spark SQL over DOUBLE columns: a division by zero gives NULL instead of stopping the job."""
    return _sql(_parsed(formula), names, 0)


def evaluate(formula: str, values: dict[str, np.ndarray]) -> np.ndarray:
    """The formula over float64 arrays of one length. It has been checked; what is undefined is NaN or infinite."""
    import numpy as np

    binary = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide}
    functions = {"exp": np.exp, "ln": np.log, "log1p": np.log1p, "sqrt": np.sqrt, "pow": np.power, "abs": np.abs}
    several = {"least": np.minimum, "greatest": np.maximum}

    def value(node: ast.expr) -> np.ndarray | np.float64:
        match node:
            case ast.BinOp(left, operator, right):
                return binary[type(operator)](value(left), value(right))
            case ast.UnaryOp(_, operand):
                return -value(operand)
            case ast.Constant(number):
                return np.float64(number)
            case ast.Name(name):
                return values[name]
            case ast.Call(ast.Name(name), arguments):
                found = [value(argument) for argument in arguments]
                return reduce(several[name], found) if name in several else functions[name](*found)
        raise ValueError(f"{ast.unparse(node)!r} was not checked")

    length = len(next(iter(values.values())))
    with np.errstate(all="ignore"):
        return np.broadcast_to(np.asarray(value(_parsed(formula)), np.float64), (length,)).copy()


def aggregates(formula: str, names: Names) -> dict[str, Aggregate]:
    """The aggregates that the formula names."""
    used = {node.id for node in ast.walk(_parsed(formula)) if isinstance(node, ast.Name)} - {*names.plain, *FUNCTIONS}
    return {name: names.aggregate(name) for name in sorted(used)}


def events_of(formula: str, names: Names) -> set[str]:
    """The events that the formula names itself."""
    return {aggregate.event for aggregate in aggregates(formula, names).values()} - {None, TARGET}


def _parsed(formula: str) -> ast.expr:
    if len(formula) > MAX_LENGTH:
        raise ValueError(f"the formula has {len(formula)} characters; allowed: {MAX_LENGTH}")
    try:
        return ast.parse(formula, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"not an expression at column {error.offset}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise ValueError("not an expression") from None


def _sql(node: ast.expr, names: Names, depth: int) -> str:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels {_at(node)}")
    match node:
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            a, b, sign = _sql(left, names, depth + 1), _sql(right, names, depth + 1), _OPERATORS[type(operator)]
            return f"try_divide({a}, {b})" if sign == "/" else f"({a} {sign} {b})"
        case ast.UnaryOp(ast.USub(), operand):
            return f"(- {_sql(operand, names, depth + 1)})"
        case ast.Constant(value) if type(value) in (int, float):
            return _number(value, node)
        case ast.Name(name):
            if name in names.plain or names.aggregate(name):
                return f"`{name}`"
            raise ValueError(f"unknown name {name!r} {_at(node)}; allowed: {names}")
        case ast.Call(ast.Name(name), arguments, keywords):
            return _call(name, arguments, keywords, node, names, depth)
    shown = f"{ast.unparse(node)[:60]!r} {_at(node)}"
    raise ValueError(f"{shown} is not allowed; allowed: + - * /, numbers, {names}, and {', '.join(FUNCTIONS)}")


def _call(
    name: str, arguments: list[ast.expr], keywords: list[ast.keyword], node: ast.expr, names: Names, depth: int
) -> str:
    if name not in FUNCTIONS:
        raise ValueError(f"unknown function {name!r} {_at(node)}; allowed: {', '.join(FUNCTIONS)}")
    wanted = FUNCTIONS[name]
    if keywords or (len(arguments) != wanted if wanted else len(arguments) < 2):
        raise ValueError(f"{name} {_at(node)} takes {wanted or 'two or more'} argument{'' if wanted == 1 else 's'}")
    return f"{name}({', '.join(_sql(argument, names, depth + 1) for argument in arguments)})"


def _number(value: float, node: ast.expr) -> str:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"the number {_at(node)} is too large")
    return f"{number!r}D"


def _at(node: ast.expr) -> str:
    return f"at column {node.col_offset + 1}"
