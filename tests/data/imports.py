"""A small shop's log as files, and what reading them gives. No Spark: the halves of an import are plain functions."""

from __future__ import annotations

import copy

import polars as pl

from jobs.data.import_assemble import Written, assemble
from jobs.data.import_stage import Block, Import, Tally, stage
from jobs.data.registration import Registration
from jobs.data.source_files import listed

LOG = {
    "file": "log.csv",
    "roles": {
        "user_id": "uid",
        "item_id": "sku",
        "event_time": "at",
        "value": "paid",
        "categorical": {"shop": "Shop Name"},
    },
    "event": {"column": "what", "names": {"view": "click", "buy": "purchase"}},
    "impressions": False,
}
HEADER = "uid,sku,what,at,paid,Shop Name\n"
GOOD = "u1,a,view,1712937599,,\n"


def registration(behavior=None, item=None, user=None, **more):
    behavior = LOG if behavior is None else behavior
    files = {"behavior": behavior} | ({"item": item} if item else {}) | ({"user": user} if user else {})
    events = ["expr", "click"] if behavior["impressions"] else ["click", "purchase"]
    raw = {"name": "shop", "timezone": "Asia/Shanghai", "events": events, "target": "click", "files": files, **more}
    return Registration.model_validate(copy.deepcopy(raw))


def read(folder, registered, kind="behavior", days=None, staging=None):
    """(tally, {table: rows}) of all files of a kind."""
    work, files = work_on(folder, registered, kind, days, staging or folder)
    found = [f for n, file in enumerate(files) for f in stage(work, kind, n, file)]
    total = Tally(kind, "all")
    for tally in (f for f in found if isinstance(f, Tally)):
        total.read, total.kept, total.outside = (
            total.read + tally.read,
            total.kept + tally.kept,
            total.outside + tally.outside,
        )
        for key, n in tally.reasons.items():
            total.reasons[key] = total.reasons.get(key, 0) + n
            total.examples.setdefault(key, []).extend(tally.examples[key])
    return total, [f for f in found if isinstance(f, Block)], work


def work_on(folder, registered, kind, days, staging):
    files = listed(str(folder), registered.files.by_kind()[kind])
    return Import(registered, f"{staging}/_staging", {kind: [f.name for f in files]}, days), files


def events(folder, registered, kind="behavior"):
    """The rows that the table gets, and Written: every kept row as if it were of one day."""
    _, blocks, work = read(folder, registered, kind)
    blocks = [block for block in blocks if block.table == kind]
    done = list(assemble(work, kind, "20240412", f"{folder}/table", "part", blocks))
    written = [f for f in done if isinstance(f, Written)]
    frames = [pl.read_parquet(f"{folder}/table/{w.path}", hive_partitioning=False) for w in written if w.rows]
    return pl.concat(frames), written
