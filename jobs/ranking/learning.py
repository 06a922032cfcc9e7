"""From samples to a model: what is learned, from what, how good it is, and whether it may serve. No Spark, no tables.

Runs in a process of its own (jobs/ranking/training.py); tests call it with samples in memory.
"""

from __future__ import annotations

import math
import platform
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import xgboost

from jobs.lib.ranking_params import Ranking, Target
from jobs.lib.solution import Solution
from jobs.ranking.boosting import Sides, Trained, refitted, searched, trained
from jobs.ranking.calibration import platt
from jobs.ranking.feature_list import context_categories, feature_list, is_left_out
from jobs.ranking.judging import Current, judged
from jobs.ranking.labels import label_texts
from jobs.ranking.matrices import MAX_BIN, Features, Part, matrix, part_of
from jobs.ranking.models import TOO_LITTLE_DATA, TRAINED, Model
from jobs.ranking.targets import check_values, score_of, target_label, targets_of
from jobs.ranking.training_rows import Samples, Split, split_days


class Columns:
    """The training rows' model columns: which have values, their categories, and the usual context."""

    def __init__(self, solution: Solution) -> None:
        self._features, self._leave_out = feature_list(solution), solution.ranking.leave_out
        self._numbers: set[str] = set()
        self._scaled = {name: np.zeros(3) for name in self._features.scaled}  # values, their sum, that of squares
        self._categories = {name: Counter() for name in self._features.categories}
        self._context = {name: Counter() for name in ("hour", *context_categories(solution))}

    def look_at(self, rows: pa.Table) -> None:
        for name in self._features.numbers:
            if name not in self._numbers and rows.column(name).null_count < rows.num_rows:
                self._numbers.add(name)
        for name, sums in self._scaled.items():
            values = rows.column(name).drop_null().to_numpy().astype(np.float64)
            sums += (len(values), values.sum(), (values**2).sum())
        for name, counter in (*self._categories.items(), *self._context.items()):
            for counted in rows.column(name).combine_chunks().value_counts().to_pylist():
                counter[counted["values"]] += counted["counts"]

    def features(self) -> Features:
        """In model order: None for a number, mean and deviation of one that is a z-score, else the categories. Empty
        columns are left out, and those of `ranking.leave_out`."""
        numbers = {name: self._scale(name) for name in self._features.numbers if name in self._numbers}
        found = numbers | {name: known for name in self._categories if (known := self._known(name))}
        return {name: of for name, of in found.items() if not is_left_out(name, self._leave_out)}

    def _scale(self, name: str) -> tuple[float, float] | None:
        if name not in self._scaled:
            return None
        n, total, squares = self._scaled[name].tolist()
        return total / n, math.sqrt(max(squares / n - (total / n) ** 2, 0.0)) or 1.0

    def _known(self, name: str) -> list[str]:
        least = self._features.min_counts.get(name, 1)
        return sorted(value for value, n in self._categories[name].items() if value is not None and n >= least)

    @property
    def version(self) -> str:
        return self._features.id

    def defined_as(self, name: str) -> str:
        return self._features.definition(name)

    def usual(self) -> dict[str, str | int | None]:
        """The most frequent context, of equals the smallest: candidates are scored as in a usual request."""
        return {name: _most_frequent(counter) for name, counter in self._context.items()}


def learned(samples: Samples, solution: Solution, current: Current | None = None, cache: Path | None = None) -> Model:
    """current: the model that serves now, with its ds. cache: where XGBoost may keep what does not fit in memory."""
    targets, split = targets_of(solution), split_days(samples.days, solution)
    base = {"status": TOO_LITTLE_DATA, "target": target_label(solution), "days": samples.days}
    base["rows"] = sum(samples.rows.values())
    if split is None:
        needed = solution.ranking.validation_days + solution.ranking.test_days + 1
        return Model({}, base | {"reason": f"samples on {len(samples.days)} days, at least {needed} are needed"})
    columns, labels = Columns(solution), list(dict.fromkeys([*(t.label for t in targets), *solution.ranking.weights]))
    parts = {
        "train": part_of(samples, split.train, labels, columns.look_at, is_training=True),
        "validation": part_of(samples, split.validation, labels),
    }
    for target in targets:
        for part in parts.values():
            check_values(target, part.labels[target.label], part.days)
    if parts["train"].has_flags:
        base["excluded"] = _excluded(parts["train"])
    if reason := next((why for t in targets if (why := _too_little(t, parts, solution))), None):
        return Model({}, base | {"reason": reason})
    return _trained(samples, split, parts, columns, base, solution, current, cache)


def _excluded(train: Part) -> dict[str, int]:
    return {"suspicious_users": len(train.flagged_users), "rows": train.flagged_rows}


def _too_little(target: Target, parts: dict[str, Part], solution: Solution) -> str | None:
    positives, wanted = int((parts["train"].labels[target.label] > 0).sum()), solution.ranking.min_positives
    if positives < wanted:
        return f"{positives} positives of {target.label} in the training days, {wanted} are needed"
    for name, part in parts.items():
        if len(np.unique(part.labels[target.label])) < 2:
            return f"all rows of the {name} days have the same {target.label}"
    return None


