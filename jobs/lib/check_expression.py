"""What an `expression` of a check may say: Spark SQL over the columns of a row, of known functions alone. Spark-free.

Spark evaluates it, and Spark SQL can run code (`reflect`, `java_method`) and read files and other tables (sub-queries).
So every name that is called must be one of FUNCTIONS, and there are no queries, comments, variables or other signs.
"""

from __future__ import annotations

import re

FUNCTIONS = (
    "abs", "array_contains", "cast", "ceil", "coalesce", "concat", "double", "exists", "float", "floor", "forall",
    "greatest", "if", "ifnull", "int", "isnan", "isnotnull", "isnull", "least", "length", "ln", "lower", "nullif",
    "pmod", "round", "size", "sqrt", "string", "substring", "transform", "trim", "upper",
)  # fmt: skip
JOINING = ("and", "or", "not", "in", "then", "when", "else", "case", "between", "like")  # a bracket may follow
QUERIES = (
    "select", "from", "lateral", "join", "union", "over", "table", "values", "map", "reduce", "with", "describe",
    "using",
)  # fmt: skip
MAX_LENGTH, MAX_DEPTH = 1000, 30

_TOKEN = re.compile(
    r"""(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)|(?P<text>'[^'\\]*'|"[^"\\]*")|(?P<quoted>`[^`]+`)"""
    r"""|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>->|<=>|<=|>=|<>|!=|==|\|\||[-=<>+*/%().,\[\]])|(?P<space>[ \n\t]+)"""
)


def checked(text: str) -> str:
    """The expression itself. Raises ValueError that says in one line what is wrong at which column."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the expression has {len(text)} characters; allowed: {MAX_LENGTH}")
    position, tokens = 0, []
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None or text.startswith(("--", "/*"), position):
            raise ValueError(f"{text[position]!r} is not allowed at column {position + 1}")
        if found.lastgroup != "space":
            tokens.append((str(found.lastgroup), found[0], position + 1))
        position = found.end()
    _refuse_calls(tokens)
    depth = 0
    for _, sign, at in tokens:
        depth += (sign in ("(", "[")) - (sign in (")", "]"))
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels at column {at}")
    return text


def _refuse_calls(tokens: list[tuple[str, str, int]]) -> None:
    edge = ("end", "", 0)
    for before, (kind, word, at), after in zip([edge, *tokens], tokens, [*tokens[1:], edge], strict=False):
        name = word.lower()
        is_distinct = name == "from" and before[1].lower() == "distinct"  # a is not distinct from b
        if kind == "word" and name in QUERIES and not is_distinct:
            raise ValueError(f"{word!r} at column {at} is not allowed: an expression is about the columns of a row")
        if (
            kind == "word" and after[0] in ("text", "quoted") and name not in (*JOINING, "is", "from")
        ):  # r'…', x'…', date '…'
            raise ValueError(f"{word!r} at column {at} is not allowed before {after[1]}")
        is_called = kind in ("word", "quoted") and after[1] == "("
        if is_called and (kind == "quoted" or before[1] == "." or name not in (*FUNCTIONS, *JOINING, "from")):
            raise ValueError(f"unknown function {word!r} at column {at}; allowed: {', '.join(FUNCTIONS)}")
