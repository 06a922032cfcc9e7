"""The ranking model of a day: XGBoost on the target label, over the samples of the training window.

Grain: one row per ds. `booster` is UBJ, cut to its best iteration; NULL when there was too little to learn from, and
metadata then says why. metadata is JSON: features with their categories, the days and rows of train < validation <
test, parameters, and the measures on the test days beside the item's own smoothed rate. It holds no clock time, and the
same samples give the same bytes: rows come in one total order, seed and thread count are fixed.

With ranking.exclude_suspicious_users the rows of users flagged on any day of the window are left out of train, and
metadata counts them (`excluded`); validation and test keep them, because the model will serve these users too.
"""

from __future__ import annotations

import json
import logging
import math
from typing import TYPE_CHECKING

from jobs.lib import partitions
from jobs.lib.days import day_number, window
from jobs.lib.reads import Reads, on_days
from jobs.lib.session import spark
from jobs.lib.solution import Node, Solution
from jobs.lib.tables import present_days, read_days, write_days
from jobs.ranking.model_input import (
    category_columns,
    context_categories,
    model_frame,
    number_columns,
)
from jobs.ranking.models import TRAINED, Model, predict, target_label, usable_days
from jobs.ranking.ranking_quality import compare
from jobs.ranking.training_rows import (
    IS_FLAGGED,
    Split,
    part_of,
    read_samples,
    split_days,
    total_order,
    without_flagged,
)

if TYPE_CHECKING:
    import pyarrow as pa
    import xgboost

log = logging.getLogger("recflow")

CONTRACT = "rank_model"
SETTINGS = ("features", "ranking")
SCHEMA = "status string, booster binary, metadata string, ds string"
SUNDAY = 3  # 1970-01-04, as a day number


def rank_model(samples: pa.Table, solution: Solution) -> Model:
    """samples: KEYS, label, the model columns and, where suspicious users are left out, IS_FLAGGED; in any order."""
    import pyarrow.compute as pc

    label = target_label(solution)
    days = sorted(pc.unique(samples.column("ds")).to_pylist())
    split = split_days(days, solution)
    base = {"status": "too_little_data", "target": label, "days": days, "rows": samples.num_rows}
    if split is None:
        needed = solution.ranking.validation_days + solution.ranking.test_days + 1
        return Model(None, base | {"reason": f"samples on {len(days)} days, at least {needed} are needed"})
    ordered = samples.take(total_order(samples))
    parts = {name: part_of(ordered, getattr(split, name)) for name in ("train", "validation", "test")}
    if IS_FLAGGED in samples.column_names:
        parts["train"], base["excluded"] = without_flagged(parts["train"])
    positives = int(pc.sum(parts["train"].column(label)).as_py() or 0)
    if positives < solution.ranking.min_positives:
        wanted = solution.ranking.min_positives
        return Model(None, base | {"reason": f"{positives} positives in the training days, {wanted} are needed"})
    for name in ("train", "validation"):
        if len(pc.unique(parts[name].column(label))) < 2:
            return Model(None, base | {"reason": f"all rows of the {name} days have the same label"})
    return _trained(parts, split, base, solution)


def features_of(train: pa.Table, solution: Solution) -> dict[str, list[str] | None]:
    """Model features in order: None for a number, else the training rows' categories. Empty columns are left out."""
    import pyarrow.compute as pc

    features: dict[str, list[str] | None] = {}
    for name in number_columns(solution):
        if train.column(name).null_count < train.num_rows:
            features[name] = None
    for name in category_columns(solution):
        if categories := sorted(pc.unique(train.column(name)).drop_null().to_pylist()):
            features[name] = categories
    return features


