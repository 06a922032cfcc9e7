"""No skill where there is none to have, and nothing of a sample's own day or later in its features."""

from __future__ import annotations

import deltalake
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from jobs.data import create_data
from jobs.features import item_features, user_features
from jobs.features.actions_daily import actions_daily
from jobs.features.preferences import attribute_spans
from jobs.features.windows import daily_totals
from jobs.lib import partitions, roles
from jobs.lib.days import add_days, window
from jobs.lib.demo_params import DemoParams
from jobs.lib.spark import F
from jobs.ranking import rank_samples as job
from jobs.ranking.feature_list import feature_list
from jobs.ranking.known import Sources
from jobs.ranking.measures import null_auc_se
from jobs.ranking.rank_model import rank_model
from tests.features.builders import demo_solution
from tests.publish.builders import DS, OPERATORS, day, solution, write_table

WORLDS = ("planted", "random")
LAST = "20261116"
LEARNING = {"threads": 1, "rounds": 60, "early_stopping_rounds": 5, "test_days": 2,
            "params": {"learning_rate": 0.2, "max_depth": 3, "min_child_weight": 20.0}}  # fmt: skip


def both_worlds(make, by_role, solution, days, *ids):
    """Rows of the planted and of the random world, with ids that tell them apart."""
    found = None
    for mode in WORLDS:
        rows = by_role(make(mode, days), solution)
        rows = rows.withColumns({name: F.concat(F.lit(mode), F.col(name)) for name in ids})
        found = rows if found is None else found.unionByName(rows)
    return found


@pytest.fixture(scope="module")
def worlds(spark):
    """Solution, and the samples of five days of each world, from the product's own jobs in one pass."""
    windows = {"windows": [3, 7], "preference": {"window": 7}}
    wanted, days = demo_solution(ranking=LEARNING, features=windows), window(LAST, 12)

    def made(table):
        return lambda mode, of: table(
            spark, DemoParams(users=150, items=80, requests_per_day=120, mode=mode), of, wanted.timezone
        )

    events = both_worlds(made(create_data.behavior), roles.events, wanted, days, "request_id", "user_id", "item_id")
    events = spark.createDataFrame(events.toArrow())
    described = window(add_days(LAST, -1), 5)
    items = both_worlds(made(create_data.items), roles.items, wanted, described, "item_id", "author")
    actions, items = actions_daily(events), spark.createDataFrame(items.toArrow())
    totals = daily_totals(actions)
    spans = attribute_spans(items, roles.preferred_attributes(wanted))
    sources = Sources(
        days=described,
        user_features=user_features.user_features(actions, spans, wanted, described, days, totals),
        item_features=item_features.item_features(actions, wanted, described, days, totals),
        users=both_worlds(made(create_data.users), roles.users, wanted, described, "user_id"),
        items=items,
    )
    labelled = events.where(F.col("ds").isin(window(LAST, 5)))
    samples = job.rank_samples(labelled, None, sources, wanted).toArrow()
    return wanted, {mode: samples.filter(pc.starts_with(samples["user_id"], mode)) for mode in WORLDS}


def skill(samples: pa.Table, solution) -> float:
    """AUC on the test days less 0.5, in standard errors of a model that knows nothing."""
    about = rank_model(samples, solution).metadata
    figures = about["metrics"]["model"]
    assert about["spans"]["test"]["positives"] > 200 and about["importance"]  # a model, and enough to tell
    return (figures["auc"] - 0.5) / null_auc_se(figures["positives"], figures["rows"] - figures["positives"])


def test_a_world_without_signal_gives_no_skill_and_a_planted_one_does(worlds):
    wanted, samples = worlds
    assert skill(samples["planted"], wanted) > 6
    assert abs(skill(samples["random"], wanted)) <= 3


