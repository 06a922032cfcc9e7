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
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.lib import partitions
from jobs.lib.columns import seeded_hash
from jobs.lib.days import window
from jobs.lib.session import spark
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F
from jobs.lib.tables import present_days, read_days, write_days
from jobs.ranking.model_input import (
    KEYS,
    category_columns,
    context_categories,
    model_frame,
    model_select,
    number_columns,
)
from jobs.ranking.models import Model, compare, predict, target_label

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import xgboost
    from pyspark.sql import DataFrame

log = logging.getLogger("recflow")

CONTRACT = "rank_model"
SCHEMA = "status string, booster binary, metadata string, ds string"
IS_FLAGGED = "is_flagged"


@dataclass(frozen=True)
class Split:
    """Days of each part; all of train lie before validation, and those before test."""

    train: list[str]
    validation: list[str]
    test: list[str]


def split_days(days: list[str], solution: Solution) -> Split | None:
    """The days with samples, newest for test. None when not every part gets a day."""
    ranking = solution.ranking
    held_out = ranking.validation_days + ranking.test_days
    if len(days) <= held_out:
        return None
    train, rest = days[:-held_out], days[-held_out:]
    return Split(train, rest[: ranking.validation_days], rest[ranking.validation_days :])


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
    ordered = samples.take(_total_order(samples))
    parts = {name: _part(ordered, getattr(split, name)) for name in ("train", "validation", "test")}
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


def _total_order(samples: pa.Table) -> np.ndarray:
    """Row order by KEYS: the bytes of a model depend on it."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    ranks = []
    for name in reversed(KEYS):
        encoded = pc.dictionary_encode(samples.column(name).combine_chunks())
        position = np.empty(len(encoded.dictionary), dtype=np.int64)
        position[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(encoded.dictionary))
        ranks.append(position[encoded.indices.to_numpy(zero_copy_only=False)])
    return pa.array(np.lexsort(ranks))


def _part(samples: pa.Table, days: list[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    return samples.filter(pc.is_in(samples.column("ds"), value_set=pa.array(days, pa.string())))


def without_flagged(train: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    """The rows that are not flagged, and how many users and rows were."""
    import pyarrow.compute as pc

    flagged = pc.fill_null(train.column(IS_FLAGGED), False)
    left_out = train.filter(flagged)
    counts = {"suspicious_users": pc.count_distinct(left_out.column("user_id")).as_py(), "rows": left_out.num_rows}
    return train.filter(pc.invert(flagged)), counts


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
        "status": "trained",
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


def read_samples(solution: Solution, days: list[str], flagged: DataFrame | None = None) -> pa.Table:
    """Samples of the days for the model, at most max_train_rows of them, chosen by a hash.

    flagged: (user_id), duplicates are welcome; given, the rows of these users have IS_FLAGGED set.
    """
    table, limit, seed = solution.table("rank_samples"), solution.ranking.max_train_rows, solution.ranking.seed
    rows = sum(partitions.record(table, ds)["rows"] for ds in days)
    samples = read_days(table, days, solution.table("rank_model"))
    if rows > limit:
        log.warning("%s: %s of %s rows, chosen by a hash (max_train_rows)", table, f"{limit:,}", f"{rows:,}")
        share = F.pmod(seeded_hash(seed, *KEYS), F.lit(1_000_000)) < F.lit(round(limit / rows * 1_000_000))
        samples = samples.where(share)
    kept = (*KEYS, target_label(solution))
    if flagged is not None:
        marks = flagged.select("user_id").distinct().withColumn(IS_FLAGGED, F.lit(True))
        samples, kept = samples.join(marks, on="user_id", how="left"), (*kept, IS_FLAGGED)
    return samples.select(*model_select(solution, kept)).toArrow()


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
