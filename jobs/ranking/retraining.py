"""When a new model is trained: by the cadence, when the scores of the one that serves drift, and where none serves."""

from __future__ import annotations

from jobs.lib import partitions
from jobs.lib.days import add_days, day_number
from jobs.lib.solution import Solution
from jobs.ranking.feature_list import SUNDAY
from jobs.ranking.models import TRAINED, finished_days


def is_cadence_day(ds: str, solution: Solution) -> bool:
    return (day_number(ds) - SUNDAY) % solution.cadence.rank_model == 0


def not_due(ds: str, solution: Solution) -> str | None:
    """Why no model is trained on ds, or None when one is: on the days of the cadence, where no model serves or none was
    tried for that long, where scores drift, and where ds has one already, so that running it again ends in the same.

    A model that was held back counts as tried: the next one comes when it would have come anyway.
    """
    every, finished = solution.cadence.rank_model, finished_days(solution)
    tried = max((day for day in finished if day < ds), default=None)
    serving = max((day for day, status in finished.items() if day < ds and status == TRAINED), default=None)
    is_young = serving is not None and day_number(ds) - day_number(tried) < every
    if ds in finished or is_cadence_day(ds, solution) or not is_young:
        return None
    if serving == tried and drifts(ds, serving, solution):
        return None
    return f"trained every {every} days (cadence.rank_model): the model of ds={serving} serves ds={ds}"


def drifts(ds: str, serving: str, solution: Solution) -> bool:
    """Has the evaluation of the day before found the serving model's scores further from what they were than
    `ranking.drift_retrain`? It judges the newest model of the day before that: a younger one was not judged yet."""
    limit, table, before = solution.ranking.drift_retrain, solution.table("evaluation"), add_days(ds, -1)
    if limit is None or serving >= before or before not in partitions.present_days(table):
        return False
    if partitions.delta_table(table) is None:
        return False
    rows = partitions.read_arrow(table, before, ["subject", "measure", "value"]).to_pylist()
    found = [r["value"] for r in rows if (r["subject"], r["measure"]) == ("ranking", "psi_score")]
    return any(value is not None and value > limit for value in found)
