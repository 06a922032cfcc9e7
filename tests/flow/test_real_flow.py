"""The real jobs on a tiny world: what they read, what a correction changes, and that running again changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from jobs.flow import backfill
from jobs.flow.lineage import Ledger, has_table, reads_of
from jobs.flow.plan import Request, plan
from jobs.lib import partitions, tables
from jobs.lib.days import day_range
from jobs.lib.input_tables import TableConfig
from jobs.lib.settings import PROJECT_ROOT, settings
from jobs.lib.solution import load_solution, recall_jobs

FIRST, LATE, LAST = "20261101", "20261103", "20261105"
DAYS = day_range(FIRST, LAST)
RANGE = Request(FIRST, LAST)


RECALLS = [
    {"name": "trending", "job": "trending", "window_days": 2},
    {"name": "grouped_hot", "job": "grouped_hot", "min_users": 2},
    {"name": "swing_i2i", "job": "swing_i2i"},
    {"name": "ease_i2i", "job": "ease_i2i"},
    {"name": "session_i2i", "job": "session_i2i"},
    {"name": "vectors", "job": "vectors", "factors": 4},
    {"name": "vector_i2i", "job": "vector_i2i", "source": "vectors"},
    {"name": "vector_u2i", "job": "vector_u2i", "source": "vectors"},
    {"name": "cold_start", "job": "cold_start", "source": "vectors", "quota": 2},
    {"name": "repurchase", "job": "repurchase", "window_days": 60, "min_repeat_customers": 1},
]
# Recalls that are left as they are when a day is repaired: it goes with them as with hot, etrec_i2i and etrec_u2i.
LEFT = tuple(line["name"] for line in RECALLS)
# The 1st is a Sunday: of that day are the lists that the operators read.
OPERATORS = [
    {"op": "lookup", "of": "category", "stats": ["cnt", "rate"]},
    {"op": "similarity", "of": "etrec_i2i", "last": 5},
    {"op": "recall_score", "of": "etrec_u2i"},
    {"op": "recall_score", "of": "hot"},
]


def with_every_recall(folder):
    """The tiny world's solution with a line for each recall job there is, blended by learned weights."""
    raw = yaml.safe_load((PROJECT_ROOT / "tests" / "e2e" / "tiny.yaml").read_text(encoding="utf-8"))
    raw["recalls"] += RECALLS
    raw["fusion"] = {"method": "learned"}
    raw["features"]["preference"] |= {"rates": True, "recent": 5}
    raw["ranking"]["features"] = OPERATORS
    raw["publish"]["filters"] = [{"name": "clicked", "exclude": "days_since(click) <= 3"}]
    assert {line["job"] for line in raw["recalls"]} == set(recall_jobs())
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def history(spark, tmp_path_factory):
    """Five days of the tiny world, made and published; and what each node read on the way: (node, days, table, ds)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECFLOW_HOME", str(tmp_path_factory.mktemp("history")))
        solution, read, at_work = load_solution(with_every_recall(tmp_path_factory.mktemp("solution"))), [], []
        make, from_spark, from_arrow = backfill.make, tables._partitions_of, partitions.read_arrow

        def traced_make(solution, node, days):
            at_work[:] = [(node, tuple(days))]
            make(solution, node, days)

        def note(table, days):
            name = table.table if isinstance(table, TableConfig) else table
            read.extend((*at_work[0], name, ds) for ds in days)

        def traced_partitions(table, days):
            note(table, days)
            return from_spark(table, days)

        def traced_arrow(table, ds, columns=None):
            note(table, [ds] if isinstance(ds, str) else ds)
            return from_arrow(table, ds, columns)

        patch.setattr(backfill, "make", traced_make)
        patch.setattr(tables, "_partitions_of", traced_partitions)
        patch.setattr(partitions, "read_arrow", traced_arrow)
        backfill.run(solution, RANGE)
        yield solution, list(read)


def contents(solution):
    made = [solution.table(node.name) for node in solution.nodes() if has_table(node) and not node.always]
    return {
        (table, ds): partitions.record(table, ds)["content"] for table in made for ds in partitions.present_days(table)
    }


def files_by_day(table):
    """What the table's Delta log says that each day consists of."""
    return {
        ds: sorted(partitions.delta_table(table).file_uris(file_pruning_predicate=[("ds", "=", ds)])) for ds in DAYS
    }


def published():
    root = settings().home / "published" / "dev" / "home_page"
    return {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if f.is_file()}


def test_every_partition_that_a_job_reads_is_one_that_it_says_it_reads(history):
    solution, read = history
    makers = {solution.table(node.name) for node in solution.nodes()}
    inputs = {solution.tables.behavior.table, solution.tables.item.table, solution.tables.user.table}
    # No lists of the day before to learn from; samples are read in a process of its own.
    silent = {"quality_result", "fusion_weights", "rank_model"}
    assert {node.name for node, *_ in read} >= {n.name for n in solution.nodes()} - silent
    ledger = Ledger(solution)
    for node, days, table, ds in read:
        said = {pair for day in days for pair in ledger.pairs(day, node)}
        own = table == solution.table(node.name) and ds in days  # what was just written
        assert own or (table, ds) in said or table not in makers | inputs, f"{node.name} reads {table} ds={ds}"
    for node in solution.nodes():
        assert reads_of(LAST, solution, node) is not None


def test_a_corrected_day_is_repaired_where_it_counts_and_running_again_changes_nothing(history, spark):
    solution, _ = history
    before, counted = contents(solution), solution.table("actions_daily")
    version, files = partitions.delta_table(counted).version(), files_by_day(counted)
    behavior = solution.tables.behavior
    events = tables.read_days(behavior, [LATE])
    gone = events.agg({"user_id": "min"}).first()[0]
    rows = events.where(events.user_id != gone).localCheckpoint()
    tables.write_days(rows, behavior.table, [LATE], behavior.table)

    planned = plan(solution, RANGE)
    days = {}
    for entry in planned.entries:
        if entry.runs:
            days.setdefault(entry.node.name, []).append(entry.ds)
    until = day_range(LATE, LAST)
    assert days["input_checks"] == days["actions_daily"] == days["suspicious_users"] == [LATE]
    assert days["user_features"] == days["item_features"] == days["rank_samples"] == until
    assert all(days[name] == [LAST] for name in ("hot", "etrec_i2i", "etrec_u2i", "recommendations", "publish"))
    assert partitions.present_days(solution.table("etrec_i2i")) == [FIRST, LAST]  # the first for samples of later days
    assert "create_data" not in days

    assert {entry.node.name for entry in planned.entries if entry.runs} >= set(LEFT)
    backfill.run(solution, replace(RANGE, exclude=LEFT))
    repaired, bundle = contents(solution), published()
    changed = {key for key in repaired if repaired[key] != before.get(key)}
    by_name = {solution.table(name): found for name, found in days.items()}
    assert changed and all(ds in by_name[table] for table, ds in changed)
    assert (solution.table("actions_daily"), LATE) in changed
    assert partitions.delta_table(counted).version() == version + 1
    assert {ds for ds in DAYS if files_by_day(counted)[ds] != files[ds]} == {LATE}

    again = Request(LAST, LAST, nodes=("user_features", "item_features"), exclude=LEFT, force=True)
    backfill.run(solution, again)
    assert contents(solution) == repaired
    assert published() == bundle
