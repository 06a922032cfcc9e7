"""Where an item comes from, what its score is made up of, and why another one is missing."""

from __future__ import annotations

import json
import math

import pyarrow as pa
import pytest

from jobs.lib.errors import RecflowError
from jobs.publish.filter_fields import RULES
from jobs.serve.absent import known_of, why_not
from jobs.serve.explain import explain
from jobs.serve.explain_text import explain_text
from jobs.serve.published import Bundle
from jobs.serve.scoring import Scoring
from tests.publish.builders import DS
from tests.serve.builders import copied, replaced


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
    nowhere = explain(opened, "ü-3", "4")  # whose list is 0.5, by the same model
    place = nowhere["place_by_score"]
    assert place == 1 + (nowhere["score"]["value"] < 0.5)
    assert nowhere["why_not"] == (
        f"no published recall brought it, for the user or for everyone; by its score it would be {place} of 2"
    )
    brought = explain(opened, "ü-3", "1")
    assert [(one["recall"], one["rank"]) for one in brought["recalls"]] == [("hot", 2)]
    assert brought["place_by_score"] == 1  # ahead of 0.5
    assert brought["why_not"].startswith(
        "it was brought; by its score it would be 1 of 2: it was not among the 500 candidates or they acted on it"
    )
    assert explain(opened, "5", "1")["why_not"] == (
        "the user has no list: they had no event in 30 days up to 20261121, or nothing was left for them"
    )
    assert explain(opened, "1", "3")["place_by_score"] is None  # it is on the list


def test_what_kept_an_item_from_the_candidates(bundle, opened, tmp_path):
    folder = copied(bundle, tmp_path / "bundle")
    rules = json.loads((folder / RULES).read_text())
    replaced(folder, RULES, json.dumps({**rules, "banned": []}).encode())
    hot = pa.table({"group_key": ["f", "m", "-1"], "item_id": ["4", "4", "2"], "score": [1.0] * 3, "rank": [1, 1, 1]})
    replaced(folder, "recall/hot/part-00000.parquet", hot)
    with Bundle(str(folder)) as other:
        missing = explain(other, "1", "10")  # of which there are features, and no row of the item table
        grouped = explain(other, "2", "4")
    assert (missing["is_offered"], missing["last"], missing["is_seen"]) == (False, "20261119", True)
    assert missing["why_not"] == "not on offer: the item table of 20261121 does not list it"
    assert grouped["group_lists"] == {"hot": 2}
    assert "it is on lists of groups (2 of hot), and the bundle does not say who is in them" in grouped["why_not"]
    offered = pa.table({"item_id": ["2", "10"], "is_offered": [True, True]})
    replaced(folder, "features/item/part-00000.parquet", offered)
    mine = [{"item_id": "2", "score": 0.75, "rank": 1, "scored_by": DS}]
    for seen_days, is_seen in ((2, False), (3, True)):  # two days ago
        with Bundle(str(folder)) as other:
            other.about["lists"]["seen_days"] = seen_days
            known = known_of(other, "1", "10", {"10": "20261119"}, mine)
            said = why_not(other, mine, [], known, None)
        assert (known["is_offered"], known["is_seen"]) == (True, is_seen)
        assert said.startswith("left out as seen: they acted on it on 20261119, within 3 days") == is_seen


def test_the_list_of_everyone_brings_nothing_where_users_get_their_groups(bundle, tmp_path):
    folder = copied(bundle, tmp_path / "bundle")
    hot = pa.table({"group_key": ["-1", "f"], "item_id": ["1", "4"], "score": [1.0] * 2, "rank": [1, 1]})
    replaced(folder, "recall/hot/part-00000.parquet", hot)
    with Bundle(str(folder)) as other:
        everyones, groups = explain(other, "ü-3", "1"), explain(other, "ü-3", "4")
    assert (everyones["recalls"], everyones["group_lists"]) == ([], {})
    assert everyones["why_not"].startswith("no published recall brought it, for the user or for everyone; by its score")
    assert (groups["recalls"], groups["group_lists"]) == ([], {"hot": 1})


def test_what_is_not_certain_is_not_said_to_be(opened):
    known = {"removed_by": [], "is_offered": True, "is_seen": False, "group_lists": {}}
    mine = [{"item_id": "2", "score": 0.75, "rank": 1, "scored_by": "recall", "moves": []}]
    brought, acted = [{"recall": "hot"}], "or they acted on it in a way that the bundle does not keep"
    assert why_not(opened, mine, brought, known, None) == (
        f"it was brought: others of the list came first, it was not among the 500 candidates {acted}"
    )
    moved = [{**mine[0], "moves": ["diversity"]}]
    assert why_not(opened, moved, brought, known, None) == (
        "it was brought: others of the list came first, it was not among the 500 candidates, re-rank left it out "
        + acted
    )
    assert (
        why_not(opened, mine, brought, known, 2)
        == "ranked below; by its score it would be 2 of 2, the list ends before"
    )


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


def test_what_filters_remove_is_said(opened):
    assert explain(opened, "1", "3")["removed_by"] == []
    about = explain(opened, "1", "4")
    assert about["removed_by"] == ["young"] and about["why_not"] == "removed by the filter young: it was a candidate"
    acted = explain(opened, "1", "1")  # no candidate, but the bundle knows the filter and the click
    assert acted["why_not"] == "removed by the filter clicked: it was no candidate, and would not be left"


def test_filters_and_re_rank_are_said_where_the_bundle_has_them():
    place = {"rank": 2, "of": 3, "score": 0.5, "scored_by": DS, "model_rank": 5, "moves": ["diversity"]}
    about = {"bundle": "b", "userId": "1", "itemId": "2", "title": None, "list": place, "why_not": None}
    about |= {"recalls": [], "score": None, "removed_by": [], "is_offered": None, "last": "20261119"}
    assert explain_text({**about, "removed_by": ["short"]}).splitlines()[-2] == (
        "filters: removed by short, and yet it is on the list, which other filters made: run filtered, recommendations "
        "and publish again"
    )
    assert explain_text(about).splitlines()[-3:] == [
        "re-rank moved it from 5 to 2: diversity",
        "filters: none removes it",
        "on offer: the bundle does not say; the user's last event with it: 20261119",
    ]
