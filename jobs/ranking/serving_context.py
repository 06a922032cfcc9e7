"""What stands in for a request that has not come yet, in lists made at ds for the day after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.lib.days import add_days, to_date
from jobs.ranking.feature_list import POSITION, context_categories, context_numbers

if TYPE_CHECKING:
    from jobs.lib.solution import Solution
    from jobs.ranking.models import Model

FIRST = 1.0  # the position that all candidates are scored at


def serving_context(model: Model | None, ds: str, solution: Solution) -> dict[str, Any]:
    """By context column: the weekday of the day after; hour and categories as they were most frequent among the model's
    training rows, None without a model; every item stands in the first place."""
    usual = {} if model is None else model.metadata["serving_context"]
    weekday = to_date(add_days(ds, 1)).weekday()
    fixed = {"hour": usual.get("hour"), "weekday": weekday, POSITION: FIRST}
    numbers = {name: fixed[name] for name in context_numbers(solution)}
    return numbers | {c: usual.get(c) for c in context_categories(solution)}
