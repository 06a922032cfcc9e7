"""Publishes a day's lists, recalls, features, model and report as one bundle, and lets readers follow it.

Makes no table. Grain: one bundle per (scenario, ds, content).
What a bundle is stands in jobs/publish/bundle.py, what keeps its readers safe in jobs/publish/release.py.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
from functools import cache, partial
from typing import TYPE_CHECKING

from jobs.lib import partitions, tables
from jobs.lib.contracts import load_contract
from jobs.lib.days import window
from jobs.lib.object_store import open_store
from jobs.lib.reads import Reads, input_of, on_days
from jobs.lib.session import at_once
from jobs.lib.settings import PROJECT_ROOT, settings
from jobs.lib.solution import Node, Solution
from jobs.publish import release
from jobs.publish.bundle import Entry
from jobs.publish.exports import Form, write_parts
from jobs.publish.figures import Model, figures_of, measures_of, model_of, small_table, totals_of
from jobs.publish.filter_fields import RULES, filter_fields, filter_rules
from jobs.publish.filters_agree import check_filters
from jobs.publish.formats import Lists, Pairec, Rows, json_bytes
from jobs.publish.notes import notes_of
from jobs.publish.report import report
from jobs.publish.report_figures import Measures
from jobs.publish.report_history import HISTORY_DAYS
from jobs.publish.sample_lists import ACTED_ON_DAYS
from jobs.publish.snapshot import published_items, published_lists, published_users
from jobs.publish.under_way import staging_folder
from jobs.ranking.feature_definition import definition_of
from jobs.ranking.feature_list import feature_list
from jobs.ranking.model_card import card
from jobs.ranking.rank_samples import list_reads, read_sources
from jobs.recall.inputs import Day, listing

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

log = logging.getLogger("recflow")

CONTRACT = None
SETTINGS = ("features", "recalls", "ranking", "publish", "diagnostics", "cadence", "short_history")
LIST_SETTINGS = ("candidates", "top_n", "active_days", "exclude_seen", "seen_days")
FILTERED = "filtered"  # what filters removed, where the solution has any
PUBLISHED = ("recommendations", "evaluation", FILTERED)
# contract -> key column, and the columns that pairec's readers select
_PAIREC = {
    "recall_i2i": ("trigger_item_id", ("item_id", "similar_item_ids")),
    "recall_u2i": ("user_id", ("user_id", "item_ids")),
    "recall_hot": ("group_key", ("trigger_id", "item_ids")),
}


def publish(solution: Solution, ds: str, back: bool = False) -> str:
    """Publish a day and return the bundle's address.

    Readers are moved to it unless they are at a later ds already; `back` moves them all the same. Raises
    MissingPartition naming table and ds when a table of the day is not there, RecflowError where its lists were made by
    other filters than the solution has now.
    """
    check_filters(solution, ds)
    address = f"{settings().publish_root}/{solution.scenario}"
    store = open_store(address)
    with staging_folder(store, ds) as staging:
        staged = _tables(solution, ds, f"{address}/{staging}")
        totals, measures = totals_of(solution, ds), measures_of(solution, ds)
        model = model_of(solution, ds, totals)
        notes = notes_of(solution, ds, model, measures)
        small = _small_objects(solution, ds, model)
        small["report/index.html"] = report(figures_of(solution, ds, totals, model, measures, notes)).encode()
        about = {**_about(solution, ds, model, measures), "notes": notes}
        folder, staying = release.release(store, staging, staged, small, about, back)
    log.info("published %s", store.url(folder))
    if staying:
        log.warning("readers do not follow %s: %s", store.url(folder), staying)
    return store.url(folder)


def _tables(solution: Solution, ds: str, store_url: str) -> list[Entry]:
    """Everything that Spark writes, under its final keys in the staging folder."""
    exports: list[tuple[str, list[str], dict[str, Form]]] = [
        (
            "recommendations",
            ["user_id", "rank", "item_id"],
            {"recommendations": Lists(), "recommendations/rows": Rows()},
        ),
    ]
    for node in solution.nodes():
        if node.stage == "recall":
            exports.append((node.name, *_recall_forms(node)))
        elif node.name == FILTERED:
            exports.append((FILTERED, ["user_id", "item_id", "filter"], {FILTERED: Rows()}))

    def of_table(name: str, order: list[str], forms: dict[str, Form]) -> list[Entry]:
        table = solution.table(name)
        rows = tables.read_days(table, [ds], needed_by="publish").drop("ds")
        record = partitions.record(table, ds)
        count = record["rows"] if record else rows.count()
        return write_parts(rows, order, count, forms, store_url)

    def of_rows(folder: str, order: list[str], rows: DataFrame) -> list[Entry]:
        return write_parts(rows, order, rows.count(), {folder: Rows()}, store_url)

    sources = read_sources(solution, [ds], needed_by="publish")
    writing = [partial(of_table, *export) for export in exports]
    writing.append(partial(of_rows, "features/user", ["user_id"], published_users(sources, solution)))
    writing.append(partial(of_rows, "features/item", ["item_id"], published_items(sources, solution)))
    if solution.publish.has_filters:
        writing += [partial(of_rows, *table) for table in filter_fields(Day(solution, ds))]
    for name, rows in published_lists(sources, solution):
        order, _ = _recall_forms(next(node for node in solution.nodes() if node.name == name))
        writing.append(partial(of_rows, f"features/lists/{name}", order, rows))
    return [entry for entries in at_once(*writing) for entry in entries]


def _recall_forms(node: Node) -> tuple[list[str], dict[str, Form]]:
    """Full key and forms of a recall table, by its kind; a kind that pairec does not know is written as it is."""
    contract = importlib.import_module(node.module).CONTRACT
    long_form = {f"recall/{node.name}": Rows()}
    if contract not in _PAIREC:
        return [column for column in load_contract(contract).grain if column != "ds"], long_form
    key, columns = _PAIREC[contract]
    recall = None if contract == "recall_i2i" else node.name
    return [key, "rank", "item_id"], {**long_form, f"recall/{node.name}/pairec": Pairec(key, columns, recall)}


def _small_objects(solution: Solution, ds: str, model: Model) -> dict[str, bytes]:
    """The model and the safety net: key -> bytes."""
    if not model.boosters:
        objects = {"model/none.json": json_bytes({"reason": model.reason})}
    else:
        objects = {
            **{f"model/{label}.ubj": booster for label, booster in model.boosters.items()},
            "model/card.md": card(model.ds, model.metadata).encode(),
            "model/features.json": json_bytes(_feature_list(solution, model)),
            "model/training.json": json_bytes({"ds": model.ds, **model.metadata}),
        }
    if solution.publish.has_filters:
        objects[RULES] = json_bytes(filter_rules(Day(solution, ds)))
    if solution.publish.fallback:
        (row,) = small_table(solution, solution.publish.fallback, ds, ["key", "item_ids", "count"])
        objects["fallback/hot.json"] = json_bytes(row)
    return objects


def _feature_list(solution: Solution, model: Model) -> dict:
    """columns: those that the model takes; definition: how a reader makes them of what is published."""
    features = feature_list(solution)
    return {"version": features.id, "columns": model.metadata["features"], "definition": definition_of(features)}


def _recalls(solution: Solution, ds: str) -> list[dict]:
    """The recall lines in the solution's order. weight: in the candidates of the day, of those that list for users."""
    weights = {line.name: line.fusion_weight for line in listing(solution)}
    if solution.fusion.method == "learned":
        weights |= {
            row["recall"]: row["weight"] for row in small_table(solution, "fusion_weights", ds, ["recall", "weight"])
        }
    return [
        {"name": line.name, "kind": line.module.CONTRACT, "source": line.source, "weight": weights.get(line.name)}
        for line in solution.recalls
    ]


