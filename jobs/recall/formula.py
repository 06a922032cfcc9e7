"""The score formula of hot: one arithmetic expression, checked without Spark and written out as Spark SQL.

Allowed are numbers, + - * /, unary minus, parentheses, the functions of FUNCTIONS, and these names (all DOUBLE):

- `target_uv`, `target_cnt`: distinct users and number of the recall's `event` in the window;
- `<event>_uv`, `<event>_cnt`: the same of any declared event (`click_uv`, `purchase_cnt`);
- `expr`: impressions in the window, whatever the impression event is called; 0 where none are recorded;
- `item_publish_days`, `adj_factor`, `fresh_decay_denom`.

Anything else is refused by name and position, so a formula can neither read other columns nor run code.
"""

from __future__ import annotations

import ast
import math
import re

FUNCTIONS = {"exp": 1, "ln": 1, "log1p": 1, "sqrt": 1, "pow": 2, "abs": 1, "least": None, "greatest": None}
NAMES = ("target_uv", "target_cnt", "expr", "item_publish_days", "adj_factor", "fresh_decay_denom")
MAX_LENGTH = 500
MAX_DEPTH = 30

_EVENT_NAME = re.compile(r"([a-z][a-z0-9_]*)_(uv|cnt)")
_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


def check_formula(text: str) -> str:
    """The formula on one line. Raises ValueError naming what is not allowed, and its column (from 1)."""
    formula = " ".join(text.split())
    to_sql(formula)
    return formula


def to_sql(formula: str) -> str:
    """The formula as Spark SQL over DOUBLE columns: a division by zero gives NULL instead of stopping the job."""
    return _sql(_parsed(formula), 0)


def event_aggregates(formula: str) -> dict[str, str]:
    """Names like `click_uv` in the formula, each with its event; `target_uv` and `target_cnt` are not among them."""
    names = {node.id for node in ast.walk(_parsed(formula)) if isinstance(node, ast.Name)} - {*NAMES, *FUNCTIONS}
    return {name: _EVENT_NAME.fullmatch(name)[1] for name in sorted(names)}


def _parsed(formula: str) -> ast.expr:
    if len(formula) > MAX_LENGTH:
        raise ValueError(f"the formula has {len(formula)} characters; allowed: {MAX_LENGTH}")
    try:
        return ast.parse(formula, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"not an expression at column {error.offset}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise ValueError("not an expression") from None


def _sql(node: ast.expr, depth: int) -> str:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels {_at(node)}")
    match node:
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            a, b, sign = _sql(left, depth + 1), _sql(right, depth + 1), _OPERATORS[type(operator)]
            return f"try_divide({a}, {b})" if sign == "/" else f"({a} {sign} {b})"
        case ast.UnaryOp(ast.USub(), operand):
            return f"(- {_sql(operand, depth + 1)})"
        case ast.Constant(value) if type(value) in (int, float):
            return _number(value, node)
        case ast.Name(name):
            if name in NAMES or _EVENT_NAME.fullmatch(name):
                return f"`{name}`"
            raise ValueError(f"unknown name {name!r} {_at(node)}; allowed: {', '.join(NAMES)}, <event>_uv, <event>_cnt")
        case ast.Call(ast.Name(name), arguments, keywords):
            return _call(name, arguments, keywords, node, depth)
    shown = f"{ast.unparse(node)[:60]!r} {_at(node)}"
    raise ValueError(
        f"{shown} is not allowed; allowed: + - * /, numbers, {', '.join(NAMES)}, and {', '.join(FUNCTIONS)}"
    )


def _call(name: str, arguments: list[ast.expr], keywords: list[ast.keyword], node: ast.expr, depth: int) -> str:
    if name not in FUNCTIONS:
        raise ValueError(f"unknown function {name!r} {_at(node)}; allowed: {', '.join(FUNCTIONS)}")
    wanted = FUNCTIONS[name]
    if keywords or (len(arguments) != wanted if wanted else len(arguments) < 2):
        raise ValueError(f"{name} {_at(node)} takes {wanted or 'two or more'} argument{'' if wanted == 1 else 's'}")
    return f"{name}({', '.join(_sql(argument, depth + 1) for argument in arguments)})"


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
