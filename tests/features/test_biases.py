"""Biases against a plain reference, from literal partials, and what a solution may ask for."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from jobs.features import biases as job
from jobs.features.biases import biases, estimates
from tests.features.builders import ACTIONS, demo_solution

WINDOW = {"biases": {"window": 2, "user_smoothing": 2, "item_smoothing": 1}}
ACTED = [
    ("20261101", "u1", "i1", "expr", 9, 0, 10),  # out of the second day's window
    ("20261101", "u1", "i1", "click", 9, 0, 10),
    ("20261102", "u1", "i1", "expr", 2, 0, 10),
    ("20261102", "u1", "i1", "click", 1, 0, 10),
    ("20261102", "u1", "i1", "praise", 7, 0, 10),  # neither impression nor target
    ("20261103", "u2", "i1", "expr", 4, 0, 10),
    ("20261103", "u1", "i2", "expr", 2, 0, 10),
    ("20261103", "u3", "i2", "click", 1, 0, 10),  # without an impression it tells nothing of its user
]


def reference(rows: list[tuple[str, str, float, float]], smoothing: tuple[float, float]) -> tuple[dict, dict]:
    """rows: (user, item, shown, hits)."""
    base = sum(hits for *_, hits in rows) / sum(shown for _, _, shown, _ in rows)
    of_user, of_item = {u: 0.0 for u, *_ in rows}, {i: 0.0 for _, i, *_ in rows}
    for _ in range(3):
        for item in of_item:
            own = [(s, h - s * (base + of_user[u])) for u, i, s, h in rows if i == item]
            of_item[item] = sum(left for _, left in own) / (sum(s for s, _ in own) + smoothing[1])
        for user in of_user:
            own = [(s, h - s * (base + of_item[i])) for u, i, s, h in rows if u == user]
            of_user[user] = sum(left for _, left in own) / (sum(s for s, _ in own) + smoothing[0])
    return of_user, of_item


def found(spark, rows, days, solution) -> dict:
    made = biases(spark.createDataFrame(rows, ACTIONS).repartition(3), days, solution).collect()
    return {(row.ds, row.side, row.id): (row.shown, row.bias) for row in made}


def test_biases_of_literal_days(spark):
    solution, days = demo_solution(features=WINDOW), ["20261102", "20261103"]
    made = found(spark, ACTED, days, solution)
    first = reference([("u1", "i1", 11, 10)], (2, 1))
    second = reference([("u1", "i1", 2, 1), ("u2", "i1", 4, 0), ("u1", "i2", 2, 0), ("u3", "i2", 0, 1)], (2, 1))
    wanted = {("20261102", "user", "u1"): (11, first[0]["u1"]), ("20261102", "item", "i1"): (11, first[1]["i1"])}
    wanted |= {("20261103", "user", u): (shown, second[0][u]) for u, shown in (("u1", 4), ("u2", 4))}
    wanted |= {("20261103", "item", i): (shown, second[1][i]) for i, shown in (("i1", 6), ("i2", 2))}
    assert made == {key: pytest.approx(value) for key, value in wanted.items()}
    assert made["20261103", "user", "u2"][1] < made["20261103", "user", "u1"][1]
    assert found(spark, ACTED[::-1], days[1:], solution) == {k: v for k, v in made.items() if k[0] == days[1]}


def test_nothing_shown_makes_no_rows(spark):
    assert found(spark, [], ["20261103"], demo_solution(features=WINDOW)) == {}
    assert found(spark, ACTED[-1:], ["20261103"], demo_solution(features=WINDOW)) == {}


@pytest.mark.parametrize("seed", range(5))
def test_estimates_are_those_of_the_plain_sums(seed):
    random = np.random.default_rng(seed)
    user, item = random.integers(0, 6, 40), random.integers(0, 9, 40)
    shown, hits = random.integers(0, 5, 40).astype(float), random.integers(0, 3, 40).astype(float)
    (seen, bias), (_, of_item) = estimates((user, item), (7, 10), shown, hits, (10.0, 5.0))
    rows = list(zip(user.tolist(), item.tolist(), shown.tolist(), hits.tolist(), strict=True))
    wanted = reference(rows, (10.0, 5.0))
    assert [bias[u] for u in wanted[0]] == pytest.approx(list(wanted[0].values()))
    assert [of_item[i] for i in wanted[1]] == pytest.approx(list(wanted[1].values()))
    assert (seen[6], bias[6], of_item[9]) == (0, 0, 0)  # who has no row


def test_who_meets_what_everybody_likes_owes_the_rate_to_it():
    # i0 is liked by all; u0 was shown nothing else, u1 likes what nobody else does
    user, item = np.array([0, 1, 2, 3, 1, 2, 3]), np.array([0, 0, 0, 0, 1, 1, 1])
    shown = np.full(7, 20.0)
    hits = np.array([20, 20, 20, 20, 20, 0, 0.0])
    (_, bias), _ = estimates((user, item), (4, 2), shown, hits, (10.0, 5.0))
    assert bias[1] > bias[0] > bias[2] and bias[0] < 0.2


def test_what_cannot_work_is_refused_when_the_file_is_read():
    with pytest.raises(ValidationError, match="features.biases.window: 31 days are more than the longest window, 15"):
        demo_solution(features={"biases": {"window": 31}})
    with pytest.raises(ValidationError, match="features.biases: needs impressions"):
        demo_solution(
            features={"biases": {"window": 3}, "events": ["click"]},
            events=["click", "praise"],
            tables={"behavior": {"impressions": False}},
        )


def test_more_than_a_worker_can_hold_is_said_before_it_is_read(spark, warehouse, monkeypatch):
    from jobs.lib.errors import RecflowError
    from jobs.lib.tables import write_days

    solution = demo_solution(features=WINDOW)
    write_days(
        spark.createDataFrame(ACTED[-1:], ACTIONS), solution.table("actions_daily"), ["20261103"], "actions_daily"
    )
    monkeypatch.setattr(job, "MOST_ROWS", 0)
    with pytest.raises(RecflowError, match="home_page_biases ds=20261103: 1 rows .* lower features.biases.window"):
        job.main(["20261103"], solution, solution.node("biases"))
