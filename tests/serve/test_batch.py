"""Batch inference line by line, and the commands, over the one small bundle. Free of Spark but for making it."""

from __future__ import annotations

import io
import json
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from jobs.lib.cli import main
from jobs.lib.errors import RecflowError
from jobs.publish.bundle import BundleError
from jobs.publish.filter_fields import RULES
from jobs.serve.batch import _at_once, batch
from jobs.serve.filtering import Filtering
from jobs.serve.lines import Line, blocks, lines_of
from jobs.serve.lists import Lists, i2i_of
from jobs.serve.published import Bundle, of_day
from jobs.serve.scoring import Scoring
from tests.publish.builders import DS
from tests.serve.builders import copied, replaced


def served(bundle, tmp_path, lines, **options) -> list[dict]:
    """Each line of output; text goes in as it is."""
    given, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    given.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    total, failed = batch(bundle, given, out, **options)
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert (total, failed) == (len(written), sum(line["error"] is not None for line in written))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]
    return written


def test_lists_of_users_and_bad_lines_between_them(opened, tmp_path):
    bad = ['{"userId": ', "[1]", {"userId": 1}, {"userId": "1", "size": 3}, {"userId": "nobody"}]
    lines = served(opened, tmp_path, [{"userId": "1"}, *bad, "", {"userId": "ü-3"}], size=2)
    assert lines[0] == {
        "input": {"userId": "1"},
        "output": {"recommendedItems": ["2", "3"], "scores": [0.75, 0.125]},
        "error": None,
    }
    assert [line["error"] for line in lines[1:6]] == [
        "no JSON: Expecting value: line 1 column 11 (char 10)",
        "an object is expected",
        "userId: text is expected",
        "users-to-items takes the fields userId, not userId, size",
        "userId: the bundle has no list for 'nobody'",
    ]
    assert lines[1]["input"] == '{"userId":' and all(line["output"] is None for line in lines[1:6])
    assert lines[6] == {"input": "", "output": None, "error": "the line is empty"}
    assert lines[7]["output"] == {"recommendedItems": ["2"], "scores": [0.5]}
    assert len(lines) == 8


def test_no_line_whatever_is_in_it_stops_the_others(opened, tmp_path):
    lines = ['{"userId":NaN}', "NaN", '{"userId":"\\ud800"}', '{"userId":1e999}', "[" * 100_000, {"userId": "1"}]
    answers = served(opened, tmp_path, lines, size=1)
    assert [line["output"] is None for line in answers] == [True] * 5 + [False]
    assert all(line["error"].startswith("no JSON: ") for line in answers[:5])


def test_related_items_are_those_of_the_published_recall(opened, tmp_path):
    lines = served(opened, tmp_path, [{"itemId": "2"}, {"itemId": "3"}], size=1)
    left = {"filtersNotApplied": ["clicked", "young"]}  # they ask for a user
    assert [line["output"] for line in lines] == [{"recommendedItems": ["1"], "scores": [0.5], **left}, None]
    with pytest.raises(RecflowError, match="has the item-to-item recalls etrec_i2i"):
        i2i_of(opened, "hot")


