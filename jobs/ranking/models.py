"""A trained model in use: finding it and applying it."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.lib import partitions
from jobs.lib.solution import Solution
from jobs.ranking.model_input import category_columns, model_frame, number_columns

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import xgboost


log = logging.getLogger("recflow")

TRAINED = "trained"

# Read when XGBoost is first imported: its threads otherwise spin while they wait, and beside other work on the same
# cores (Spark, other nodes) a training took three times the CPU.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@dataclass(frozen=True)
class Model:
    """A trained booster and what is known about it; booster is None when there was too little data."""

    booster: bytes | None
    metadata: dict


def usable_days(solution: Solution) -> list[str]:
    """Every ds with a trained model whose features the solution still has, oldest first. Free of Spark."""
    table = solution.table("rank_model")
    present = partitions.present_days(table)
    if not present or (delta := partitions.delta_table(table)) is None:
        return []
    rows = delta.to_pyarrow_dataset().to_table(columns=["ds", "status", "metadata"]).to_pylist()
    known = {*number_columns(solution), *category_columns(solution)}
    usable = []
    for row in rows:
        if row["ds"] not in present or row["status"] != TRAINED:
            continue
        if unknown := sorted({f["name"] for f in json.loads(row["metadata"])["features"]} - known):
            log.warning("%s ds=%s: not used, the solution no longer has its feature %s", table, row["ds"], unknown[0])
            continue
        usable.append(row["ds"])
    return sorted(usable)


def newest_model(solution: Solution, up_to: str) -> tuple[str, Model] | None:
    """The newest usable model of a ds up to this one, with its ds; None when there is none."""
    ds = max((day for day in usable_days(solution) if day <= up_to), default=None)
    if ds is None:
        return None
    [row] = partitions.read_arrow(solution.table("rank_model"), ds, ["booster", "metadata"]).to_pylist()
    return ds, Model(row["booster"], json.loads(row["metadata"]))


def model_features(model: Model) -> dict[str, list[str] | None]:
    return {feature["name"]: feature["categories"] for feature in model.metadata["features"]}


def predict(booster: xgboost.Booster, table: pa.Table, features: dict[str, list[str] | None]) -> np.ndarray:
    import xgboost

    return booster.predict(xgboost.DMatrix(model_frame(table, features), enable_categorical=True))


def load_booster(raw: bytes, threads: int = 1) -> xgboost.Booster:
    import xgboost

    booster = xgboost.Booster({"nthread": threads})
    booster.load_model(bytearray(raw))
    return booster


def target_label(solution: Solution) -> str:
    return solution.ranking.target or f"is_{solution.target}"
