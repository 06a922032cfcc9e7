"""Labels by expression: what they are of the events of a sample, what they are of none, and what is refused where."""

from __future__ import annotations

import math
import random
import struct

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from jobs.flow.lineage import config_id
from jobs.lib.contracts import load_contract
from jobs.lib.errors import DataError
from jobs.lib.expression_tree import Leaf
from jobs.ranking.label_expression import values_of
from jobs.ranking.labels import label_columns, label_texts, label_trees, of_nothing
from jobs.ranking.models import Scorer
from jobs.ranking.rank_model import rank_model
from jobs.ranking.rank_samples import labelled
from tests.features.builders import EVENTS, demo_solution
from tests.ranking.builders import DAY, at, sample_table
from tests.ranking.label_reference import plain

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
    values = [None, None, 0.0, -0.0, 1.0, 2.5, 0.25, -3.0, float("nan"), float("inf"), 7.125, 0.1, 1e9 + 0.3]
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


LABELS = {
    "is_long": "max(if(event = 'click' and playtime > 10, 1, 0))",
    "label_grade": "if(count(event = 'praise') > 0, 2, max(if(event = 'click', 1, 0)))",
    "ln_playtime": "ln(1 + sum(value))",
    "label_fresh": "1 - least(1, sum(if(event = 'expr', 1, 0)))",
}


def test_defaults_are_expressions_and_labels_are_added_or_said_otherwise(spark):
    assert label_texts(demo_solution()) == {
        "is_click": "max(if(event = 'click', 1, 0))", "is_praise": "max(if(event = 'praise', 1, 0))",
        "ln_playtime": "log1p(greatest(sum(value), 0))",
    }  # fmt: skip
    solution = demo_solution(ranking={"labels": LABELS})
    assert label_columns(solution) == ["is_click", "is_praise", "ln_playtime", "is_long", "label_grade", "label_fresh"]
    rows = [
        (DAY, "r", "u", item, event, at(2, 9), value, "home", "wifi")
        for item, event, value in (
            ("a", "expr", None), ("a", "click", 30.0), ("b", "click", 10.0), ("b", "praise", 0.5), ("c", "expr", None),
        )
    ]  # fmt: skip
    samples = labelled(spark.createDataFrame(rows, EVENTS), solution)
    found = {r["item_id"]: [r[label] for label in label_columns(solution)] for r in samples.collect()}
    assert found["a"] == [1, 0, pytest.approx(math.log(31)), 1, 1.0, 0.0]
    assert found["b"] == [1, 1, pytest.approx(math.log(11.5)), 0, 2.0, 1.0]
    assert found["c"] == [0, 0, 0.0, 0, 0.0, 0.0]
    contract, types = load_contract("rank_samples"), dict(samples.dtypes)
    for label in label_columns(solution):
        spec = contract.spec(label)
        assert (spec.role, spec.type) == ("label", types[label]) and types[label] in ("int", "double")
    texts = {
        "label_sum": "sum(pow(value, 9))",
        "label_mean": "avg(pow(value, 9))",
        "label_one": "sum(value * 8e12) + 1",
    }
    [a] = labelled(spark.createDataFrame(rows[:2], EVENTS), demo_solution(ranking={"labels": texts})).collect()
    assert [a[label] for label in texts] == [0.0, 0.0, 1.0]  # the ninth power of 30 is more than is summed
    negative = spark.range(1).select(*of_nothing(solution).values()).first()
    assert list(negative) == [0, 0, 0.0, 0, 0.0, 1.0]  # 1 - least(1, 0)


@pytest.mark.parametrize(("text", "said"), [
    ("max(if(event = 'clik', 1, 0))", "unknown event 'clik' at column 16; allowed: expr, click, praise"),
    ("count(event in ['click', 'x'])", "unknown event 'x' at column 16"),
    ("value + 1", "value at column 1 has a value for each event: put it inside max, min, sum, avg, count"),
    ("sum(value) + max(value - min(value))", "min at column 26 stands inside max, itself an aggregate"),
    ("max(event = 'click')", "what max takes must be a number: column 5 is true or false"),
    ("count(value)", "what count takes must be true or false: column 7 is a number"),
    ("sum(if(value, 1, 0))", "the condition of if must be true or false: column 8 is a number"),
    ("sum(if(event = 'click', 'a', 0))", "what if takes must be a number: column 25 is text"),
    ("max(if(event = 'click', 1))", "if at column 5 takes 3 arguments"),
    ("ln(sum(value), 2)", "ln at column 1 takes 1 argument"),
    ("least(1)", "least at column 1 takes two or more arguments"),
    ("median(value)", "unknown function 'median' at column 1; allowed: if, max, min, sum, avg, count, exp"),
    ("sum(price)", "unknown name 'price' at column 5; columns: event, event_time, scene, net_type, value, playtime"),
    ("sum(position)", "unknown name 'position' at column 5"),
    ("max(value) > 1", "the whole expression must be a number: column 1 is true or false"),
    ("max(value", "')' expected at column 10, not the end"),
    ("max(value))", "and, or, or the end expected at column 11, not ')'"),
    ("", "a value expected at column 1, not the end"),
    ("max(days_since(click))", "unknown function 'days_since' at column 5"),
    ("max(item.stock)", "unknown name 'item' at column 5"),
])  # fmt: skip
def test_what_does_not_hold_is_refused_by_label_and_column(text, said):
    with pytest.raises(ValidationError) as refused:
        demo_solution(ranking={"labels": {"label_x": text}})
    assert f"ranking.labels.label_x: {said}" in str(refused.value)


