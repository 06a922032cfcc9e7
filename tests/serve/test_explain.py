"""Where an item comes from, what its score is made up of, and why another one is missing."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import asdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.lib.errors import RecflowError
from jobs.publish.bundle import entry
from jobs.publish.formats import schema_text
from jobs.serve.explain import explain
from jobs.serve.explain_text import explain_text
from jobs.serve.published import Bundle
from jobs.serve.scoring import Scoring
from tests.publish.builders import DS


def test_an_item_of_the_list(opened):
    about = explain(opened, "2", "1")
    assert about["list"] == {"rank": 1, "of": 1, "score": 0.25, "scored_by": DS, "model_rank": 1, "moves": []}
    assert about["title"] == "Title <1>" and about["why_not"] is None
    etrec, hot = about["recalls"]
    assert (hot["recall"], hot["rank"], hot["score"]) == ("hot", 1, 3.0) and "triggers" not in hot
    assert (etrec["source"], etrec["triggers"]) == ("etrec_i2i", [])  # the bundle knows no last items of user 2


def test_triggers_are_the_users_last_items_most_similar_first(opened):
    [etrec] = explain(opened, "1", "3")["recalls"]
    assert etrec["triggers"] == [
        {"itemId": "2", "title": "Title <2>", "last": "20261120", "similarity": 0.25, "rank": 2}
    ]


def test_contributions_add_up_to_the_models_output(opened):
    score = explain(opened, "1", "3")["score"]
    target = score["targets"]["is_click"]
    total = target["bias"] + sum(part["contribution"] for part in target["top"]) + target["others"]
    assert total == pytest.approx(target["output"], abs=1e-6)
    assert 1 / (1 + math.exp(-target["output"])) == pytest.approx(score["value"], rel=1e-6)
    assert {(part["feature"], part["value"]) for part in target["top"]} == {
        ("item__ctr_15d", None), ("user__gender", "female"),
    }  # fmt: skip
    assert score["value"] == Scoring(opened).scores(pa.array(["1"]), pa.array(["3"]))[0]
    assert score["expression"] == "is_click" and score["model"] == DS


def test_an_item_that_is_not_on_the_list(opened):
    assert explain(opened, "1", "4")["why_not"] == "no published recall brought it, for the user or for everyone"
    brought = explain(opened, "1", "1")
    assert [(one["recall"], one["rank"]) for one in brought["recalls"]] == [("hot", 2)]
    assert brought["why_not"].startswith("its score would have reached the list")  # the list's lowest is 0.125
    below = explain(opened, "ü-3", "1")
    assert below["why_not"].startswith(("ranked below: its score is", "its score would have reached"))
    assert explain(opened, "5", "1")["why_not"].startswith("the user has no list")


def test_unknown_users_and_items_are_errors(opened):
    with pytest.raises(RecflowError, match="user 'nobody' is not known to"):
        explain(opened, "nobody", "1")
    with pytest.raises(RecflowError, match="item 'gone' is not known to"):
        explain(opened, "1", "gone")


def test_in_words(opened):
    shown = explain_text(explain(opened, "1", "3")).splitlines()
    assert shown[1].startswith("item 3 (Title <3>) is 2 of 2 on the list of user 1, score 0.125 by the model of ")
    assert shown[3:5] == [
        "  etrec_u2i: rank 1, score 0.5",
        "    like 2 (Title <2>), last on 20261120: similarity 0.25 (etrec_i2i)",
    ]
    assert any(line.split()[:2] == ["user__gender", "female"] for line in shown)


def test_what_filters_removed_is_said(bundle, opened, tmp_path):
    assert explain(opened, "1", "4")["removed_by"] is None  # the solution has no filters
    folder, key = tmp_path / "bundle", "filtered/part-00000.parquet"
    shutil.copytree(bundle.removeprefix("file://"), folder)
    rows = pa.table({"user_id": ["1", "1", "2"], "item_id": ["4", "4", "4"], "filter": ["old", "adults", "old"]})
    (folder / key).parent.mkdir()
    pq.write_table(rows, folder / key)
    about = json.loads((folder / "manifest.json").read_text())
    about["objects"].append(asdict(entry(key, (folder / key).read_bytes(), 3, schema_text(rows.schema))))
    (folder / "manifest.json").write_text(json.dumps(about))
    with Bundle(str(folder)) as filtered:
        assert explain(filtered, "1", "3")["removed_by"] == []
        removed = explain(filtered, "1", "4")
    assert removed["removed_by"] == ["adults", "old"]
    assert removed["why_not"] == "removed by the filter adults, old"


def test_filters_and_re_rank_are_said_where_the_bundle_has_them():
    place = {"rank": 2, "of": 3, "score": 0.5, "scored_by": DS, "model_rank": 5, "moves": ["diversity"]}
    about = {"bundle": "b", "userId": "1", "itemId": "2", "title": None, "list": place, "why_not": None}
    about |= {"recalls": [], "score": None, "removed_by": []}
    assert explain_text(about).splitlines()[-2:] == [
        "re-rank moved it from 5 to 2: diversity",
        "filters: none removed it",
    ]
