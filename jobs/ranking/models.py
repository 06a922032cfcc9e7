"""A trained model in use: finding it and applying it."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.lib import partitions
from jobs.lib.solution import Solution
from jobs.ranking.calibration import calibrated, unsampled
from jobs.ranking.feature_list import FIRST, POSITION, feature_list
from jobs.ranking.model_input import model_frame
from jobs.ranking.targets import fused

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import xgboost


log = logging.getLogger("recflow")

TRAINED, HELD_BACK, TOO_LITTLE_DATA = "trained", "held_back", "too_little_data"

# Read when XGBoost is first imported: its threads otherwise spin while they wait, and beside other work on the same
# cores (Spark, other nodes) a training took three times the CPU.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@dataclass(frozen=True)
class Model:
    """Trained boosters by label (UBJ) and what is known about them; no boosters where there was too little data."""

    boosters: dict[str, bytes]
    metadata: dict

    @property
    def targets(self) -> list[dict]:
        return self.metadata["targets"]


class Scorer:
    """A model loaded once, to be applied to many tables."""

    def __init__(self, model: Model, threads: int = 1) -> None:
        self._model, self._features = model, model_features(model)
        self._boosters = {label: load_booster(raw, threads) for label, raw in model.boosters.items()}

    def score(self, table: pa.Table) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """(the score that lists are ordered by, each label's prediction), float64; table has the model's columns."""
        predictions = self._unsampled({target["label"]: values for target, values in self._predicted(table)})
        return fused(self._model.metadata["score"], predictions), predictions

    def _unsampled(self, predicted: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        rate = (self._model.metadata.get("negative_sampling") or {}).get("rate")
        is_chance = {target["label"]: _is_probability(target) for target in self._model.targets}
        return {label: unsampled(values, rate if is_chance[label] else None) for label, values in predicted.items()}

    def on_samples(self, table: pa.Table) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The same for samples, to be held against their labels: in the order that serves, every item as if it stood
        first, but predictions are chances among the rows that were sampled."""
        import pyarrow as pa

        if POSITION in table.column_names:
            first = pa.repeat(pa.scalar(FIRST, pa.float32()), table.num_rows)
            table = table.set_column(table.column_names.index(POSITION), POSITION, first)
        predicted = {target["label"]: values for target, values in self._predicted(table)}
        return fused(self._model.metadata["score"], self._unsampled(predicted)), predicted

    @property
    def features(self) -> list[str]:
        return list(self._features)

    def contributions(self, table: pa.Table) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Per label, what a booster's raw output (log-odds, where it predicts a probability) is made up of, and that
        output: SHAP values (rows, features + 1), the last one being what every row starts from."""
        rows, made = self._matrix(table), {}
        for label, booster in self._boosters.items():
            made[label] = (booster.predict(rows, pred_contribs=True), booster.predict(rows, output_margin=True))
        return made

    def _matrix(self, table: pa.Table) -> xgboost.DMatrix:
        import xgboost

        return xgboost.DMatrix(model_frame(table, self._features), enable_categorical=True)

    def _predicted(self, table: pa.Table) -> list[tuple[dict, np.ndarray]]:
        rows, made = self._matrix(table), []
        for target in self._model.targets:
            fit, booster = target.get("calibration"), self._boosters[target["label"]]
            made.append((target, calibrated(booster.predict(rows, output_margin=fit is not None), fit)))
        return made


def _is_probability(target: dict) -> bool:
    return target["objective"] != "reg:squarederror"


def usable_days(solution: Solution) -> list[str]:
    """Every ds with a model that may serve: trained, let through by the gate, of features that the solution still has;
    oldest first. Free of Spark."""
    return [ds for ds, status in finished_days(solution).items() if status == TRAINED]


def finished_days(solution: Solution) -> dict[str, str]:
    """ds -> status (trained, held_back) of every model that came to be, oldest first, less those of features that the
    solution no longer has."""
    table = solution.table("rank_model")
    present = partitions.present_days(table)
    if not present or (delta := partitions.delta_table(table)) is None:
        return {}
    rows = delta.to_pyarrow_dataset().to_table(columns=["ds", "status", "metadata"]).to_pylist()
    features, found = feature_list(solution), {}
    known = {*features.numbers, *features.categories}
    for row in sorted(rows, key=lambda row: row["ds"]):
        about = json.loads(row["metadata"])
        if row["ds"] not in present or row["status"] not in (TRAINED, HELD_BACK) or "features_version" not in about:
            continue  # without it: made by an older version
        if unknown := sorted({f["name"] for f in about["features"]} - known):
            log.warning("%s ds=%s: not used, the solution no longer has its feature %s", table, row["ds"], unknown[0])
            continue
        others = [f["name"] for f in about["features"] if f["definition"] != features.definition(f["name"])]
        if others:
            log.warning("%s ds=%s: not used, its feature %s is now defined otherwise", table, row["ds"], others[0])
            continue
        found[row["ds"]] = row["status"]
    return found


def newest_model(solution: Solution, up_to: str) -> tuple[str, Model] | None:
    """The newest usable model of a ds up to this one, with its ds; None when there is none."""
    ds = max((day for day in usable_days(solution) if day <= up_to), default=None)
    return None if ds is None else (ds, read_model(solution, ds))


def read_model(solution: Solution, ds: str) -> Model:
    [row] = partitions.read_arrow(solution.table("rank_model"), ds, ["boosters", "metadata"]).to_pylist()
    return model_from(row)


def model_from(row: dict) -> Model:
    """From a row of the table."""
    boosters = {of["label"]: of["booster"] for of in row["boosters"] or ()}
    return Model(boosters, json.loads(row["metadata"]))


def model_features(model: Model) -> dict[str, list[str] | tuple[float, float] | None]:
    """As `model_frame` takes them."""
    return {f["name"]: tuple(f["scale"]) if "scale" in f else f["categories"] for f in model.metadata["features"]}


def load_booster(raw: bytes, threads: int = 1) -> xgboost.Booster:
    import xgboost

    booster = xgboost.Booster({"nthread": threads})
    booster.load_model(bytearray(raw))
    return booster
