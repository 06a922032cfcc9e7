"""Learned weights: gains by hand, what is learned, and what few users may not change."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from jobs.recall.weights import Blended, _is_better, blended, can_teach, gains_of, learned


def rows(*tuples, columns=("user_id", "item_id", "score")):
    return pa.table({name: [row[n] for row in tuples] for n, name in enumerate(columns)})


def pairs(*tuples):
    return rows(*tuples, columns=("user_id", "item_id"))


PERSONAL = {"good": rows(("u", "a", 4.0), ("u", "b", 1.0), ("other", "a", 9.0)), "bad": rows(("u", "c", 0.5))}
HOT = {"hot": rows(("b", 8.0), ("d", 2.0), ("e", 1.0), columns=("item_id", "score"))}


def test_lists_are_blended_by_share_of_the_best_score_without_what_was_seen():
    lists = blended(PERSONAL, HOT, pairs(("u", "d"), ("other", "a")), pairs(("u", "a"), ("u", "z")), depth=2)
    assert lists.ends.tolist() == [0, 4]
    # cells a, b, c, e: d was seen, so e comes into hot's first two
    assert lists.scores.tolist() == [[1.0, 0, 0], [0.25, 0, 1.0], [0, 1.0, 0], [0, 0, 0.125]]
    assert lists.is_hit.tolist() == [True, False, False, False] and lists.positives.tolist() == [2]


def test_the_gain_is_the_mean_of_ndcg_at_10_and_50_and_recall_at_50():
    lists = blended(PERSONAL, HOT, None, pairs(("u", "a"), ("u", "z")), depth=2)
    ideal = 1 + 1 / math.log2(3)
    # with weights 1, 0, 1 the order is b (1.25), a (1), d, c: the hit has rank 2
    assert gains_of(lists, np.array([1.0, 0, 1])) == pytest.approx([(2 * (1 / math.log2(3)) / ideal + 0.5) / 3])
    assert gains_of(lists, np.array([1.0, 0, 0])) == pytest.approx([(2 / ideal + 0.5) / 3])


def many_users(users: int) -> Blended:
    """Sixty items each: recall 0 puts the hit first, recall 1 puts it last, recall 2 says nothing."""
    scores = np.zeros((users * 60, 3))
    scores[:, 1] = np.tile(np.arange(1, 61) / 60, users)
    scores[::60, 0] = 1.0
    is_hit = np.zeros(users * 60, bool)
    is_hit[::60] = True
    return Blended(np.arange(users + 1) * 60, scores, is_hit, np.ones(users, np.int64))


def test_the_recall_that_finds_gains_weight_and_the_one_that_does_not_loses_it():
    weights, before, after = learned(many_users(50), [0.2, 1.0, 1.0])
    assert weights[0] + weights[1] / 60 >= weights[1] and before < 0.5 and after == 1.0


def test_a_recall_that_adds_nothing_goes():
    weights, *_ = learned(many_users(50), [1.0, 0.001, 0.5])
    assert weights.tolist() == [1.0, 0.0, 0.0]


def test_a_gain_that_could_be_chance_is_none():
    old = np.zeros(100)
    assert _is_better(np.full(100, 0.01), old)
    assert not _is_better(np.full(100, 0.0001), old)
    assert not _is_better(np.where(np.arange(100) % 2, 0.23, -0.2), old)  # mean 0.015, its standard error 0.02


def test_without_a_hit_nothing_is_learned():
    lists = many_users(100)
    assert can_teach(lists) and not can_teach(many_users(99))
    lists.is_hit[:] = False
    assert not can_teach(lists) and learned(lists, [1.0, 0.5, 0.5])[0].tolist() == [1.0, 0.5, 0.5]


def test_weights_of_nothing_begin_at_one():
    weights, *_ = learned(many_users(50), [0.0, 0.0, 0.0])
    assert weights[0] == 1.0


def test_the_same_lists_in_another_order_give_the_same_cells():
    turned = {name: table.take(list(range(table.num_rows))[::-1]) for name, table in PERSONAL.items()}
    one, other = (blended(p, HOT, None, pairs(("u", "a")), 5) for p in (PERSONAL, turned))
    assert one.scores.tolist() == other.scores.tolist() and one.ends.tolist() == other.ends.tolist()