def _trained(
    samples: Samples,
    split: Split,
    parts: dict[str, Part],
    columns: Columns,
    base: dict,
    solution: Solution,
    current: Current | None,
    cache: Path | None,
) -> Model:
    ranking, features, targets = solution.ranking, columns.features(), targets_of(solution)
    in_files = cache if parts["train"].rows > ranking.external_memory_rows else None
    sides = _binned(samples, parts, features, ranking, in_files)
    params, search = searched(targets[0], sides, ranking)
    # XGBoost keeps a matrix's requests once they are set, so what is ranked within them comes last.
    if search is not None and targets[0].is_ranked:
        del sides
        sides = _binned(samples, parts, features, ranking, in_files)
    ranked_last = sorted(targets, key=lambda t: t.is_ranked)
    found = {t.label: trained(t, sides, ranking, params) for t in ranked_last}
    calibration = {
        t.label: _calibration(found[t.label], t, sides)
        for t in targets
        if t.is_ranked or (t.is_probability and ranking.weights)
    }
    del sides
    if ranking.refit:
        days = [*split.train, *split.validation]
        part = part_of(samples, days, list(parts["train"].labels), is_training=True)
        rows = matrix(samples, days, features, _max_bin(ranking), cache=in_files)
        found = {t.label: refitted(t, rows, part, ranking, found[t.label]) for t in ranked_last}
    model = Model(
        {t.label: bytes(found[t.label].booster.save_raw(raw_format="ubj")) for t in targets},
        base
        | {
            "status": TRAINED,
            "features": [_feature(name, of, columns.defined_as(name)) for name, of in features.items()],
            "features_version": columns.version,
            "targets": [_target(t, found[t.label], calibration.get(t.label)) for t in targets],
            "labels": {t.label: label_texts(solution)[t.label] for t in targets},
            "score": score_of(solution),
            **_of_first(found[targets[0].label], ranking.rounds),
            "refit": ranking.refit,
            "weights": {"labels": ranking.weights, "half_life_days": ranking.half_life_days},
            "search": search,
            "serving_context": columns.usual(),
            "has_sampled_negatives": solution.impression is None,
            "negative_sampling": _sampling(parts["train"]),
            "in_external_memory": in_files is not None,
            "versions": {"xgboost": xgboost.__version__, "python": platform.python_version()},
        },
    )
    return judged(model, samples, split, parts, solution, current)


def _binned(
    samples: Samples, parts: dict[str, Part], features: Features, ranking: Ranking, cache: Path | None
) -> Sides:
    max_bin, of_train, of_validation = _max_bin(ranking), parts["train"], parts["validation"]
    train = matrix(samples, of_train.days, features, max_bin, cache=cache)
    validation = matrix(samples, of_validation.days, features, max_bin, train, cache)
    return Sides(train, validation, of_train, of_validation, features)


def _max_bin(ranking: Ranking) -> int:
    return int(ranking.params.get("max_bin", MAX_BIN))


def _calibration(found: Trained, target: Target, sides: Sides) -> dict:
    """Fitted to rows that the trees have not learned from, so before they are grown anew; each row counts once."""
    scores = found.booster.predict(sides.validation, output_margin=True)
    return platt(scores, sides.of_validation.labels[target.label])


def _target(target: Target, found: Trained, calibration: dict | None) -> dict:
    about = {"label": target.label, "objective": target.objective, **_of_first(found)}
    return about if calibration is None else about | {"calibration": calibration}


def _of_first(found: Trained, limit: int | None = None) -> dict:
    """importance: each feature's share of the total gain."""
    gain = found.booster.get_score(importance_type="total_gain")
    total = math.fsum(gain.values()) or 1.0
    return {
        "params": found.params,
        "rounds": {"best": found.rounds} | ({"limit": limit} if limit else {}),
        "importance": {n: round(g / total, 6) for n, g in sorted(gain.items(), key=lambda p: (-p[1], p[0]))},
        "validation": found.best,
    }


def _sampling(train: Part) -> dict | None:
    """rate: negatives kept of each one on offer in the requests that some were drawn in."""
    if not train.sampled:
        return None
    return {"rate": train.sampled / train.offered, "sampled": train.sampled, "on_offer": int(train.offered)}


def _feature(name: str, of: list[str] | tuple[float, float] | None, definition: str) -> dict:
    """scale: mean and deviation of the training rows, where the number is taken as a z-score."""
    is_category = isinstance(of, list)
    about = {"name": name, "type": "category" if is_category else "number", "definition": definition}
    return about | {"categories": of if is_category else None} | ({"scale": list(of)} if isinstance(of, tuple) else {})


def _most_frequent(counter: Counter) -> str | int | None:
    counted = [(-count, value) for value, count in counter.items() if value is not None]
    value = min(counted)[1] if counted else None
    return int(value) if isinstance(value, float) else value
