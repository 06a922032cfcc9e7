"""Training in a process of its own, from files: the same model as in memory, held in files too; errors come back."""

from __future__ import annotations

import json
import subprocess
import sys

import pyarrow.compute as pc
import pytest

from jobs.lib.errors import DataError, RecflowError
from jobs.lib.settings import settings
from jobs.ranking import rank_model as rank_model_job
from jobs.ranking import training
from jobs.ranking.feature_list import number_columns
from jobs.ranking.model_input import KEYS
from jobs.ranking.models import read_model
from jobs.ranking.rank_model import rank_model
from jobs.ranking.training import Request, in_own_process
from jobs.ranking.training_rows import read_samples, stored, total_order
from tests.features.builders import demo_solution
from tests.ranking.builders import sample_table
from tests.ranking.stored import store_samples

SMALL = {
    "threads": 1,
    "rounds": 20,
    "early_stopping_rounds": 5,
    "params": {"learning_rate": 0.3, "max_depth": 3, "min_child_weight": 20},
}


@pytest.fixture
def solution(warehouse):
    return demo_solution(ranking=SMALL)


def test_from_files_in_a_process_of_its_own_it_is_the_model_of_memory_with_or_without_a_cache(solution):
    samples = sample_table(solution)
    days = store_samples(samples, solution)
    in_memory = rank_model(samples, solution)
    for rows, is_external in ((10_000, False), (100, True)):
        changed = demo_solution(ranking=SMALL | {"external_memory_rows": rows})
        model = in_own_process(Request(changed, days, days[-1]))
        assert model.metadata["in_external_memory"] == is_external
        assert model.boosters == in_memory.boosters
        told = in_memory.metadata | {"in_external_memory": is_external}
        assert json.dumps(model.metadata, sort_keys=True) == json.dumps(told, sort_keys=True)
    assert list((settings().home / "training").iterdir()) == []


def test_days_come_in_the_order_of_their_keys_as_floats_and_a_sample_of_them_is_the_same_every_time(solution):
    samples = sample_table(solution)
    days = store_samples(samples, solution)
    day = stored(solution, days).of(days[1])
    rows = day.select(KEYS).to_pylist()
    assert len(rows) == 400 and rows == sorted(rows, key=lambda row: [row[k] for k in KEYS])
    assert {str(day.schema.field(name).type) for name in number_columns(solution)} == {"float"}
    of_day = samples.filter(pc.equal(samples["ds"], days[1]))
    assert day.column("user__age").equals(of_day.take(total_order(of_day)).column("user__age"))

    fewer = demo_solution(ranking=SMALL | {"max_train_rows": 1_000})
    chosen = read_samples(fewer, days)
    assert 700 < chosen.num_rows < 1_300 and chosen.equals(read_samples(fewer, days))
    other = demo_solution(ranking=SMALL | {"max_train_rows": 1_000, "seed": 8})
    assert not chosen.equals(read_samples(other, days))


def test_the_node_writes_a_model_and_judges_the_next_beside_it(spark, solution):
    days, node = store_samples(sample_table(solution), solution), solution.node("rank_model")
    for ds in days[-2:]:
        rank_model_job.main([ds], solution, node)
    models = {ds: read_model(solution, ds) for ds in days[-2:]}
    gates = [model.metadata["gate"] for model in models.values()]
    assert gates[0]["current"] is None and gates[1]["current"]["ds"] == days[-2]
    assert gates[1]["current"]["days"] == [days[-1]] and all(model.boosters["is_click"] for model in models.values())
    assert rank_model_job.reads(days[-1], solution, node).model_up_to == days[-2]


def test_what_the_child_refuses_is_raised_here_and_how_it_was_killed_is_said(solution, monkeypatch):
    days = store_samples(sample_table(solution), solution)
    other = demo_solution(ranking=SMALL, features={"windows": [3, 7, 15, 30]})
    with pytest.raises(DataError, match="home_page_rank_samples ds=20261101 has no column user__expr_cnt_30d"):
        in_own_process(Request(other, days, days[-1]))

    run = subprocess.run
    for code, said in (
        ("import os; os.kill(os.getpid(), 9)", "training of home_page_rank_model was killed by SIGKILL; if memory was"),
        ("raise ValueError('a bug')", "training of home_page_rank_model ended with 1: ValueError: a bug"),
    ):
        monkeypatch.setattr(
            training.subprocess, "run", lambda _, c=code, **more: run([sys.executable, "-c", c], **more)
        )
        with pytest.raises(RecflowError, match=said):
            in_own_process(Request(solution, days, days[-1]))
