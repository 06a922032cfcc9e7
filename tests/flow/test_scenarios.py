"""Scenarios side by side: they share what they read and nothing that they write. No Spark."""

from __future__ import annotations

import threading

import pytest
import yaml

from jobs.data.clean_up import Cleaned, Kept, _remove_results, held, kept_alone, kept_by_all
from jobs.deploy.deploy import deploy
from jobs.deploy.description import described_all
from jobs.flow import backfill
from jobs.flow.plan import Request, plan
from jobs.lib import partitions
from jobs.lib import scenarios as module
from jobs.lib.cli import main
from jobs.lib.days import day_range
from jobs.lib.errors import SolutionError
from jobs.lib.object_store import open_store
from jobs.lib.scenarios import beside, input_tables, scenarios, those_that_hold
from jobs.lib.settings import PROJECT_ROOT, settings
from jobs.lib.solution import load_solution
from tests.flow.world import World, small_solution

DAYS = day_range("20261101", "20261104")
DAGS = PROJECT_ROOT / "dags"
SMALL = PROJECT_ROOT / "tests" / "dags" / "solution.yaml"


def tables(behavior):
    """Those of the fixture solution, with another one of events."""
    given = yaml.safe_load(SMALL.read_text())["tables"]
    return given | {"behavior": given["behavior"] | {"table": behavior}}


@pytest.fixture
def folder(warehouse, monkeypatch):
    """Of solution files, in place of dags/; a function that writes one there: the fixture solution with changes."""
    monkeypatch.setattr(module, "PROJECT_ROOT", warehouse)
    monkeypatch.setenv("RECFLOW_SOLUTION", str(SMALL))
    (warehouse / "dags").mkdir()

    def write(name, **sections):
        file = warehouse / "dags" / f"{name}.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load(SMALL.read_text()) | {"scenario": name} | sections))
        return file

    return write


def test_the_shipped_scenarios_read_the_same_tables_and_write_none_in_common(warehouse):
    found = scenarios()
    home, detail = found["home_page"], found["detail_page"]
    assert list(found) == ["home_page", "detail_page"] and beside(home) == ([detail], [])
    assert [config.table for config in input_tables(found)] == [
        f"rec_sln_demo_{kind}_table_v1" for kind in ("user", "item", "behavior")
    ]
    assert home.demo and not detail.demo  # who fills the tables is one
    assert {detail.table(node.name).partition("page_")[0] for node in detail.nodes()} == {"detail_"}


def test_the_default_solution_stands_for_its_scenario_and_a_name_finds_it(folder):
    folder("home_page", target="nonsense")  # not read in place of the default
    other = folder("other")
    with pytest.raises(SolutionError, match="target: 'nonsense' is not an event"):
        scenarios()
    folder("home_page")
    assert [solution.path for solution in scenarios().values()] == [str(SMALL), str(other)]
    assert load_solution("home_page").path == str(SMALL)
    assert load_solution("detail_page").path == str(DAGS / "detail_page.yaml")
    with pytest.raises(SolutionError, match="^nowhere is neither a solution file nor a scenario; there are: detail_pa"):
        load_solution("nowhere")