def test_shuffled_labels_give_no_skill(worlds):
    wanted, samples = worlds
    planted = samples["planted"]
    labels = pa.array(np.random.default_rng(5).permutation(planted["is_click"].to_numpy()))
    shuffled = planted.set_column(planted.column_names.index("is_click"), "is_click", labels)
    assert abs(skill(shuffled, wanted)) <= 3


TOMORROW = add_days(DS, 1)  # a Sunday: the lists of the week are those of the Sunday before
LISTS = ("home_page_etrec_i2i", "home_page_hot", "home_page_etrec_u2i")
WEEKLY = ("etrec_i2i", "hot")
SHOWN = [("1", "2", "expr"), ("1", "2", "click"), ("1", "1", "expr"), ("2", "1", "expr"), ("5", "3", "expr")]


def all_operators():
    lines = [line | ({"every_days": 7} if line.get("of") in WEEKLY else {}) for line in OPERATORS]
    return solution(ranking={"features": lines, "training_days": 14})


def write_behavior(ds: str, shown: list[tuple]) -> None:
    n = len(shown)
    users, items, events = (list(column) for column in zip(*shown, strict=True))
    rows = pa.table({
        "request_id": [f"r{user}" for user in users], "user_id": users, "exp_id": ["base"] * n, "page": ["home"] * n,
        "net_type": ["wifi"] * n, "event_time": pa.array([1_795_300_000 + i for i in range(n)], pa.int64()),
        "item_id": items, "event": events, "playtime": [1.0] * n, "ds": [ds] * n,
    })  # fmt: skip
    table = "rec_sln_demo_behavior_table_v1"
    path = partitions.table_path(table)
    options = {"predicate": f"ds = '{ds}'"} if deltalake.DeltaTable.is_deltatable(path) else {}
    deltalake.write_deltalake(path, rows, mode="overwrite", partition_by=["ds"], **options)
    partitions.write_record(table, ds, {"rows": n, "content": str(shown), "checks": []})


def changed(rows: list[tuple]) -> list[tuple]:
    """The same ids, and every other value another one: numbers moved, text taken from the row before."""
    return [
        (row[0], *(value + 1 if isinstance(value, int | float) else rows[i - 1][j] for j, value in enumerate(row) if j))
        for i, row in enumerate(rows)
    ]


def test_nothing_after_the_day_before_reaches_any_operator(spark, warehouse, monkeypatch):
    """T's samples through the job itself: as things stood before T, and again once T and the day after are written, all
    turned upside down, the events of T too."""
    wanted, made = all_operators(), []
    monkeypatch.setattr(job, "write_days", lambda rows, *_: made.append(rows.toArrow().to_pylist()))
    features = [wanted.table(name) for name in wanted.feature_nodes]
    used = [*features, *LISTS, *(config.table for config in (wanted.tables.user, wanted.tables.item))]
    for table in used:
        write_table(table)
        if table in LISTS:
            write_table(table, ds=add_days(TOMORROW, -7))
    write_behavior(TOMORROW, SHOWN)
    job.main([TOMORROW], wanted, wanted.node("rank_samples"))
    for ds in (TOMORROW, add_days(TOMORROW, 1)):
        for table in used:
            write_table(table, changed(day()[table][2]), ds)
        write_behavior(ds, [(u, i, "expr") for u, i, _ in SHOWN] + [("2", "1", "click"), ("1", "1", "click")])
    job.main([TOMORROW], wanted, wanted.node("rank_samples"))

    before, after = (sorted(rows, key=lambda r: (r["user_id"], r["item_id"])) for rows in made)
    assert [r["is_click"] for r in before] == [0, 1, 0, 0] and [r["is_click"] for r in after] == [1, 0, 1, 0]
    made_of = feature_list(wanted)
    columns = [c for c in (*made_of.numbers, *made_of.categories) if "__" in c]
    assert [{c: r[c] for c in columns} for r in after] == [{c: r[c] for c in columns} for r in before]
    for operator in made_of.operators:  # each has something to compare
        assert any(r[name] not in (None, 0) for r in before for name in (*operator.numbers, *operator.texts)), operator
