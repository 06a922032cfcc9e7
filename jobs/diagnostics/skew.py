"""Skew: how the rows that the model scores at ds differ from the rows that it learned from, feature by feature.

By the population stability index over the bins of jobs/ranking/drift.py.

Candidates are wider than what is shown: some `psi` is the recalls' doing and no fault. So what was shown on ds is
compared too: a `psi_shown` says that the data themselves have moved, or broke.

All sides are samples by a hash, of bounded size. Context (hour, weekday, scene, ...) is left out: at scoring there is
no request yet, so it is fixed and differs by design.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.diagnostics.figure import Figure
from jobs.lib import partitions
from jobs.lib.columns import seeded_hash
from jobs.lib.solution import Solution
from jobs.lib.spark import F
from jobs.lib.tables import present_days, read_days
from jobs.ranking.drift import bins_of, counts, psi
from jobs.ranking.feature_list import category_columns, context_categories, context_numbers, number_columns
from jobs.ranking.model_input import KEYS, model_select, with_features
from jobs.ranking.models import Model, newest_model
from jobs.ranking.rank_samples import read_sources
from jobs.ranking.recommendations import in_serving_context

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from pyspark.sql import DataFrame


def skew_figures(
    training: pa.Table, scoring: pa.Table, shown: pa.Table, gain: dict[str, float], solution: Solution
) -> list[Figure]:
    """Of each model column but the context. gain: feature -> its share of the model's gain.

    psi, missing_training, missing_scoring, psi_shown, gain, and is_constant (1: one value or none in training).
    """
    n, figures = training.num_rows, []
    if not n or not scoring.num_rows:
        return []
    for name in compared_columns(solution):
        learned, scored, seen = (rows.column(name).combine_chunks() for rows in (training, scoring, shown))
        figures += [
            Figure("skew", name, "psi", round(psi(*binned(learned, scored)), 6), n),
            Figure("skew", name, "missing_training", learned.null_count / n, n),
            Figure("skew", name, "missing_scoring", scored.null_count / scoring.num_rows, scoring.num_rows),
            Figure("skew", name, "gain", gain.get(name, 0.0), n),
            Figure("skew", name, "is_constant", float(len(learned.drop_null().unique()) <= 1), n),
        ]
        if shown.num_rows:
            figures.append(Figure("skew", name, "psi_shown", round(psi(*binned(learned, seen)), 6), shown.num_rows))
    return figures


def compared_columns(solution: Solution) -> list[str]:
    context = {*context_numbers(solution), *context_categories(solution)}
    return [name for name in (*number_columns(solution), *category_columns(solution)) if name not in context]


def binned(training: pa.Array, scoring: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Counts of both over the bins that the training values give; the last bin holds the missing ones."""
    bins = bins_of(training)
    return counts(training, bins), counts(scoring, bins)


def skew_of_day(solution: Solution, ds: str) -> list[Figure]:
    """Nothing where there is no model up to ds, no candidates of ds, or none of the model's training days is left."""
    candidates = solution.table("candidates")
    if not present_days(candidates, [ds]) or (found := newest_model(solution, ds)) is None:
        return []
    model, samples = found[1], solution.table("rank_samples")
    if not (learned_from := present_days(samples, model.metadata["spans"]["train"]["days"])):
        return []
    columns = model_select(solution)
    training, shown = (
        sampled(samples, days, solution, KEYS).select(*columns).toArrow()
        for days in (learned_from, present_days(samples, [ds]))
    )
    pairs = sampled(candidates, [ds], solution, ("user_id", "item_id"))
    scoring = _described(pairs, model, ds, solution).select(*columns).toArrow()
    return skew_figures(training, scoring, shown, model.metadata["importance"], solution)


def sampled(table: str, days: list[str], solution: Solution, keys: tuple[str, ...]) -> DataFrame:
    """About diagnostics.sample_rows of the rows of these days, chosen by a hash of their keys; all of fewer."""
    rows, count = read_days(table, days), sum(partitions.record(table, day)["rows"] for day in days)
    if count <= solution.diagnostics.sample_rows:
        return rows
    share = round(solution.diagnostics.sample_rows / count * 1_000_000)
    return rows.where(F.pmod(seeded_hash(solution.ranking.seed, *keys), F.lit(1_000_000)) < share)


def _described(pairs: DataFrame, model: Model, ds: str, solution: Solution) -> DataFrame:
    serving = in_serving_context(pairs.select("user_id", "item_id"), model, ds, solution)
    return with_features(serving, read_sources(solution, [ds], solution.table("diagnostics")), solution)
