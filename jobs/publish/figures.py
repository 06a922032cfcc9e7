"""Gathers what the report and the manifest say about a day, from the tables of the flow."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import partial

from jobs.diagnostics.advice import advice
from jobs.diagnostics.figure import Figure
from jobs.diagnostics.figure import Figures as DataFigures
from jobs.lib import partitions, tables
from jobs.lib.checks import CHANGES
from jobs.lib.columns import rank_within
from jobs.lib.days import window
from jobs.lib.session import at_once
from jobs.lib.solution import Solution
from jobs.lib.spark import F
from jobs.publish.report_figures import Figures, Head, Measured, Measures, Step
from jobs.publish.report_history import HISTORY_DAYS
from jobs.publish.sample_lists import samples_of
from jobs.ranking.candidates import CATALOG
from jobs.ranking.evaluation import POPULARITY_DAYS
from jobs.ranking.fill_ups import PINNED
from jobs.ranking.models import model_from

HEADS = (1, 10)  # percent of the items
BY_RECALL = "recall"  # scored_by of lists that no model ordered


@dataclass(frozen=True)
class Model:
    """The model that ordered the day's lists; no boosters: none did, and `reason` says why.

    newest: {ds, accepted, reason} of the newest model up to the day that came to the gate, this one or a later one.
    """

    ds: str | None
    boosters: dict[str, bytes]
    metadata: dict = field(default_factory=dict)
    reason: str = ""
    newest: dict | None = None


@dataclass(frozen=True)
class Totals:
    """The day's lists counted. scored_by: days of models, or 'recall'; sources: recall -> rows that it proposed."""

    rows: int
    users: int
    items: int
    scored_by: list[str]
    sources: dict[str, int]


def totals_of(solution: Solution, ds: str) -> Totals:
    """One pass over the lists. Every user has exactly one item of rank 1."""
    lists = tables.read_days(solution.table("recommendations"), [ds], needed_by="publish")
    recalls = [*(recall.name for recall in solution.recalls), CATALOG, PINNED]
    counted = lists.agg(
        F.count(F.lit(1)).alias("rows"),
        F.count_if(F.col("rank") == 1).alias("users"),
        F.countDistinct("item_id").alias("items"),
        F.collect_set("scored_by").alias("scored_by"),
        *[F.count_if(F.array_contains("sources.recall", name)).alias(f"from_{name}") for name in recalls],
    ).first()
    proposed = {name: counted[f"from_{name}"] for name in recalls}
    return Totals(counted.rows, counted.users, counted["items"], sorted(counted.scored_by), proposed)


def model_of(solution: Solution, ds: str, totals: Totals) -> Model:
    """The model that `scored_by` of the lists names: the newest one trained on data up to ds."""
    trained = [day for day in totals.scored_by if day != BY_RECALL]
    newest, about = partitions.newest_day(solution.table("rank_model"), ds), {}
    if newest is not None:
        (row,) = small_table(solution, "rank_model", newest, ["metadata"])
        about = json.loads(row["metadata"])
    decided = {"ds": newest, **{k: about["gate"][k] for k in ("accepted", "reason")}} if "gate" in about else None
    if trained:
        (row,) = small_table(solution, "rank_model", trained[-1], ["boosters", "metadata"])
        used = model_from(row)
        return Model(trained[-1], used.boosters, used.metadata, newest=decided)
    if not totals.rows:
        return Model(None, {}, reason="No lists: no user was active.", newest=decided)
    if newest is None:
        return Model(None, {}, reason="Lists are ordered by recall score: no model had been trained by this day.")
    why = f"too little data to train ({about.get('reason', 'no reason given')})"
    if decided is not None:
        why = f"no model has passed the gate ({decided['reason']})"
    return Model(None, {}, reason=f"Lists are ordered by recall score: {why}.", newest=decided)


def measures_of(solution: Solution, ds: str) -> Measures:
    """The evaluation of ds: yesterday's lists and model on today's events. A measure that is undefined is None."""
    table = solution.table("evaluation")
    if ds not in partitions.present_days(table):
        raise partitions.missing(table, [ds], needed_by="publish")
    return _evaluations(table, [ds])[ds]


def history_of(solution: Solution, ds: str) -> dict[str, Measures]:
    """Measures of all rows for the last days that were evaluated, oldest first."""
    table = solution.table("evaluation")
    days = sorted(set(window(ds, HISTORY_DAYS)) & set(partitions.present_days(table)))
    return _evaluations(table, days, only_whole=True)


def _evaluations(table: str, days: list[str], only_whole: bool = False) -> dict[str, Measures]:
    """Rows of a day written before there were slices and intervals have none."""
    found: dict[str, Measures] = {ds: {} for ds in days}
    for row in partitions.read_arrow(table, days).to_pylist() if days else []:
        if not (only_whole and row.get("slice")):
            key = row["subject"], row.get("slice") or "", row["measure"], row["k"]
            bounds = (_finite(row.get(name)) for name in ("value", "low", "high"))
            found[row["ds"]][key] = Measured(*bounds, row["n"])
    return found


def data_of(solution: Solution, ds: str) -> DataFigures:
    """What diagnostics measured of the day."""
    rows = small_table(solution, "diagnostics", ds, ["area", "subject", "measure", "value", "n"])
    return DataFigures(Figure(**row) for row in rows)


def small_table(solution: Solution, name: str, ds: str, columns: list[str]) -> list[dict]:
    """The rows of a partition whose size is bounded. Raises MissingPartition naming table and ds."""
    table = solution.table(name)
    if ds not in partitions.present_days(table):
        raise partitions.missing(table, [ds], needed_by="publish")
    return partitions.read_arrow(table, ds, columns).to_pylist()