def _about(solution: Solution, ds: str, model: Model, measures: Measures) -> dict:
    """What the manifest says beside its objects. No clock, duration or path: equal inputs give equal manifests."""
    made = [solution.table(node.name) for node in solution.nodes() if not node.always]
    records = [partitions.record(table, ds) for table in made]
    inputs = [{name: r[name] for name in ("table", "ds", "rows", "content")} for r in records if r is not None]
    config = solution.model_dump(mode="json", exclude={"deadline", "demo", "retention"})
    return {
        "scenario": solution.scenario,
        "ds": ds,
        "timezone": solution.timezone,
        "code": {"sources": _sources_id()},
        "config": {
            "solution": hashlib.sha256(json_bytes(config)).hexdigest(),
            "contracts": _contracts(solution, ds, [r for r in records if r is not None]),
        },
        "inputs": inputs,
        "recalls": _recalls(solution, ds),
        "lists": {name: getattr(solution.publish, name) for name in LIST_SETTINGS},
        "model": {"ds": model.ds, "metrics": model.metadata.get("metrics"), "newest": model.newest},
        "metrics": [
            {"subject": subject, "slice": part, "measure": measure, "k": k, **found._asdict()}
            for (subject, part, measure, k), found in sorted(measures.items())
        ],
    }


def _contracts(solution: Solution, ds: str, records: list[dict]) -> dict[str, dict[str, str]]:
    """Table -> name and version of each contract that it was held against, those of the input tables included."""
    contracts = {record["table"]: {record["contract"]: record["contract_id"]} for record in records}
    for kind in ("behavior", "item", "user"):
        if (config := getattr(solution.tables, kind)) is not None:
            record = partitions.record(config.table, partitions.as_of_day(config, ds) or ds)
            written = {record["contract"]: record["contract_id"]} if record else {}
            name = f"input_{kind}"
            contracts[config.table] = {**written, name: load_contract(name).content_id}
    return contracts


@cache
def _sources_id() -> str:
    """The version of the code: a hash of every source file of the jobs, taken once in the life of a process."""
    digest = hashlib.sha256()
    for file in sorted((PROJECT_ROOT / "jobs").rglob("*.py")):
        digest.update(f"{file.relative_to(PROJECT_ROOT).as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    made = [n for n in solution.nodes() if not n.always and n.stage != "publish"]
    needed = [
        n for n in made if n.stage in ("recall", "diagnostics") or n.name in (*solution.feature_nodes, *PUBLISHED)
    ]
    tables, actions = solution.tables, solution.table("actions_daily")
    return Reads(
        needs=(
            *((solution.table(n.name), ds) for n in needed),
            *(p for config in (tables.item, tables.user) for p in input_of(config, ds)),
        ),
        found=(
            *((solution.table(n.name), ds) for n in made if n not in needed),
            *input_of(tables.behavior, ds),
            *on_days(actions, window(ds, ACTED_ON_DAYS)),
            *on_days(solution.table("evaluation"), window(ds, HISTORY_DAYS)[:-1]),
            *list_reads(solution, ds),
            *(p for n in made for p in importlib.import_module(n.module).reads(ds, solution, n).wanted),
        ),
        model_up_to=ds,
    )


def main(days: list[str], solution: Solution, node: Node) -> None:
    """params: set_latest, whether readers are moved to these days even if they are at a later one."""
    back = bool(node.params and node.params.get("set_latest"))
    for ds in days:
        publish(solution, ds, back)
