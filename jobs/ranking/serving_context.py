"""What stands in for a request that has not come yet, in lists made at ds for the day after."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from jobs.lib.days import add_days, to_date
from jobs.ranking.feature_list import FIRST, POSITION, context_categories, context_numbers

if TYPE_CHECKING:
    from jobs.lib.solution import Solution
    from jobs.ranking.models import Model


def serving_context(model: Model | None, ds: str, solution: Solution) -> dict[str, Any]:
    """By context column, see `usual_context`; None for what a model says, where there is none."""
    usual = {} if model is None else model.metadata["serving_context"]
    return usual_context(usual, ds, context_numbers(solution), context_categories(solution))


def usual_context(usual: dict[str, Any], ds: str, numbers: Iterable[str], categories: Iterable[str]) -> dict[str, Any]:
    """The weekday of the day after; hour and categories as they were most frequent among the model's training rows
    (its `serving_context`); every item stands in the first place."""
    weekday = to_date(add_days(ds, 1)).weekday()
    fixed = {"hour": usual.get("hour"), "weekday": weekday, POSITION: FIRST}
    return {name: fixed[name] for name in numbers} | {c: usual.get(c) for c in categories}
