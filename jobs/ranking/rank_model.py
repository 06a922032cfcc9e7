"""The ranking model of a day: XGBoost on the targets' labels, over the samples of the training window.

Grain: one row per ds. `boosters` has one for each target: UBJ, cut to its best iteration; NULL when there was too
little to learn from, and metadata then says why. status: `trained` may serve; `held_back` did not pass the gate
(jobs/ranking/gate.py), and the model before it goes on serving. metadata is JSON: features with their categories, the
days and rows of train < validation < test, parameters, the measures on the test days beside the item's own smoothed
rate, the gate's decision. It holds no clock time, and the same samples and current model give the same bytes: rows come
in one total order, seed and thread count are fixed. (A search that its time budget cuts is the exception.)

With ranking.exclude_suspicious_users the rows of users flagged on any day of the window are left out of train, and
metadata counts them (`excluded`); validation and test keep them, because the model will serve these users too.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.lib import partitions
from jobs.lib.days import add_days, window
from jobs.lib.reads import Reads, on_days
from jobs.lib.session import spark
from jobs.lib.solution import Node, Solution
from jobs.lib.tables import present_days, write_days
from jobs.ranking.models import HELD_BACK, Model
from jobs.ranking.retraining import is_cadence_day, not_due
from jobs.ranking.training import Request, in_own_process
from jobs.ranking.training_rows import offered_in

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("recflow")

__all__ = ["is_cadence_day", "not_due", "rank_model"]

CONTRACT = "rank_model"
SETTINGS = ("features", "ranking")
SCHEMA = "status string, boosters array<struct<label:string,booster:binary>>, metadata string, ds string"


def rank_model(
    samples: pa.Table, solution: Solution, current: tuple[str, Model] | None = None, cache: Path | None = None
) -> Model:
    """samples: KEYS, labels, the model columns and, where suspicious users are left out, IS_FLAGGED; in any order.
    current: the model that serves now, with its ds."""
    from jobs.ranking.learning import learned
    from jobs.ranking.training_rows import in_memory

    return learned(in_memory(samples), solution, current, cache)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    samples, days = solution.table("rank_samples"), window(ds, solution.ranking.training_days)
    wanted = on_days(samples, days[:-1])
    if solution.ranking.exclude_suspicious_users:
        wanted += on_days(solution.table("suspicious_users"), days)
    found = list(offered_in(solution, days).values())
    if solution.ranking.drift_retrain:
        found.append((solution.table("evaluation"), add_days(ds, -1)))
    return Reads(needs=((samples, ds),), wanted=wanted, found=tuple(found), model_up_to=add_days(ds, -1))


def main(days: list[str], solution: Solution, node: Node) -> None:
    """One model per day, each from its own training window, each beside the one that served until then."""
    table, samples = solution.table("rank_model"), solution.table("rank_samples")
    for ds in days:
        if not present_days(samples, [ds]):
            raise partitions.missing(samples, [ds], table)
        training = present_days(samples, window(ds, solution.ranking.training_days))
        model = in_own_process(Request(solution, training, add_days(ds, -1)))
        level = logging.WARNING if model.metadata["status"] == HELD_BACK else logging.INFO
        log.log(level, "%s ds=%s: %s", table, ds, _summary(model))
        write_days(spark().createDataFrame([as_row(model, ds)], SCHEMA), table, [ds], CONTRACT)


def as_row(model: Model, ds: str) -> tuple:
    boosters = list(model.boosters.items()) or None
    return model.metadata["status"], boosters, json.dumps(model.metadata, sort_keys=True), ds


def _summary(model: Model) -> str:
    about = model.metadata
    if not model.boosters:
        return f"no model: {about['reason']}"
    verdict = "held back" if about["status"] == HELD_BACK else "accepted"
    return f"{about['rounds']['best']} trees, {verdict}: {about['gate']['reason']}"