def test_a_file_that_does_not_hold_leaves_out_its_scenario_alone(folder):
    folder("good"), folder("broken", rankng={})
    found, [problem] = those_that_hold()
    assert list(found) == ["home_page", "good"]
    assert "broken.yaml: rankng: unknown key" in str(problem)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({}, {"scenario": "a"}, "b.yaml: scenario: .*a.yaml makes a too; give it another name"),
        ({"scenario": "x"}, {"scenario": "x_backfill"}, "b.yaml: scenario: .*a.yaml makes x_backfill too"),
        ({"scenario": "x"}, {"scenario": "x_deadline"}, "b.yaml: scenario: .*a.yaml makes x_deadline too"),
        (
            {"scenario": "x", "recalls": [{"name": "y_hot", "job": "hot"}], "publish": {"fallback": None}},
            {"scenario": "x_y"},
            "b.yaml: scenario: .*a.yaml makes x_y_hot too",
        ),
        (
            {"scenario": "b", "recalls": [{"name": "behavior", "job": "hot"}], "publish": {"fallback": None}},
            {"tables": tables("b_behavior"), "scenario": "x"},
            "b.yaml: tables: .*a.yaml makes b_behavior of .*b.yaml's inputs",
        ),
        (
            {"tables": tables("shop_behavior"), "scenario": "x"},
            {"scenario": "shop", "recalls": [{"name": "quarantine", "job": "hot"}], "publish": {"fallback": None}},
            "b.yaml: tables: .*b.yaml makes shop_quarantine of .*a.yaml's inputs",
        ),
        ({"demo": {"users": 100}}, {"demo": {"users": 99}}, "b.yaml: demo: .*a.yaml fills shop_events with other data"),
    ],
)
def test_two_that_would_write_the_same_are_refused(folder, first, second, said):
    folder("a", **first), folder("b", **second)
    with pytest.raises(SolutionError, match=said):
        scenarios()


def keys():
    """Every object of the installation -> its bytes: records, runs, bundles."""
    stores = {name: open_store(getattr(settings(), name)) for name in ("warehouse_root", "publish_root")}
    return {f"{name}/{key}": store.get(key) for name, store in stores.items() for key in store.list()}


def test_two_flows_at_once_make_what_each_makes_alone_and_touch_nothing_of_the_other(warehouse, monkeypatch):
    request = Request(DAYS[0], DAYS[-1])
    both = [small_solution(), small_solution(scenario="detail_page", scenes=["detail"])]
    worlds = [World(solution, monkeypatch) for solution in both]

    def run(home, *solutions):
        """Input tables, then the backfills of these at once; what there was before, and the contents after."""
        monkeypatch.setenv("RECFLOW_HOME", str(warehouse / home))
        worlds[0].arrive(DAYS)
        before = keys()
        threads = [threading.Thread(target=backfill.run, args=(solution, request)) for solution in solutions]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        return before, [world.contents() for world in worlds]

    alone = [run(solution.scenario, solution)[1][place] for place, solution in enumerate(both)]
    before, contents = run("both", *both)
    assert contents == alone and all(alone)
    after = keys()
    assert {key: after[key] for key in before} == before
    made = {key for key in after.keys() - before.keys() if "_backfills" not in key}
    assert {("home_page" in key, "detail_page" in key) for key in made} == {(True, False), (False, True)}
    partitions.forget(both[0].table("hot"), DAYS)
    again = [[node.name for node, _ in plan(solution, request).steps()] for solution in both]
    assert again[0][0] == "hot" and again[1] == []


def test_a_shared_table_is_kept_as_long_as_any_scenario_reads_it(folder):
    table, home = "shop_events", load_solution(folder("home", retention={"days": 60}))
    folder("other", retention={"days": 200})
    stands = "other, which stands at ds={}, keeps them".format
    assert kept_by_all(home, "20261121")[table] == Kept(200, "20261121", stands("20261121"))
    assert kept_by_all(home, "20261121")["home_candidates"] == Kept(60, "20261121")
    partitions.write_record("other_recommendations", "20261101", {"rows": 0})  # it stood still since
    assert kept_by_all(home, "20261121")[table] == Kept(200, "20261101", stands("20261101"))


def test_who_holds_days_of_a_shared_table_is_told(folder, monkeypatch):
    file, days = folder("home", retention={"days": 60}), day_range("20260901", "20261121")
    monkeypatch.setenv("RECFLOW_SOLUTION", str(file))
    home, _ = load_solution(file), folder("other", retention={"days": 60})
    for table, ds in [("other_recommendations", "20261101"), *(("shop_events", ds) for ds in days)]:
        partitions.write_record(table, ds, {"rows": 0})

    def told():
        kept, alone = (asked(home, days[-1])["shop_events"] for asked in (kept_by_all, kept_alone))
        return str(Cleaned("shop_events", (), 0, held("shop_events", kept, alone)))

    none = "shop_events: no day removed, 0 small files joined"
    assert told() == f"{none}; ds=20260903..20260922 (20 days) held: other, which stands at ds=20261101, keeps them"
    partitions.write_record("other_recommendations", days[-1], {"rows": 0})
    assert told() == none


