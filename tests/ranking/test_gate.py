"""The gate's decisions by literal figures, and what becomes of a model that did not pass."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from jobs.lib import partitions
from jobs.lib.ranking_params import GateParams
from jobs.ranking import retraining
from jobs.ranking.gate import Against, gate
from jobs.ranking.models import finished_days, newest_model, usable_days
from jobs.ranking.rank_model import as_row, rank_model
from tests.features.builders import demo_solution
from tests.ranking.builders import sample_table

SMALL = {"threads": 1, "rounds": 10, "early_stopping_rounds": 5, "params": {"learning_rate": 0.3, "max_depth": 3}}
DAY, BEFORE = "20261105", "20261029"


def decided(new, baseline, current=None, **params):
    """current: its value of both measures, or its own figures, or "seen" where it has seen all test days."""
    of = lambda value: {"gauc": value, "log_loss": value}  # noqa: E731
    against = None
    if current == "seen":
        against = Against(BEFORE, [])
    elif current is not None:
        against = Against(BEFORE, [DAY], of(new), current if isinstance(current, dict) else of(current))
    told = gate(GateParams(**params), [DAY], of(new), of(baseline), against)
    return told["accepted"], told["reason"]


@pytest.mark.parametrize(
    ("given", "accepted", "reason"),
    [
        ({"new": 0.61, "baseline": 0.6}, True, "GAUC 0.6100 on the test days, the item's own rate 0.6000; no"),
        ({"new": 0.6, "baseline": 0.6}, False, "the item's own rate 0.6000: it does not beat it"),
        ({"new": 0.61, "baseline": 0.6, "current": 0.6149}, True, "beside the model of 20261029 GAUC 0.6100 against"),
        ({"new": 0.61, "baseline": 0.6, "current": 0.6151}, False, "on the same rows: worse by more than 0.005"),
        ({"new": 0.61, "baseline": 0.6, "current": 0.6151, "margin": 0.01}, True, ""),
        ({"new": 0.61, "baseline": 0.6, "current": "seen"}, False, "no test day is after the model of 20261029"),
        ({"new": 0.61, "baseline": 0.6, "current": {"gauc": None}}, False, "undefined on the test days after 20261029"),
        ({"new": None, "baseline": 0.6}, False, "GAUC is undefined on the test days"),
        ({"new": 0.61, "baseline": None}, False, "GAUC is undefined on the test days"),
        ({"new": 0.61, "baseline": 0.6, "current": {"gauc": 0.7}}, False, "worse by more"),
        ({"new": 0.3, "baseline": 0.4, "current": {"gauc": 0.7}, "measure": "log_loss"}, True,
         "the model of 20261029 predicts another label and has no log-loss of this one"),
        ({"new": 0.5, "baseline": 0.4, "current": {"gauc": 0.7}, "measure": "log_loss"}, False, "does not beat"),
        ({"new": 0.3, "baseline": 0.4, "measure": "log_loss"}, True, "log-loss"),
        ({"new": 0.5, "baseline": 0.4, "measure": "log_loss"}, False, "does not beat"),
        ({"new": 0.3, "baseline": 0.4, "current": 0.2, "measure": "log_loss"}, False, "worse by more"),
        ({"new": 0.5, "baseline": 0.6, "enabled": False}, True, "the gate is off"),
    ],
)  # fmt: skip
def test_a_model_must_beat_the_items_own_rate_and_be_no_worse_than_the_current_one(given, accepted, reason):
    told = decided(**given)
    assert told[0] == accepted and reason in told[1]


@pytest.fixture(scope="module")
def solution():
    return demo_solution(ranking=SMALL)


@pytest.fixture(scope="module")
def good(solution):
    return rank_model(sample_table(solution), solution)


def test_the_current_model_is_judged_on_the_test_days_after_its_own(solution, good):
    """One that has seen them all stays. A model of shuffled labels beats nothing."""
    samples = sample_table(solution)
    beside = rank_model(samples, solution, ("20261104", good)).metadata["gate"]
    assert beside["accepted"] and beside["current"]["days"] == ["20261105"]
    figures = beside["current"]["figures"]
    assert figures["model"] == figures["current"] == good.metadata["metrics"]["model"]
    seen = rank_model(samples, solution, ("20261105", good)).metadata
    assert seen["status"] == "held_back" and seen["gate"]["current"]["days"] == []

    label = samples.schema.get_field_index("is_click")
    shuffled = pa.array(np.random.default_rng(5).permutation(samples.column("is_click").to_numpy()))
    spoilt = samples.set_column(label, "is_click", shuffled).filter(pa.compute.less(samples["ds"], DAY))
    spoilt = pa.concat_tables([spoilt, samples.filter(pa.compute.equal(samples["ds"], DAY))])
    held = rank_model(spoilt, solution, (BEFORE, good))
    assert held.metadata["status"] == "held_back" and held.boosters and not held.metadata["gate"]["accepted"]


def test_a_current_model_of_another_label_is_compared_by_its_order_and_never_stands_in_the_way(good):
    """The one that serves was made for clicks; now praises are wanted, which seven in ten clicks come with."""
    samples = sample_table(demo_solution(), rows_a_day=1000)
    click = samples.column("is_click").to_numpy()
    praise = click * (np.random.default_rng(3).random(len(click)) < 0.7)
    samples = samples.append_column("is_praise", pa.array(praise.astype(np.int32)))
    of_praises = {"targets": [{"label": "is_praise"}], "gate": {"margin": 0.05}}
    praising = rank_model(samples, demo_solution(ranking=SMALL | of_praises), (BEFORE, good))
    for wanted, current, said in (
        (of_praises, good, "beside the model of 20261029 GAUC"),
        ({"gate": {"measure": "log_loss"}}, praising, "has no log-loss of this one"),
    ):
        told = rank_model(samples, demo_solution(ranking=SMALL | wanted), (BEFORE, current)).metadata["gate"]
        figures = told["current"]["figures"]["current"]
        assert told["accepted"] and figures["gauc"] > 0.75 and "log_loss" not in figures
        assert said in told["reason"]


def test_a_model_that_was_held_back_never_serves(solution, good, warehouse):
    import deltalake

    rows = [as_row(good, BEFORE), as_row(type(good)(good.boosters, good.metadata | {"status": "held_back"}), DAY)]
    table, names = solution.table("rank_model"), ("status", "boosters", "metadata", "ds")
    boosters = pa.list_(pa.struct([("label", pa.string()), ("booster", pa.binary())]))
    columns = {name: [row[n] for row in rows] for n, name in enumerate(names)}
    columns["boosters"] = pa.array(
        [[{"label": k, "booster": v} for k, v in of] for of in columns["boosters"]], boosters
    )
    deltalake.write_deltalake(partitions.table_path(table), pa.table(columns), partition_by=["ds"])
    for ds in (BEFORE, DAY):
        partitions.write_record(table, ds, {"rows": 1})
    assert usable_days(solution) == [BEFORE] and finished_days(solution) == {BEFORE: "trained", DAY: "held_back"}
    ds, model = newest_model(solution, "20261110")
    assert ds == BEFORE and model.boosters == good.boosters


def test_drift_calls_for_a_model_once(warehouse, monkeypatch):
    import deltalake

    solution = demo_solution(ranking={"drift_retrain": 0.25})
    table, psi = solution.table("evaluation"), {"20261117": 0.3, "20261118": 0.2, "20261119": 0.3}
    columns = {"subject": ["ranking"] * 3, "measure": ["psi_score"] * 3, "value": list(psi.values()), "ds": list(psi)}
    deltalake.write_deltalake(partitions.table_path(table), pa.table(columns), partition_by=["ds"])
    for ds in psi:
        partitions.write_record(table, ds, {"rows": 1})

    def is_due(ds, finished, of=solution):
        monkeypatch.setattr(retraining, "finished_days", lambda _: finished)
        return retraining.not_due(ds, of) is None

    assert is_due("20261118", {"20261115": "trained"})
    assert not is_due("20261119", {"20261115": "trained"})  # at the limit or below
    assert not is_due("20261121", {"20261115": "trained"})  # nothing was found of the day before
    assert not is_due("20261120", {"20261119": "trained"})  # what was found is about the one before it
    assert not is_due("20261120", {"20261115": "trained", "20261118": "held_back"})  # one was tried for it
    assert not is_due("20261118", {"20261115": "trained"}, demo_solution())


def test_log_loss_is_refused_where_the_items_own_rate_is_not_there_to_beat():
    wanted = {"gate": {"measure": "log_loss"}}
    assert demo_solution(ranking=wanted).ranking.gate.measure == "log_loss"
    with pytest.raises(ValidationError, match="log_loss needs impressions among features.events"):
        demo_solution(ranking=wanted, features={"events": ["click", "praise"]})
    for other in ({"targets": [{"label": "is_praise"}]}, {"labels": {"is_click": "max(if(event = 'praise', 1, 0))"}}):
        with pytest.raises(ValidationError, match="as the first target a probability of is_click as it is by default"):
            demo_solution(ranking=wanted | other)
