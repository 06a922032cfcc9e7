"""`recflow evaluate ranking`: the model of a solution, learned from the samples before a cut, judged on those after it.

The cut is that of `recflow evaluate recall --by temporal`, among impressions (without them, target events): the time of
row floor(share * n). Learned from are the days before the one that it falls on, validation being the last
`ranking.validation_days` of them; what is shown from that time on judges. Features are those of the samples, of the day
before each row's own. Samples are those in the warehouse: `recflow backfill run --nodes rank_samples` makes them.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.evaluate.shown import aligned, between, shown
from jobs.evaluate.split import cut_at
from jobs.lib import partitions, roles, tables
from jobs.lib.errors import RecflowError
from jobs.lib.settings import settings
from jobs.lib.solution import Solution
from jobs.lib.spark import F
from jobs.ranking.learning import learned
from jobs.ranking.model_card import card
from jobs.ranking.models import Model, Scorer
from jobs.ranking.rank_samples import request_id
from jobs.ranking.ranking_quality import MODEL, Figure, chance_of, differences, ranking_figures
from jobs.ranking.training_rows import Samples, stored

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

log = logging.getLogger("recflow")

MEASURES = (("auc", 0), ("gauc", 0), ("log_loss", 0), ("ne", 0), ("calibration", 0), ("ndcg", 10), ("map", 0))


@dataclass(frozen=True)
class RankingEvaluation:
    """What came out: the figures of the test part, and the model with what is known of it."""

    figures: list[Figure]
    model: Model
    cut: int  # unix seconds


def evaluate_ranking(solution: Solution, share: float, out: Path) -> RankingEvaluation:
    """Judge, and write `figures.parquet` and the model's `card.md` to the folder `out`.

    Raises RecflowError where a part would be empty.
    """
    config, table = solution.tables.behavior, solution.table("rank_samples")
    if not (days := partitions.present_days(table)):
        raise RecflowError(f"{table} has no partition: `recflow backfill run --nodes rank_samples` makes them")
    events = roles.events(tables.read_days(config, partitions.present_days(config)), solution)
    cut = cut_at(events.where(F.col("event") == (solution.impression or solution.target)), share)
    ds = datetime.fromtimestamp(cut, solution.zone).strftime("%Y%m%d")
    flagged_on = [day for day in days if day < ds] if solution.ranking.exclude_suspicious_users else None
    samples = _without_earlier(stored(solution, days, flagged_on), ds, _later(events, ds, cut, solution))
    test = [day for day in samples.days if day >= ds]
    if not test or len(samples.days) - len(test) <= solution.ranking.validation_days:
        raise RecflowError(
            f"{table}: of {len(samples.days)} days with samples {len(test)} lie after the cut on {ds}; some before it, "
            f"more than ranking.validation_days ({solution.ranking.validation_days}), and one after it are needed"
        )
    model = _learned(samples, solution, len(test))
    rows = pa.concat_tables([samples.of(day) for day in test])
    scores, predictions = Scorer(model, solution.ranking.threads).on_samples(rows)
    figures = ranking_figures(rows, scores, chance_of(predictions, solution), model, solution)
    figures += differences(rows, scores, model.metadata["spans"]["train"]["base_rate"], solution)
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([figure._asdict() for figure in figures]), out / "figures.parquet")
    (out / "card.md").write_text(card(ds, model.metadata), encoding="utf-8")
    return RankingEvaluation(figures, model, cut)


def _learned(samples: Samples, solution: Solution, test_days: int) -> Model:
    ranking = solution.ranking.model_copy(update={"test_days": test_days})
    folder = settings().home / "training"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        model = learned(samples, solution.model_copy(update={"ranking": ranking}), cache=Path(cache))
    if not model.boosters:
        raise RecflowError(f"{solution.table('rank_samples')}: too little to learn from: {model.metadata['reason']}")
    return model


def _later(events: DataFrame, ds: str, cut: int, solution: Solution) -> pa.Table:
    """Keys of what was shown on the day of the cut, but not before it; where negatives are drawn, of whole requests."""
    keys = [request_id().alias("request_id"), "user_id", *(["item_id"] if solution.impression else [])]
    first = events.where(F.col("ds") == ds).groupBy(*keys).agg(F.min("event_time").alias("time"))
    return first.where(F.col("time") >= cut).drop("time").toArrow()


def _without_earlier(samples: Samples, ds: str, later: pa.Table) -> Samples:
    """Of ds only the rows with these keys."""

    def of(day: str) -> pa.Table:
        rows = samples.of(day)
        if day != ds:
            return rows
        return rows.filter(pc.is_in(_joined(rows, later.column_names), value_set=_joined(later, later.column_names)))

    counts = dict(samples.rows)
    if ds in counts:
        counts[ds] = of(ds).num_rows
    return replace(samples, rows={day: n for day, n in counts.items() if n}, of=of)


def _joined(rows: pa.Table, names: list[str]) -> pa.Array:
    separator = "\x1f"
    columns = [rows.column(name).cast(pa.string()) for name in names]
    return pc.binary_join_element_wise(*columns, separator).combine_chunks()


def text(evaluation: RankingEvaluation) -> str:
    """For the terminal."""
    found = {(f.subject, f.slice, f.measure, f.k): f for f in evaluation.figures}
    about, spans = evaluation.model.metadata, evaluation.model.metadata["spans"]
    moment = datetime.fromtimestamp(evaluation.cut, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    parts = [f"{name} {_days(span['days'])}, {span['rows']:,} rows" for name, span in spans.items()]
    lines = [f"Cut at {moment}: {'; '.join(parts)}. {about['rounds']['best']} trees.", ""]
    subjects = [
        s for s in dict.fromkeys(f.subject for f in evaluation.figures) if s.startswith(MODEL) and " - " not in s
    ]
    rows = [(s, *[shown(found.get((s, "", *m))) for m in MEASURES]) for s in subjects]
    lines += aligned([("", *[m if not k else f"{m}@{k}" for m, k in MEASURES]), *rows])
    lines += ["", "Paired by user: difference and its 95% interval"]
    paired = [(f"{f.subject}, {f.measure}", between(f)) for f in evaluation.figures if " - " in f.subject]
    lines += aligned([("", "difference"), *paired])
    slices = dict.fromkeys(f.slice for f in evaluation.figures if f.slice and f.subject == MODEL)
    rows = [(name, *[shown(found.get((MODEL, name, m, 0))) for m in ("auc", "gauc", "calibration")]) for name in slices]
    return "\n".join([*lines, "", *aligned([("slice", "auc", "gauc", "calibration"), *rows])])


def _days(days: list[str]) -> str:
    return f"{days[0]}..{days[-1]} ({len(days)} days)"
