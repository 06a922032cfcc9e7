"""What a deployment would change, against what is deployed. No Spark."""

from __future__ import annotations

import json

import pytest
import yaml

from jobs.deploy import description, plan
from jobs.deploy.deploy import deploy
from jobs.deploy.description import described, described_all, flat
from jobs.deploy.difference import difference, files
from jobs.flow import backfill, lineage
from jobs.flow.lineage import config_id
from jobs.flow.plan import Request
from jobs.lib.cli import main
from jobs.lib.days import day_range
from jobs.lib.settings import PROJECT_ROOT
from jobs.lib.solution import load_solution
from tests.flow.world import RECALLS, World, small_solution

FILE = PROJECT_ROOT / "tests" / "dags" / "solution.yaml"
DAYS = day_range("20261101", "20261110")


def kept(solution):
    """As a manifest brings it back."""
    return json.loads(json.dumps(described(solution)))


def changed(**sections):
    return difference(kept(small_solution()), kept(small_solution(**sections)))


def test_the_same_solution_and_code_differ_in_nothing():
    assert changed() == {}


def test_a_changed_key_is_told_with_the_nodes_that_read_it_and_why():
    found = changed(recalls=[{"name": "hot", "job": "hot", "window_days": 6}, *RECALLS[1:]])
    assert found["parameters"] == ["~ recalls[hot].window_days: 7 -> 6"] and "features" not in found
    assert "~ hot: recalls[hot].window_days" in found["nodes"] and set(found) == {"nodes", "parameters"}
    assert not [line for line in found["nodes"] if line.startswith(("~ i2i", "~ user_features", "~ hot_fallback"))]


def test_the_nodes_that_are_told_are_those_whose_partitions_count_as_stale():
    old, new = small_solution(), small_solution(features={"windows": [3, 6], "preference": {"window": 5}})
    told = {line.split()[1].rstrip(":") for line in difference(kept(old), kept(new))["nodes"]}
    assert told == {node.name for node in old.nodes() if config_id(old, node) != config_id(new, new.node(node.name))}


def test_a_recall_line_that_comes_brings_a_node_and_a_table_and_one_that_goes_takes_them_away():
    swing = {"name": "swing", "job": "swing_i2i"}
    found = changed(recalls=[swing, RECALLS[2], RECALLS[3], RECALLS[0], RECALLS[1]])
    assert found["parameters"] == ["+ recalls[swing]"]
    assert "+ swing" in found["nodes"] and found["tables"] == ["+ home_page_swing"]
    assert "~ candidates: the nodes before it, recalls, recalls[swing]" not in found["nodes"]
    assert any(line.startswith("~ candidates: the nodes before it, recalls[swing]") for line in found["nodes"])
    gone = changed(recalls=RECALLS[:3])
    assert "- u2i" in gone["nodes"] and gone["tables"] == ["- home_page_u2i"]
    assert gone["parameters"] == ["- recalls[u2i]"]


def test_feature_columns_that_come_go_or_mean_something_else_are_named():
    found = changed(features={"windows": [4, 5], "preference": {"window": 5}})["features"]
    assert "+ user__click_cnt_4d" in found and "- user__click_cnt_3d" in found
    assert not any("5d" in line for line in found)
    redefined = changed(features={"windows": [3, 5], "preference": {"window": 5}, "smoothing": 50})["features"]
    assert "~ user__ctr_3d: redefined" in redefined and not [line for line in redefined if line[0] in "+-"]


def test_changed_code_is_a_reason_of_its_own(monkeypatch):
    before = kept(small_solution())
    real = description.code_id
    monkeypatch.setattr(description, "code_id", lambda module: "other" if module.endswith(".hot") else real(module))
    assert difference(before, kept(small_solution())) == {"nodes": ["~ hot: code"]}


def test_columns_of_a_table_that_change_are_named():
    before, after = kept(small_solution()), kept(small_solution())
    columns = after["tables"]["home_page_hot"]["columns"]
    columns["score"], columns["why"] = "float", "string"
    del columns["rank"]
    assert difference(before, after) == {"tables": ["~ home_page_hot: +why, -rank, ~score: double -> float"]}


def test_a_scenario_that_goes_or_comes_is_told_by_its_nodes():
    whole = kept(small_solution())
    came, went = difference(None, whole), difference(whole, None)
    assert "+ hot" in came["nodes"] and "- hot" in went["nodes"] and "parameters" not in came


def test_lines_of_a_list_go_by_their_name_so_order_and_neighbours_do_not_count():
    one, two = {"name": "a", "n": 1}, {"name": "b", "n": 2}
    assert flat({"x": [one, two]}) == flat({"x": [two, one]}) | {}
    assert flat({"x": [one]}) == {"x[a].name": "a", "x[a].n": 1}
    assert flat({"x": [{"op": "id"}, {"op": "id"}], "y": [1, 2], "z": {}}) == {
        "x[0].op": "id", "x[1].op": "id", "y": [1, 2], "z": {},
    }  # fmt: skip


def test_files_are_told_by_what_became_of_them():
    assert files({"a": "1", "b": "1"}, {"b": "2", "c": "1"}) == ["+ c", "- a", "~ b"]


@pytest.fixture
def deployed(warehouse):
    """The fixture solution is deployed, unchecked; gives a function that writes a changed copy of it."""
    deploy(FILE, "me", lambda files: described_all(FILE))

    def copy(**sections):
        raw = yaml.safe_load(FILE.read_text())
        for name, section in sections.items():
            raw[name] = {**raw.get(name, {}), **section}
        file = warehouse / "changed.yaml"
        file.write_text(yaml.safe_dump(raw))
        return str(file)

    return copy


def test_the_command_ends_with_0_where_nothing_would_change_and_with_2_where_something_would(deployed, capsys):
    assert main(["plan", "--solution", str(FILE)]) == 0
    assert "nothing would change" in capsys.readouterr().out
    assert main(["plan", "--solution", deployed(publish={"top_n": 7})]) == 2
    shown = capsys.readouterr().out
    assert "~ publish.top_n: " in shown and "stale: nothing, as nothing was made yet" in shown
    assert "files: 1 changed\n  ~ solution.yaml" in shown
    assert main(["plan", "--solution", str(FILE), "--days", "0"]) == 1


def test_where_nothing_is_deployed_everything_is_new(warehouse, capsys):
    assert main(["plan", "--solution", str(FILE)]) == 2
    shown = capsys.readouterr().out
    assert "nothing is deployed" in shown.splitlines()[0] and "+ hot" in shown and "files:" not in shown


def test_partitions_that_a_backfill_would_make_again_are_told_by_the_lineage(deployed, monkeypatch):
    world = World(load_solution(FILE), monkeypatch)
    world.arrive(DAYS)
    backfill.run(world.solution, Request(DAYS[0], DAYS[-1]))
    file = deployed(ranking={"training_days": 3})
    shown = plan.changes(file, 60)
    wanted = [line for line in shown.splitlines() if "runs  rank_model " in line]
    assert "rank_model         20261101           stale: the solution changed" in wanted[0]
    _, _, stale = shown.partition("stale: a backfill of ds=20261101..20261110 would make")
    assert stale and "runs  actions_daily " not in stale
    monkeypatch.setattr(lineage, "config_id", lambda solution, node: "another")
    assert "actions_daily      20261101..20261110 stale: the solution changed" in plan.changes(file, 60)
