"""Labels by expression: what they are of the events of a sample, what they are of none, and what is refused where."""

from __future__ import annotations

import math
import random
import struct

import pytest

from jobs.ranking.labels import label_texts, label_trees, of_nothing
from jobs.ranking.rank_samples import labelled
from tests.features.builders import EVENTS, demo_solution
from tests.ranking.builders import DAY, at

NUMBERS = ["value", "position", "-value", "value * 2 - 0.5", "1 / value", "if(event = 'click', value, 3)", "ln(value)"]
CONDITIONS = ["event = 'click'", "value > 1", "event in ['click', 'praise'] and not value <= 0.5", "scene = 'home'",
              "value is missing or position == 2", "scene != 'home'"]  # fmt: skip
JOINED = ["{} + {}", "{} - {}", "{} * {}", "{} / {}", "least({}, {}, 4)", "greatest({}, {})", "if({} > {}, 1, 2)",
          "if({} is missing, 5, {})", "abs({}) + sqrt({})", "exp({}) - pow({}, 2)", "log1p({}) * -{}"]  # fmt: skip


def random_labels(n: int) -> dict[str, str]:
    """Every aggregate of every number and condition, and pairs of them under every function."""
    rng = random.Random(7)
    plain = [f"{name}({x})" for name in ("max", "min", "sum", "avg") for x in NUMBERS]
    plain += [f"count({x})" for x in CONDITIONS] + [f"max(if({x}, 1, 0))" for x in CONDITIONS]
    joined = [JOINED[i % len(JOINED)].format(*rng.sample(plain, 2)) for i in range(n)]
    return {f"label_{i}": text for i, text in enumerate([*plain, *joined])}


def random_events(n: int) -> list[tuple]:
    rng = random.Random(11)
    values = [None, None, 0.0, -0.0, 1.0, 2.5, 0.25, -3.0, float("nan"), float("inf"), 7.125]
    return [
        (DAY, f"r{rng.randrange(12)}", "u", "i", rng.choice(["expr", "click", "praise"]), at(2, 9) + rng.randrange(3),
         rng.choice(values), rng.choice(["home", "detail", None]), rng.choice([1.0, 2.0, None]), "wifi")
        for _ in range(n)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def made(spark):
    """Request -> label -> value, of all random labels in one job; also of the rows in other orders and partitions."""
    solution = demo_solution(
        tables={"behavior": {"roles": {"position": "place"}}}, ranking={"labels": random_labels(30)}
    )
    schema = EVENTS.replace("scene string,", "scene string, position double,")
    rows = [*random_events(80), (DAY, "alone", "u", "i", "expr", at(2, 9), None, None, None, None)]
    # one job: the same requests again under other names, in other orders
    again = [(ds, f"{r}'", *rest) for ds, r, *rest in random.Random(1).sample(rows, len(rows))]
    events = spark.createDataFrame(rows, schema).repartition(3).union(spark.createDataFrame(again, schema))
    nothing = spark.range(1).select(*of_nothing(solution).values()).first().asDict()
    found = {row["request_id"]: row.asDict() for row in labelled(events, solution).collect()}
    return solution, rows, found, nothing


def test_they_are_what_a_plain_reading_says(made):
    solution, rows, found, nothing = made
    trees = label_trees(solution)
    kept = {r[1] for r in rows if r[4] in ("expr", "click")}
    assert {r for r in found if not r.endswith("'")} == kept
    seen = set()
    for request in kept:
        events = [{"event": r[4], "value": r[6], "scene": r[7], "position": r[8], "playtime": r[6]} for r in rows
                  if r[1] == request]  # fmt: skip
        for label, tree in trees.items():
            expected = plain(tree, events)
            assert found[request][label] == pytest.approx(expected or 0.0, rel=1e-12), (
                label,
                label_texts(solution)[label],
            )
            seen.add((label, expected is None, bool(expected)))
    assert len({label for label, *_ in seen}) == len(trees) and {missing for _, missing, _ in seen} == {True, False}
    for label, tree in trees.items():
        assert nothing[label] == pytest.approx(plain(tree, []) or 0.0), label


def test_the_order_of_rows_changes_no_bit(made):
    _, _, found, _ = made
    bits = {r: [struct.pack("d", v) for k, v in row.items() if k.startswith("label_")] for r, row in found.items()}
    assert all(bits[request] == bits[f"{request}'"] for request in bits if not request.endswith("'"))
    assert not any(struct.pack("d", -0.0) in of for of in bits.values())


def plain(node, events):
    """The slow reading of a tree: None is missing."""
    of = lambda n, row: value_of(n, row, events)  # noqa: E731
    return of(node, None)


def value_of(node, row, events):
    def finite(x):
        return None if x is None or not math.isfinite(x) else float(x)

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