def test_a_file_that_does_not_hold_keeps_shared_days_and_stops_neither_clean_up_nor_freeze(folder, capsys):
    store, home = open_store(settings().warehouse_root), load_solution(folder("home", retention={"days": 60}))
    file = folder("broken", rankng={}, zzz={})
    own, theirs = (f"_quality/20260101/{name}_hot/c.json" for name in ("home", "broken"))
    [store.put(key, b"{}") for key in (own, theirs)]
    kept = kept_by_all(home, "20261121")
    why = f"another scenario may need them: {file}: rankng: unknown key"
    assert (kept["shop_events"].days, kept["home_candidates"]) == (None, Kept(60, "20261121"))
    assert kept["shop_events"].why.startswith(why) and "\n" not in kept["shop_events"].why
    _remove_results(home, kept_alone(home, "20261121").values(), kept.values())
    assert store.list("_quality/") == [theirs]
    assert main(["freeze", "shop_events"]) == 0 and partitions.is_frozen("shop_events")
    assert main(["freeze", "app_events"]) == 1
    assert f"shop_events; left out: {file}: rankng: unknown key" in capsys.readouterr().err


def test_a_default_solution_that_does_not_hold_stops_no_other_clean_up(folder, monkeypatch):
    home, broken = load_solution(folder("home")), folder("broken", rankng={})
    monkeypatch.setenv("RECFLOW_SOLUTION", str(broken))
    assert kept_by_all(home, "20261121")["shop_events"].days is None


def test_what_was_judged_of_another_scenario_outlives_a_clean_up(folder, warehouse):
    folder("other")
    store, home = open_store(settings().warehouse_root), load_solution()
    old = [f"_quality/20260101/{name}/c.json" for name in ("home_page_hot", "shop_events", "other_hot")]
    old += [f"_data_docs/20260101/{name}/index.html" for name in ("home_page", "other")]
    for key in old:
        store.put(key, b"{}")
    kept = [Kept(10, "20261121")]
    _remove_results(home, kept, kept)
    assert store.list() == ["_data_docs/20260101/other/index.html", "_quality/20260101/other_hot/c.json"]


def test_what_was_judged_of_own_tables_goes_by_own_days_and_of_shared_ones_by_those_of_all(warehouse):
    store, home = open_store(settings().warehouse_root), load_solution()
    for name in ("home_page_hot", "rec_sln_demo_item_table_v1"):
        store.put(f"_quality/20260915/{name}/c.json", b"{}")
    _remove_results(home, [Kept(25, "20261121")], [Kept(25, "20261121"), Kept(180, "20261121", "detail_page")])
    assert store.list("_quality/") == ["_quality/20260915/rec_sln_demo_item_table_v1/c.json"]


def test_a_deployment_holds_every_scenario_and_a_plan_tells_them_apart(warehouse, capsys):
    deploy(None, "me", lambda files: described_all(None))
    raw = yaml.safe_load((DAGS / "detail_page.yaml").read_text())
    file = warehouse / "changed.yaml"
    file.write_text(yaml.safe_dump(raw | {"publish": {"candidates": 200, "top_n": 7}}))
    assert main(["plan", "--solution", str(file)]) == 2
    shown = capsys.readouterr().out
    assert "\nhome_page: the same\n" in shown and "\ndetail_page\n" in shown and "~ publish.top_n: 20 -> 7" in shown


def test_a_table_of_any_scenario_is_frozen_and_unfrozen(folder, capsys):
    folder("other", tables=tables("app_events"))
    assert main(["freeze", "app_events"]) == 0 and partitions.is_frozen("app_events")
    assert main(["freeze", "nothing"]) == 1
    assert "there are: shop_users, shop_items, shop_events, app_events" in capsys.readouterr().err
