"""The labels of samples: what each is called, the expression that it is, and its column. Free of Spark at load.

Defaults, source: the PAI-Rec tutorial: is_<event> = the event happened in that request, ln_<value> = ln(1 + sum of the
value). `ranking.labels` adds others or says these otherwise. A label that comes out missing is 0.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from jobs.lib.expression_tree import NUMBER, TEXT, Expression, Names
from jobs.lib.solution import Solution
from jobs.lib.spark import F
from jobs.ranking.label_expression import EVENT, IF, parsed, values_of

if TYPE_CHECKING:
    from pyspark.sql import Column

YES_NO = "is_"
PREFIXES = (YES_NO, "ln_", "label_")
TAKEN = ("is_sampled_negative", "is_flagged", "is_counted", "is_pair")  # columns beside them
YES_OR_NO, GRADES = frozenset({0, 1}), frozenset(range(32))  # XGBoost's NDCG takes gains of 2^31 and below
MICRO = 1e6
MOST = 9e12  # in micros just below what a BIGINT holds


def label_texts(solution: Solution) -> dict[str, str]:
    """Label -> expression, in table order."""
    defaults = {f"is_{e}": _happened(e) for e in solution.events if e != solution.impression}
    if value := solution.tables.behavior.roles.value:
        defaults[f"ln_{value}"] = "log1p(greatest(sum(value), 0))"
    return defaults | solution.ranking.labels


def label_columns(solution: Solution) -> list[str]:
    return list(label_texts(solution))


def label_trees(solution: Solution) -> dict[str, Expression]:
    """Raises ValueError naming a label and what is wrong with it."""
    names, trees = _names(solution), {}
    for label, text in label_texts(solution).items():
        try:
            trees[label] = parsed(text, names)
        except ValueError as error:
            raise ValueError(f"labels.{label}: {error}") from None
    return trees


def problem_in(solution: Solution) -> str | None:
    """What is wrong with `ranking.labels`, in words, or None."""
    for label in solution.ranking.labels:
        if not label.startswith(PREFIXES) or label in TAKEN:
            shown = ", ".join(f"{prefix}…" for prefix in PREFIXES)
            return f"labels: {label!r} is no name of a label: {shown}, and none of {', '.join(TAKEN)}"
    for label in label_texts(solution):
        if label in solution.tables.behavior.roles.categorical:
            return f"labels: {label!r} is also a categorical column of the behavior table; one of them must be renamed"
    try:
        trees = label_trees(solution)
    except ValueError as error:
        return str(error)
    for label, tree in trees.items():
        if label.startswith(YES_NO) and (why := problem_as(tree, YES_OR_NO)):
            return f"labels.{label}: {why}; a number is called ln_… or label_…"
    return None


def problem_as(tree: Expression, allowed: frozenset[int]) -> str | None:
    """Why its values are not surely among the allowed ones, in words, or None."""
    values, wanted = values_of(tree), "0 or 1" if allowed == YES_OR_NO else f"a whole number up to {max(allowed)}"
    if values is None:
        return f"not surely {wanted}, as max(if(…, 1, 0)) would be"
    if others := sorted(values - allowed):
        return f"it can be {others[0]:g}, not only {wanted}"
    return None


def columns_of(solution: Solution) -> dict[str, Column]:
    """Each label over the events of a group, to be aggregated: INT where it is yes or no, else DOUBLE."""
    return _typed(solution, over_nothing=False)


def of_nothing(solution: Solution) -> dict[str, Column]:
    """Each label of a pair without an event, such as a drawn negative."""
    return _typed(solution, over_nothing=True)


def _typed(solution: Solution, over_nothing: bool) -> dict[str, Column]:
    places = {solution.tables.behavior.roles.value: "value"}
    found = {}
    for label, tree in label_trees(solution).items():
        value = F.coalesce(_column(tree, places, over_nothing), F.lit(0.0))
        found[label] = (value.cast("int") if label.startswith(YES_NO) else value).alias(label)
    return found


def _names(solution: Solution) -> Names:
    """The columns of jobs/lib/roles.py's `events` that the solution has; the value also by its own name."""
    behavior = solution.tables.behavior.roles
    known = {EVENT: TEXT, "event_time": NUMBER}
    known |= {"scene": TEXT} if behavior.scene else {}
    known |= {"position": NUMBER} if behavior.position else {}
    known |= dict.fromkeys(behavior.categorical, TEXT)
    if behavior.value:
        known |= {"value": NUMBER} | ({} if behavior.value in known else {behavior.value: NUMBER})
    return Names({EVENT: known}, tuple(solution.events))


def _happened(event: str) -> str:
    quote = '"' if "'" in event else "'"
    return f"max(if(event = {quote}{event}{quote}, 1, 0))"


def _column(node: Expression, places: dict[str | None, str], over_nothing: bool) -> Column:
    """Numbers as finite DOUBLE or NULL. places: columns that are called otherwise in the events."""
    if node.op == "literal":
        return F.lit(node.value)
    if node.op == "leaf":
        column = F.col(f"`{places.get(node.value.name, node.value.name)}`")
        return _finite(column.cast("double")) if node.kind == NUMBER else column
    if over_nothing and node.op in _OF_GROUP:
        return F.lit(0.0 if node.op in ("sum", "count") else None).cast("double")
    if node.op == "in":
        return _column(node.args[0], places, over_nothing).isin(node.args[1].value)
    args = [_column(arg, places, over_nothing) for arg in node.args]
    found = (_OF_GROUP | _OF_VALUES)[node.op](*args)
    return _finite(found) if node.kind == NUMBER else found


def _finite(number: Column) -> Column:
    """Infinities and NaN as missing, and -0 as 0. To Spark NaN is above every number."""
    return F.when(F.abs(number) < float("inf"), number + F.lit(0.0))


def _sum(number: Column) -> Column:
    """As an integer: sums of doubles depend on the order of rows. A value or a sum beyond MOST is missing."""
    micros = _micros(number)
    return F.when(F.count(micros) > 0, F.try_sum(micros) / F.lit(MICRO)).otherwise(F.lit(0.0))


def _micros(number: Column) -> Column:
    return F.round(F.when(F.abs(number) <= F.lit(MOST), number) * F.lit(MICRO)).cast("bigint")


_OF_GROUP = {
    "max": lambda x: F.max(x),
    "min": lambda x: F.min(x),
    "sum": _sum,
    "avg": lambda x: F.try_divide(_sum(x), F.count(_micros(x))),
    "count": lambda condition: F.count_if(condition).cast("double"),
}
_OF_VALUES = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: F.try_divide(a, b),
    "negative": lambda a: -a,
    "missing": lambda a: a.isNull(),
    "not": lambda a: ~a,
    "and": lambda *conditions: reduce(lambda a, b: a & b, conditions),
    "or": lambda *conditions: reduce(lambda a, b: a | b, conditions),
    IF: lambda condition, then, otherwise: F.when(condition, then).otherwise(otherwise),
    "exp": lambda a: F.exp(a),
    "ln": lambda a: F.ln(a),
    "log1p": lambda a: F.log1p(a),
    "sqrt": lambda a: F.sqrt(a),
    "pow": lambda a, b: F.pow(a, b),
    "abs": lambda a: F.abs(a),
    "least": lambda *values: F.least(*values),
    "greatest": lambda *values: F.greatest(*values),
}