def figures_of(
    solution: Solution, ds: str, totals: Totals, model: Model, measures: Measures, notes: list[str]
) -> Figures:
    """Everything on the report page."""
    proposed = [(name, n) for name, n in totals.sources.items() if n]
    data = data_of(solution, ds)
    catalog = _catalog(solution, ds)
    funnel, samples, heads = at_once(
        partial(_funnel, solution, ds), partial(samples_of, solution, ds), partial(heads_of, solution, ds, catalog)
    )
    return Figures(
        scenario=solution.scenario,
        ds=ds,
        target=solution.target,
        users=totals.users,
        items=totals.items,
        catalog=catalog,
        notes=notes,
        funnel=funnel,
        measures=measures,
        history=history_of(solution, ds),
        sources=sorted(proposed, key=lambda pair: (-pair[1], pair[0])),
        list_rows=totals.rows,
        heads=heads,
        model=_model_card(model),
        gate=model.metadata.get("gate") or {},
        importance=sorted(model.metadata.get("importance", {}).items(), key=lambda pair: (-pair[1], pair[0]))[:10],
        tables=_table_rows(solution, ds),
        samples=samples,
        data=data,
        advice=advice(data, solution),
    )


def _catalog(solution: Solution, ds: str) -> int | None:
    """Items on offer."""
    config = solution.tables.item
    if config is None:
        return None
    record = partitions.record(config.table, partitions.as_of_day(config, ds) or ds)
    return record["rows"] if record else tables.read_snapshot(config, ds).count()


def _funnel(solution: Solution, ds: str) -> list[Step]:
    actions = tables.read_days(solution.table("actions_daily"), [ds], needed_by="publish")
    totals = [F.sum("cnt").alias("n"), F.countDistinct("user_id").alias("users")]
    steps = {row.event: Step(row.event, row.n, row.users) for row in actions.groupBy("event").agg(*totals).collect()}
    return [steps[event] for event in solution.events if event in steps]


def heads_of(solution: Solution, ds: str, catalog: int | None) -> list[Head]:
    """What the busiest shares of the catalog (None: of the items that are listed or acted on) hold. One row an item."""
    days = window(ds, POPULARITY_DAYS)
    acts = tables.read_present(solution.table("actions_daily"), days).where(F.col("event") == solution.target)
    lists = tables.read_days(solution.table("recommendations"), [ds], needed_by="publish")
    both = (
        acts.groupBy("item_id")
        .agg(F.sum("cnt").alias("acted"))
        .join(lists.groupBy("item_id").agg(F.count(F.lit(1)).alias("listed")), on="item_id", how="full")
        .fillna(0, ["acted", "listed"])
    )
    ranked = rank_within(both.withColumn("everyone", F.lit(1)), ["everyone"], "acted", "item_id").persist()
    try:
        items = catalog or ranked.count()
        first = {percent: math.ceil(items * percent / 100) for percent in HEADS}
        held = ranked.agg(
            *[F.sum(kind).alias(kind) for kind in ("acted", "listed")],
            *[
                F.sum(F.when(F.col("rank") <= n, F.col(kind))).alias(f"{kind}_{percent}")
                for percent, n in first.items()
                for kind in ("acted", "listed")
            ],
        ).first()
    finally:
        ranked.unpersist()
    if not held.acted or not held.listed:
        return []
    return [Head(p, n, held[f"listed_{p}"] / held.listed, held[f"acted_{p}"] / held.acted) for p, n in first.items()]


def _table_rows(solution: Solution, ds: str) -> list[tuple[str, str, int, str]]:
    """Rows and warnings of every table of the day, input tables first.

    What is made after publishing, and changes against other days, are left out: a day published again is the same.
    """
    inputs = [t for t in (solution.tables.user, solution.tables.item, solution.tables.behavior) if t is not None]
    days = [(config.table, partitions.as_of_day(config, ds)) for config in inputs]
    days += [(solution.table(node.name), ds) for node in solution.nodes() if not node.always]
    records = [(table, day, partitions.record(table, day)) for table, day in days if day is not None]
    return [
        (
            table,
            day,
            record["rows"],
            ", ".join(c["name"] for c in record["checks"] if not c["passed"] and c["kind"] not in CHANGES),
        )
        for table, day, record in records
        if record is not None
    ]


def _model_card(model: Model) -> list[tuple[str, str]]:
    if not model.boosters:
        return [("model", f"none. {model.reason}")]
    about = model.metadata
    shown = [
        ("trained on data up to", str(model.ds)),
        ("learns", ", ".join(target["label"] for target in about["targets"])),
    ]
    for name, span in about["spans"].items():
        days, counted = span["days"], f"{span['rows']:,} rows, {span['positives']:,} positives"
        shown.append((f"{name} days", f"{days[0]} to {days[-1]}: {counted}" if days else "none"))
    if excluded := about.get("excluded"):
        shown.append(("left out of training", f"{excluded['rows']:,} rows of {excluded['suspicious_users']:,} users"))
    shown.append(("features", f"{len(about['features']):,}"))
    shown.append(("trees", f"{about['rounds']['best']:,} of at most {about['rounds']['limit']:,}"))
    for name, shown_name in (("model", "AUC on its test days"), ("item_ctr", "the item's own rate there")):
        if (auc := about["metrics"][name]["auc"]) is not None:
            shown.append((shown_name, f"{auc:.4f}"))
    shown.append(("gate", about["gate"]["reason"]))
    return shown


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) < float("inf") else None