def test_a_list_is_ranked_by_the_models_score_and_equal_ones_by_id(opened, tmp_path):
    given = [{"userId": "5", "itemList": ["4", "1", "3"]}, {"userId": "1", "itemList": ["1", "gone"]}]
    given += [
        {"userId": "5", "itemList": ["2", "2"]},
        {"userId": "5", "itemList": []},
        {"userId": "5", "itemList": ["2"]},
    ]
    lines = served(opened, tmp_path, given)
    scores = Scoring(opened).scores(pa.array(["5"] * 4), pa.array([*given[0]["itemList"], "2"]))
    expected = sorted(zip(given[0]["itemList"], scores[:3].tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    assert lines[0]["output"] == {
        "recommendedItems": [item for item, _ in expected],
        "scores": [score for _, score in expected],
        "removed": {},
    }
    items = lines[0]["output"]["recommendedItems"]
    assert items.index("4") == items.index("3") + 1  # nothing tells these two apart
    assert [line["error"] for line in lines[1:4]] == [
        "itemList: 'gone' is not known to the bundle",
        "itemList: an item is there twice",
        "itemList: a list of texts is expected",
    ]
    assert lines[4]["output"] == {"recommendedItems": ["2"], "scores": [scores[3]], "removed": {}}


def test_users_for_an_item_are_those_with_a_list(opened, tmp_path, monkeypatch):
    scoring = Scoring(opened)
    asked = [{"itemId": item} for item in ("1", "gone", "3", "10")]
    lines = served(opened, tmp_path, asked, shape="users", size=2)
    listed = ["1", "2", "ü-3"]
    for line, item, kept, removed in (
        (lines[0], "1", ["2", "ü-3"], {"clicked": 1}),
        (lines[2], "3", listed, {}),
        (lines[3], "10", [], {"banned": 3}),
    ):
        scores = scoring.scores(pa.array(kept, pa.string()), pa.array([item] * len(kept), pa.string())).tolist()
        expected = sorted(zip(kept, scores, strict=True), key=lambda pair: (-pair[1], pair[0]))[:2]
        assert line["output"] == {
            "recommendedUsers": [user for user, _ in expected],
            "scores": [score for _, score in expected],
            "removedUsers": removed,
        }
    assert lines[1]["error"] == "itemId: 'gone' is not known to the bundle"
    whole = served(opened, tmp_path, asked, shape="users", size=2)
    monkeypatch.setattr("jobs.serve.segments.PAIRS_AT_ONCE", 2)  # one user at a time
    assert served(opened, tmp_path, asked, shape="users", size=2) == whole
    with pytest.raises(RecflowError, match="--size is 1,000,001; 1,000,000 users for an item are possible"):
        served(opened, tmp_path, asked, shape="users", size=1_000_001)


def test_a_list_to_rank_comes_back_without_what_the_filters_remove_and_says_so(opened, tmp_path):
    given = [
        {"userId": user, "itemList": items}
        for user, items in (("1", ["1", "2", "4", "10"]), ("2", ["1", "4"]), ("1", ["10"]), ("5", ["4"]))
    ]
    outputs = [line["output"] for line in served(opened, tmp_path, given)]
    assert [set(of["recommendedItems"]) for of in outputs] == [{"2"}, {"1", "4"}, set(), {"4"}]
    assert [of["removed"] for of in outputs] == [
        {"1": ["clicked"], "4": ["young"], "10": ["banned"]},
        {},  # nobody knows the age of user 2
        {"10": ["banned"]},
        {},
    ]
    assert [len(of["scores"]) for of in outputs] == [1, 2, 0, 1]


def test_related_items_lose_what_filters_about_items_alone_remove(bundle, tmp_path):
    changed = copied(bundle, tmp_path / "bundle")
    rules = json.loads((changed / RULES).read_text())
    kept = {"filters": rules["filters"], "banned": []}
    for size, banned, expected in ((1, ["1"], ["3"]), (2, ["3"], ["1"]), (2, ["1", "3"], [])):
        replaced(changed, RULES, json.dumps({**rules, "banned": banned}).encode())
        with Bundle(str(changed)) as other:
            (tmp_path / "lines").mkdir(exist_ok=True)
            [line] = served(other, tmp_path / "lines", [{"itemId": "2"}], shape="related", size=size)
        assert line["output"]["recommendedItems"] == expected and line["error"] is None
    only = {"filters": [{"name": "none", "exclude": "item.duration > 1"}], "banned": []}
    replaced(changed, RULES, json.dumps({**rules, **kept, **only}).encode())
    with Bundle(str(changed)) as other:
        [line] = served(other, tmp_path / "lines", [{"itemId": "2"}], shape="related")
        assert line["output"] == {"recommendedItems": [], "scores": []}  # and every filter was applied
    replaced(changed, RULES, b"{}")
    with (
        Bundle(str(changed)) as other,
        pytest.raises(BundleError, match="rules.json holds no filters: KeyError"),
    ):
        Filtering(other)
    replaced(changed, RULES, None)
    with Bundle(str(changed)) as other, pytest.raises(BundleError, match="does not say how its lists were filtered"):
        Filtering(other)


def test_related_items_are_on_offer(bundle, tmp_path, capsys):
    changed, key = copied(bundle, tmp_path / "bundle"), "features/item/part-00000.parquet"
    assert_related = partial(related_by_line_and_by_command, changed, tmp_path, capsys)
    offered = {"item_id": ["1", "2"], "is_offered": [False, True]}  # and 3 is not known at all
    replaced(changed, key, pa.table({**offered, "item_id": ["1", "3"]}))
    assert_related(["3"])
    replaced(changed, key, pa.table(offered))
    assert_related([])
    replaced(changed, key, pa.table({"item_id": ["1", "2"]}))
    assert_related(["1", "3"])  # the bundle does not say


def related_by_line_and_by_command(bundle, tmp_path, capsys, expected):
    (tmp_path / "lines").mkdir(exist_ok=True)
    with Bundle(str(bundle)) as opened:
        [line] = served(opened, tmp_path / "lines", [{"itemId": "2"}], shape="related")
    assert main(["related", "--item", "2", "--json", "--bundle", str(bundle)]) == 0
    asked = json.loads(capsys.readouterr().out)
    assert line["output"]["recommendedItems"] == asked["output"]["recommendedItems"] == expected


def test_a_line_that_is_too_long_is_an_error_of_its_own(opened, tmp_path, monkeypatch):
    monkeypatch.setattr("jobs.serve.lines.LONGEST", 40)
    long = [" " * 41 + "x", json.dumps({"userId": "1" * 100}), "y" * 40]
    lines = served(opened, tmp_path, [*long, {"userId": "1"}, "z" * 400])
    assert [line["error"] for line in lines] == [
        "the line is longer than 40 bytes",
        "the line is longer than 40 bytes",
        "no JSON: Expecting value: line 1 column 1 (char 0)",
        None,
        "the line is longer than 40 bytes",
    ]
    assert lines[1]["input"].startswith('{"userId": "111')


def test_blocks_of_lines_change_nothing(opened, tmp_path, monkeypatch):
    lines = [{"userId": user, "itemList": ["1", "2", "10"]} for user in ("1", "nobody", "2", "5", "1")]
    whole = served(opened, tmp_path, lines, shape="rank")
    monkeypatch.setattr("jobs.serve.batch.LINES_AT_ONCE", {"rank": 2})
    assert served(opened, tmp_path, lines, shape="rank") == whole
    monkeypatch.setattr("jobs.serve.batch.LINES_AT_ONCE", {"rank": 200})
    monkeypatch.setattr("jobs.serve.lines.BLOCK", 100)
    assert served(opened, tmp_path, lines, shape="rank") == whole
    assert served(opened, tmp_path, [], shape="rank") == []


def test_what_is_held_of_lines_is_bounded_however_long_and_many_they_are(monkeypatch):
    monkeypatch.setattr("jobs.serve.lines.LONGEST", 2_000)
    held = list(lines_of(io.BytesIO(b"x" * 100_000 + b"\n\n" + b"y" * 2_000 + b"\n" + b"z" * 2_001)))
    assert [len(line.given if isinstance(line, Line) else line) for line in held] == [1_000, 0, 2_000, 1_000]
    monkeypatch.setattr("jobs.serve.lines.BLOCK", 25)
    lines = [b"a" * 10] * 4 + [Line("b" * 30, "too long")] + [b"a"] * 5
    assert [len(block) for block in blocks(lines, 4)] == [3, 2, 4, 1]
    assert [_at_once("users", size) for size in (1, 20_000, 100_000, 1_000_000)] == [50, 50, 10, 1]


def test_the_shape_is_that_of_the_first_good_line_wherever_it_is(opened, tmp_path):
    bad = ["{", {"user": "1"}, {"itemId": 1}]
    lines = served(opened, tmp_path, [*bad * 400, {"userId": "1"}], size=1)
    assert lines[-1]["output"] == {"recommendedItems": ["2"], "scores": [0.75]}
    assert lines[2]["error"] == "users-to-items takes the fields userId, not itemId"
    by_name = served(opened, tmp_path, bad)
    assert [line["error"] for line in by_name[1:]] == [
        "related takes the fields itemId, not user", "itemId: text is expected"
    ]  # fmt: skip
    assert [line["error"] for line in served(opened, tmp_path, [*bad[:2], "[]"])] == [
        "no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        "no shape takes the fields user",
        "an object is expected",
    ]


def test_a_line_that_says_a_name_twice_is_not_served(opened, tmp_path):
    [line] = served(opened, tmp_path, ['{"userId":"1","userId":"2"}'], shape="users-to-items")
    assert line == {"input": '{"userId":"1","userId":"2"}', "output": None, "error": "no JSON: 'userId' is there twice"}


def test_what_cannot_be_read_or_written_is_said_and_leaves_the_output(opened, tmp_path):
    given, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    given.write_text(""), out.write_text("before")
    with pytest.raises(RecflowError, match="in.jsonl is empty: say with --shape what its lines would ask for"):
        batch(opened, given, out)
    given.write_text('{"user": "1"}\n{"userId": "1"}\n')
    with pytest.raises(RecflowError, match="--recall goes with the shape related, not with users-to-items"):
        batch(opened, given, out, recall="etrec_i2i")
    assert out.read_text() == "before"
    with pytest.raises(RecflowError, match="no file at"):
        batch(opened, tmp_path / "gone", out)
    with pytest.raises(RecflowError, match="cannot be written"):
        batch(opened, given, tmp_path / "nowhere" / "out", shape="related")
    with pytest.raises(RecflowError, match="--size is 0"):
        batch(opened, given, out, size=0)


def test_lists_by_key():
    rows = pa.table({"key": ["a", "a", "b"], "item_id": ["x", "y", "x"], "score": [2.0, 1.0, 3.0]})
    assert Lists(rows).of(["b", "c", "a", "a"], 9) == [
        (["x"], [3.0]), None, (["x", "y"], [2.0, 1.0]), (["x", "y"], [2.0, 1.0])
    ]  # fmt: skip
    assert Lists(rows.slice(0, 0)).of(["a"], 1) == [None]
    assert Lists(rows, np.array([False, True, False])).of(["b", "a", "c"], 9) == [([], []), (["y"], [1.0]), None]
    assert Lists(rows).keys.type == pa.large_string()  # ids of all users may be over 2 GiB


def test_readers_check_what_they_open(bundle, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(bundle.removeprefix("file://"), copy)
    part = copy / "recommendations" / "rows" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with Bundle(str(copy)) as changed:
        assert changed.rows("features/item", ["item_id"]).num_rows == 5
        with pytest.raises(BundleError, match="part-00000.parquet has other content than the manifest says"):
            changed.rows("recommendations/rows")
        with pytest.raises(BundleError, match="features/item has no column colour"):
            changed.rows("features/item", ["colour"])
        with pytest.raises(BundleError, match="has no recall/gone"):
            changed.rows("recall/gone")
    with pytest.raises(BundleError, match="neither manifest.json nor latest.json"):
        Bundle(str(tmp_path))


def test_the_commands(bundle, tmp_path, capsys):
    root = bundle.partition("/ds=")[0]
    assert of_day(root, DS) == bundle
    assert main(["recommend", "--user", "1", "--bundle", root]) == 0
    shown = capsys.readouterr().out
    assert "   1  2  0.75        Title <2>\n   2  3  0.125       Title <3>\n" in shown
    assert main(["related", "--item", "2", "--json", "--size", "1", "--bundle", bundle]) == 0
    output = {"recommendedItems": ["1"], "scores": [0.5], "filtersNotApplied": ["clicked", "young"]}
    assert json.loads(capsys.readouterr().out)["output"] == output
    assert main(["related", "--item", "2", "--bundle", bundle]) == 0
    assert "not applied, as they ask for a user: the filters clicked, young\n" in capsys.readouterr().out
    assert main(["recommend", "--user", "nobody", "--bundle", bundle]) == 1
    assert "has no list for user 'nobody'" in capsys.readouterr().err
    for command in (["recommend", "--user", "\udcff"], ["explain", "--user", "1", "--item", "\udcff"]):
        assert main([*command, "--bundle", bundle]) == 1
        assert capsys.readouterr().err == f"recflow: error: {command[-2]} '\\udcff' is no text in UTF-8\n"
    given = tmp_path / "in.jsonl"
    for text, status in (('{"userId": "1"}', 0), ('{"userId": "1"}\n{}', 3), ("{}", 3), ("", 1)):
        given.write_text(text)
        assert main(["batch", "--in", str(given), "--out", str(tmp_path / "out"), "--bundle", bundle]) == status
    assert main(["explain", "--user", "1", "--item", "2", "--bundle", bundle]) == 0
    assert "item 2 (Title <2>) is 1 of 2 on the list of user 1" in capsys.readouterr().out