@pytest.mark.parametrize(("ranking", "said"), [
    ({"labels": {"is_long": "sum(value)"}}, "ranking.labels.is_long: not surely 0 or 1, as max(if(…, 1, 0)) would be"),
    ({"labels": {"is_x": "max(if(event = 'click', 2, 0))"}}, "ranking.labels.is_x: it can be 2, not only 0 or 1"),
    ({"labels": {"clicked": "max(1)"}}, "ranking.labels: 'clicked' is no name of a label: is_…, ln_…, label_…"),
    ({"labels": {"is_flagged": "max(1)"}}, "ranking.labels: 'is_flagged' is no name of a label"),
    ({"labels": {"is_x": "least(max(if(event = 'click', 1, 0)), 7)"}}, "ranking.labels.is_x: it can be 7, not only 0"),
    ({"labels": LABELS, "targets": [{"label": "label_grade"}]},
     "binary:logistic cannot learn label_grade, if(count(event = 'praise') > 0, 2, max(if(event = 'click', 1, 0))): "
     "it can be 2, not only 0 or 1"),
    ({"labels": LABELS, "targets": [{"label": "ln_playtime", "objective": "rank:ndcg"}]},
     "rank:ndcg cannot learn ln_playtime, ln(1 + sum(value)): not surely a whole number up to 31"),
    ({"labels": LABELS, "targets": [{"label": "is_longer"}]},
     "ranking.targets: 'is_longer' is no label of the samples; there are: is_click, is_praise, ln_playtime, is_long, "),
])  # fmt: skip
def test_a_label_that_cannot_be_learned_so_is_refused_by_name_and_value(ranking, said):
    with pytest.raises(ValidationError) as refused:
        demo_solution(ranking=ranking)
    assert said in str(refused.value)


@pytest.mark.parametrize(("text", "values"), [
    ("max(if(event = 'click', 1, 0))", {0, 1}),
    ("if(sum(value) > 3, 2, -max(if(value > 1, 1, 0)))", {2, 0, -1}),
    ("least(2, if(count(true) > 1, 3, 0)) * 2 - 1", {3, -1}),
    ("least(max(if(event = 'click', 1, 0)), 7)", {0, 1, 7}),  # 7 where there is no event
    ("least(max(if(event = 'click', 1, 0)) + max(if(event = 'praise', 1, 0)), 1)", {0, 1}),
    ("greatest(max(if(event = 'click', 1, 0)), min(if(event = 'click', 3, 2)))", {0, 1, 2, 3}),
    ("sum(if(event = 'click', 1, 0))", None),
    ("max(if(event = 'click', value, 0))", None),
])  # fmt: skip
def test_which_values_are_possible(text, values):
    assert values_of(label_trees(demo_solution(ranking={"labels": {"label_x": text}}))["label_x"]) == values


def test_a_label_is_not_called_like_a_column_beside_it():
    roles = {"behavior": {"roles": {"categorical": ["is_new"]}}}
    with pytest.raises(ValidationError, match="ranking.labels: 'is_new' is also a categorical column of the behavior"):
        demo_solution(tables=roles, ranking={"labels": {"is_new": "max(if(event = 'click', 1, 0))"}})


def test_a_name_of_unusual_letters_stands_in_backticks():
    behavior = {"roles": {"value": "play time", "categorical": ["net-type"]}}
    text = "sum(if(`net-type` = 'wifi', `play time`, 0))"
    wanted = demo_solution(tables={"behavior": behavior}, ranking={"labels": {"label_x": text}})
    assert set(label_trees(wanted)["label_x"].leaves()) == {Leaf("event", "net-type"), Leaf("event", "play time")}
    with pytest.raises(ValidationError, match="unknown name 'no such' at column 5"):
        demo_solution(ranking={"labels": {"label_x": "sum(`no such`)"}})


def test_a_changed_label_makes_samples_and_models_stale_and_nothing_before_them():
    plain_one, changed = demo_solution(), demo_solution(ranking={"labels": {"is_click": LABELS["is_long"]}})
    stale = {n.name for n in plain_one.nodes() if config_id(plain_one, n) != config_id(changed, changed.node(n.name))}
    assert {"rank_samples", "rank_model"} <= stale
    assert not stale & {"input_checks", "actions_daily", "user_features", "item_features", "candidates"}


def test_a_model_learns_weighs_and_blends_labels_of_the_solution():
    ranking = {
        "threads": 1, "rounds": 10, "labels": LABELS, "weights": {"label_grade": 2},
        "score": "is_long + label_grade / 10",
        "targets": [{"label": "is_long"}, {"label": "label_grade", "objective": "rank:ndcg"}],
    }  # fmt: skip
    solution = demo_solution(ranking=ranking)
    samples = sample_table(solution, rows_a_day=200)
    click = samples.column("is_click").to_numpy()
    grade = click * np.random.default_rng(2).integers(1, 3, len(click))
    samples = samples.append_column("is_long", pa.array(click)).append_column("label_grade", pa.array(grade * 1.0))
    model = rank_model(samples, solution)
    score, of = Scorer(model).score(samples.slice(0, 50))
    assert (score == of["is_long"] + of["label_grade"] / 10).all() and model.metadata["target"] == "is_long"
    wrong = samples.set_column(samples.column_names.index("is_long"), "is_long", pa.array(np.where(click > 0, 3, 0)))
    with pytest.raises(DataError, match="binary:logistic cannot learn is_long, which is 3 in samples of 20261101 to"):
        rank_model(wrong, solution)
