"""Records follow rows that were taken out of days: contents of partitions, and of the runs that read or made them."""

from __future__ import annotations

import json

import pyarrow as pa

from jobs.data.user_places import batches
from jobs.lib import partitions, runs
from jobs.lib.contracts import load_contract
from jobs.lib.delta_files import day_files
from jobs.lib.figures import figures
from jobs.lib.object_store import MissingObject, Store, open_store
from jobs.lib.quality import history_of
from jobs.lib.settings import settings
from jobs.lib.staged_files import content_of

FOLDER = "_forgetting"
# Contracts of tables whose files are adopted (tables.adopt_files): the hash of their rows is Polars', not Spark's.
ADOPTED = ("imported_", "quarantine", "user_features", "item_features")


def note(table: str, days: list[str]) -> None:
    """Keep what is recorded of days whose rows are about to change. A day without a record has none to follow."""
    found = {ds: record["content"] for ds in days if (record := partitions.record(table, ds)) is not None}
    _put(table, {ds: {"old": content, "new": None} for ds, content in found.items()})


def follow_up() -> None:
    """Records of the days noted become those of the rows that are there, and runs name the new contents for the old."""
    store = _store()
    tables = [key.removeprefix(f"{FOLDER}/").removesuffix(".json") for key in store.list(f"{FOLDER}/")]
    changed: dict[tuple[str, str], tuple[str, str]] = {}
    for table in tables:
        changed |= {(table, ds): pair for ds, pair in _recorded(table).items()}
    if changed:
        runs.replace_contents(changed)
    for table in tables:
        store.delete(f"{FOLDER}/{table}.json")


def _recorded(table: str) -> dict[str, tuple[str, str]]:
    """Measure the days noted and record them. Returns content before and after; of a day that was written anew
    meanwhile, or has not changed, nothing."""
    noted = _noted(table)
    records = {ds: partitions.record(table, ds) for ds in noted}
    there = {ds: record for ds, record in records.items() if record is not None}
    to_do = [ds for ds, record in there.items() if record["content"] == noted[ds]["old"]]
    measured = _measured(table, {ds: there[ds] for ds in to_do})
    for ds, record in measured.items():
        noted[ds]["new"] = record["content"]
    _put(table, noted)  # before the records: killed among them, those that follow can still be told from others
    for ds, record in measured.items():
        partitions.write_record(table, ds, record)
        there[ds] = record
    return {
        ds: (noted[ds]["old"], noted[ds]["new"])
        for ds, record in there.items()
        if record["content"] == noted[ds]["new"] != noted[ds]["old"]
    }


def _measured(table: str, records: dict[str, dict]) -> dict[str, dict]:
    """The records with rows, content and histograms of the rows that are there; what was judged stays."""
    made = {}
    by_form: dict[tuple, list[str]] = {}
    for ds, record in records.items():
        by_form.setdefault((record["contract"], tuple(record["columns"])), []).append(ds)
    for (contract, columns), days in by_form.items():
        if contract.startswith(ADOPTED):
            told = {ds: _by_polars(table, ds) for ds in days}
        else:
            told = _by_spark(table, contract, list(columns), days)
        for ds in days:
            history, content = told[ds]
            made[ds] = {**records[ds], **history, "content": f"{content & ((1 << 96) - 1):024x}"}
    return made


def _by_polars(table: str, ds: str) -> tuple[dict, int]:
    rows = content = 0
    for file in day_files(table, [ds]):
        for batch in batches(file.address):
            rows, content = rows + batch.num_rows, content + content_of(pa.Table.from_batches([batch]))
    return {"rows": rows}, content


def _by_spark(table: str, contract: str, columns: list[str], days: list[str]) -> dict[str, tuple[dict, int]]:
    from jobs.lib.tables import read_days

    promised = load_contract(contract)
    changes = [check for check in promised.checks if check.kind == "distribution_change"]
    rows = read_days(table, days).select(*columns)  # the hash goes by the order of the columns
    measured = figures(rows, promised.model_copy(update={"checks": changes}), days)
    return {ds: (history_of(figure), figure.content) for ds, figure in measured.items()}


def _noted(table: str) -> dict[str, dict]:
    try:
        return json.loads(_store().get(f"{FOLDER}/{table}.json"))
    except MissingObject:
        return {}


def _put(table: str, noted: dict[str, dict]) -> None:
    _store().put(f"{FOLDER}/{table}.json", json.dumps(noted, sort_keys=True).encode())


def _store() -> Store:
    return open_store(settings().warehouse_root)
