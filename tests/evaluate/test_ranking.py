"""A ranking judged on what was shown after a cut within a day."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from jobs.evaluate.ranking import evaluate_ranking, text
from jobs.lib import partitions
from jobs.lib.cli import main
from jobs.lib.days import first_moment
from jobs.lib.errors import RecflowError
from tests.features.builders import demo_solution
from tests.ranking.builders import sample_table
from tests.ranking.stored import store_samples

SOLUTION = demo_solution(
    ranking={
        "threads": 1, "rounds": 20, "early_stopping_rounds": 5, "params": {"learning_rate": 0.3, "max_depth": 3},
        "targets": [{"label": "is_click"}], "score": None,
    }
)  # fmt: skip
BEHAVIOR = (
    "ds string, request_id string, user_id string, page string, net_type string, event_time bigint, item_id bigint, "
    "event string, playtime double"
)


@pytest.fixture(scope="module")
def stored(spark, tmp_path_factory):
    """Five days of 400 samples, and the impression of each: one every minute, in the order of the samples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECFLOW_HOME", str(tmp_path_factory.mktemp("home")))
        for name in ("RECFLOW_WAREHOUSE", "RECFLOW_ENV", "RECFLOW_SOLUTION"):
            patch.delenv(name, raising=False)
        samples = sample_table(SOLUTION)
        keys = enumerate(samples.select(["ds", "request_id", "user_id", "item_id"]).to_pylist())
        starts = {ds: first_moment(ds, SOLUTION.timezone) for ds in set(samples.column("ds").to_pylist())}
        events = [
            (r["ds"], r["request_id"], r["user_id"], "home", "wifi", starts[r["ds"]] + 60 * (n % 400),
             int(r["item_id"][1:]), "expr", None)
            for n, r in keys
        ]  # fmt: skip
        samples = samples.set_column(3, "item_id", [[i[1:] for i in samples.column("item_id").to_pylist()]])
        days, table = store_samples(samples, SOLUTION), SOLUTION.tables.behavior.table
        frame = spark.createDataFrame(events, BEHAVIOR)
        frame.write.format("delta").partitionBy("ds").save(partitions.table_path(table))
        for ds in days:
            partitions.write_record(table, ds, {})
        yield


def test_what_is_shown_from_the_cut_on_judges_a_model_of_the_days_before(stored, tmp_path):
    evaluation = evaluate_ranking(SOLUTION, 0.7, tmp_path)  # row 1,400 of 2,000: the 201st of the fourth day
    assert evaluation.cut == first_moment("20261104", SOLUTION.timezone) + 200 * 60
    spans = evaluation.model.metadata["spans"]
    assert {name: (span["days"], span["rows"]) for name, span in spans.items()} == {
        "train": (["20261101", "20261102"], 800),
        "validation": (["20261103"], 400),
        "test": (["20261104", "20261105"], 600),
    }
    found = {(f.subject, f.measure): f for f in evaluation.figures if not f.slice}
    assert found["ranking", "auc"].n == 600 and found["ranking", "auc"].value > 0.8
    for measure in ("auc", "gauc"):
        paired = found["ranking - ranking:item_ctr", measure]
        assert paired.value == pytest.approx(
            found["ranking", measure].value - found["ranking:item_ctr", measure].value, abs=1e-12
        )
        assert paired.low < paired.value < paired.high
    assert len(pq.read_table(tmp_path / "figures.parquet")) == len(evaluation.figures)
    assert (tmp_path / "card.md").read_text().startswith("# Model of 20261104")
    said = text(evaluation)
    assert "test 20261104..20261105 (2 days), 600 rows" in said and "ranking - ranking:item_ctr, gauc" in said


def test_parts_without_rows_are_refused(stored, tmp_path, monkeypatch, capsys):
    with pytest.raises(RecflowError, match=r"of 5 days with samples 5 lie after the cut on 20261101"):
        evaluate_ranking(SOLUTION, 0.1, tmp_path)
    monkeypatch.setenv("RECFLOW_HOME", str(tmp_path))
    with pytest.raises(RecflowError, match="home_page_rank_samples has no partition: `recflow backfill run"):
        evaluate_ranking(SOLUTION, 0.7, tmp_path)
    assert main(["evaluate", "ranking", "--by", "user"]) == 1
    assert "--by user: a ranking is judged by time" in capsys.readouterr().err