def _trained(parts: dict[str, pa.Table], split: Split, base: dict, solution: Solution) -> Model:
    import xgboost

    ranking, label = solution.ranking, base["target"]
    features = features_of(parts["train"], solution)

    def matrix(part: pa.Table, reference: xgboost.DMatrix | None = None) -> xgboost.QuantileDMatrix:
        labels = part.column(label).to_numpy()
        return xgboost.QuantileDMatrix(model_frame(part, features), labels, ref=reference, enable_categorical=True)

    train = matrix(parts["train"])
    params = {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        **ranking.params,
        "seed": ranking.seed,
        "nthread": ranking.threads,
    }
    booster = xgboost.train(
        params, train, ranking.rounds,
        evals=[(matrix(parts["validation"], train), "validation")],
        early_stopping_rounds=ranking.early_stopping_rounds, verbose_eval=False,
    )  # fmt: skip
    best = booster[: booster.best_iteration + 1]
    gain = best.get_score(importance_type="total_gain")
    total = math.fsum(gain.values()) or 1.0
    metadata = base | {
        "status": TRAINED,
        "features": [_feature(name, categories) for name, categories in features.items()],
        "importance": {n: round(g / total, 6) for n, g in sorted(gain.items(), key=lambda p: (-p[1], p[0]))},
        "spans": {name: {"days": getattr(split, name), **_counts(part, label)} for name, part in parts.items()},
        "params": params,
        "rounds": {"limit": ranking.rounds, "best": booster.best_iteration + 1},
        "serving_context": {c: _most_frequent(parts["train"], c) for c in ("hour", *context_categories(solution))},
        "has_sampled_negatives": solution.impression is None,
        "metrics": test_metrics(parts, best, features, solution),
        "versions": {"xgboost": xgboost.__version__},
    }
    return Model(bytes(best.save_raw(raw_format="ubj")), metadata)


def _feature(name: str, categories: list[str] | None) -> dict:
    return {"name": name, "type": "number" if categories is None else "category", "categories": categories}


def _counts(part: pa.Table, label: str) -> dict:
    import pyarrow.compute as pc

    positives = int(pc.sum(part.column(label)).as_py() or 0)
    return {"rows": part.num_rows, "positives": positives, "base_rate": positives / max(part.num_rows, 1)}


def _most_frequent(part: pa.Table, name: str) -> str | int | None:
    """Of equally frequent values the smallest: candidates have no request yet, and are scored as in the usual one."""
    counted = part.column(name).combine_chunks().value_counts().to_pylist()
    counted = [(-row["counts"], row["values"]) for row in counted if row["values"] is not None]
    value = min(counted)[1] if counted else None
    return int(value) if isinstance(value, float) else value


def test_metrics(
    parts: dict[str, pa.Table], booster: xgboost.Booster, features: dict[str, list[str] | None], solution: Solution
) -> dict:
    """Measures on the test days: the model's and the baseline's."""
    test, train = parts["test"], parts["train"]
    prior = train.column(target_label(solution)).to_numpy().mean()
    return compare(test, predict(booster, test, features), float(prior), solution)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    samples, days = solution.table("rank_samples"), window(ds, solution.ranking.training_days)
    wanted = on_days(samples, days[:-1])
    if solution.ranking.exclude_suspicious_users:
        wanted += on_days(solution.table("suspicious_users"), days)
    return Reads(needs=((samples, ds),), wanted=wanted)


def is_cadence_day(ds: str, solution: Solution) -> bool:
    return (day_number(ds) - SUNDAY) % solution.cadence.rank_model == 0


def not_due(ds: str, solution: Solution) -> str | None:
    """Why no model is trained on ds, or None when one is: on the days of the cadence, where no usable model is younger
    than that, and where ds has one already, so that running it again ends in the same."""
    every, trained = solution.cadence.rank_model, usable_days(solution)
    newest = max((day for day in trained if day < ds), default=None)
    is_young = newest is not None and day_number(ds) - day_number(newest) < every
    if ds in trained or is_cadence_day(ds, solution) or not is_young:
        return None
    return f"trained every {every} days (cadence.rank_model): the model of ds={newest} serves ds={ds}"


def main(days: list[str], solution: Solution, node: Node) -> None:
    """One model per day, each from its own training window."""
    table, samples = solution.table("rank_model"), solution.table("rank_samples")
    rows = []
    for ds in days:
        if not present_days(samples, [ds]):
            raise partitions.missing(samples, [ds], table)
        training = present_days(samples, window(ds, solution.ranking.training_days))
        leaves_out = solution.ranking.exclude_suspicious_users
        flagged = read_days(solution.table("suspicious_users"), training, table) if leaves_out else None
        model = rank_model(read_samples(solution, training, flagged), solution)
        log.info("%s ds=%s: %s", table, ds, _summary(model))
        rows.append((model.metadata["status"], model.booster, json.dumps(model.metadata, sort_keys=True), ds))
    write_days(spark().createDataFrame(rows, SCHEMA), table, days, CONTRACT)


def _summary(model: Model) -> str:
    if model.booster is None:
        return f"no model: {model.metadata['reason']}"
    of_model, of_item = (model.metadata["metrics"][name]["auc"] for name in ("model", "item_ctr"))
    shown = [f"{v:.4f}" if v is not None else "undefined" for v in (of_model, of_item)]
    return f"{model.metadata['rounds']['best']} trees, test AUC {shown[0]} (item rate alone {shown[1]})"
