"""What a plan says: states, reasons, what an input that changed makes stale, and what may be left out."""

from __future__ import annotations

import pytest

from jobs.flow import backfill
from jobs.flow.plan import Request, plan
from jobs.flow.shown import shown
from jobs.lib import partitions, runs
from jobs.lib.days import add_days, day_range
from jobs.lib.errors import RecflowError
from jobs.lib.object_store import open_store
from jobs.lib.settings import settings
from jobs.publish.versions import collect_garbage
from tests.flow.world import World, small_solution

FIRST, LAST = "20261101", "20261130"
DAYS = day_range(FIRST, LAST)
RANGE = Request(FIRST, LAST)
LISTS = {"hot", "hot_fallback", "i2i", "u2i", "candidates", "recommendations", "evaluation", "diagnostics", "publish"}
LISTS |= {"quality_result"}


@pytest.fixture
def world(warehouse, monkeypatch):
    made = World(small_solution(), monkeypatch)
    made.arrive(DAYS)
    return made


def to_run(planned):
    return {(entry.node.name, entry.ds) for entry in planned.entries if entry.runs}


def states(planned, name):
    return {entry.ds: entry.state for entry in planned.entries if entry.node.name == name}


def days_of(planned, name):
    return sorted(ds for node, ds in to_run(planned) if node == name)


def test_a_new_range_makes_what_later_days_read_for_every_ds_and_lists_for_the_last(world):
    planned = plan(world.solution, RANGE)
    for name in ("input_checks", "actions_daily", "user_features", "item_features", "rank_samples", "suspicious_users"):
        assert days_of(planned, name) == DAYS, name
    for name in (
        "hot",
        "u2i",
        "candidates",
        "recommendations",
        "evaluation",
        "diagnostics",
        "publish",
        "quality_result",
    ):
        assert days_of(planned, name) == [LAST], name
    assert days_of(planned, "rank_model") == ["20261101", "20261108", "20261115", "20261122", "20261129", LAST]
    assert states(planned, "rank_model")["20261102"] == "skipped"
    assert states(planned, "hot")["20261102"] == "not asked"


def test_every_ds_is_published_where_that_is_asked_for(world):
    planned = plan(world.solution, Request(FIRST, LAST, every_ds=True))
    for name in ("hot", "candidates", "recommendations", "publish", "quality_result"):
        assert days_of(planned, name) == DAYS, name


def test_what_was_made_is_present_and_planned_no_more(world):
    backfill.run(world.solution, RANGE)
    planned = plan(world.solution, RANGE)
    assert to_run(planned) == set() and set(states(planned, "actions_daily").values()) == {"present"}
    assert "nothing to make" in shown(planned, world.solution)


def test_a_corrected_day_makes_exactly_what_depends_on_it_stale(world):
    backfill.run(world.solution, Request(FIRST, LAST, every_ds=True))
    late = "20261110"
    world.rewrite(world.solution.tables.behavior.table, late, "2")
    planned = plan(world.solution, RANGE)
    within = lambda days: day_range(late, add_days(late, days - 1))  # noqa: E731
    assert days_of(planned, "input_checks") == days_of(planned, "actions_daily") == [late]
    assert days_of(planned, "suspicious_users") == [late]
    for name in ("user_features", "item_features"):
        assert days_of(planned, name) == within(5), name
    assert days_of(planned, "rank_samples") == within(6)  # its own events, then features of the day before
    assert days_of(planned, "hot") == within(7) and days_of(planned, "i2i") == within(10)
    first = next(entry for entry in planned.entries if entry.runs)
    assert first.state == "stale" and f"{world.solution.tables.behavior.table} ds={late} changed" in first.why
    assert min(ds for _, ds in to_run(planned)) == late

    before, contents = set(to_run(planned)), world.contents()
    world.made.clear()
    backfill.run(world.solution, RANGE)
    assert set(world.made) <= before and to_run(plan(world.solution, RANGE)) == set()
    changed = {key for key, content in world.contents().items() if content != contents[key]}
    tables = {world.solution.table(name): name for name, _ in before}
    assert {(tables[table], ds) for table, ds in changed} <= set(world.made)


def test_a_correction_ends_in_what_an_undisturbed_history_would_have_been(world, tmp_path, monkeypatch):
    every = Request(FIRST, LAST, every_ds=True)
    backfill.run(world.solution, every)
    world.rewrite(world.solution.tables.behavior.table, "20261105", "2")
    backfill.run(world.solution, RANGE)
    repaired = world.contents()

    monkeypatch.setenv("RECFLOW_HOME", str(tmp_path / "undisturbed"))
    world.arrive(DAYS)
    world.rewrite(world.solution.tables.behavior.table, "20261105", "2")
    backfill.run(world.solution, every)
    assert world.contents() == repaired


def test_what_is_made_again_with_the_same_rows_goes_no_further(world, monkeypatch):
    from jobs.flow import lineage

    backfill.run(world.solution, RANGE)
    real = lineage.code_id
    monkeypatch.setattr(lineage, "code_id", lambda module: real(module) + "x" * module.endswith(".actions_daily"))
    assert days_of(plan(world.solution, RANGE), "user_features") == DAYS
    world.made.clear()
    backfill.run(world.solution, RANGE)
    assert sorted(world.made) == [("actions_daily", ds) for ds in DAYS]


def test_days_before_the_range_are_made_where_windows_want_them_and_repaired_where_they_are_stale(world):
    planned = plan(world.solution, Request("20261120", "20261120"))
    assert days_of(planned, "rank_samples") == day_range("20261117", "20261120")
    assert days_of(planned, "user_features") == day_range("20261116", "20261120")
    assert days_of(planned, "actions_daily") == day_range(FIRST, "20261120")  # diagnostics looks back 21 days
    backfill.run(world.solution, RANGE)
    world.rewrite(world.solution.tables.behavior.table, "20261118", "2")
    planned = plan(world.solution, Request("20261120", "20261120"))
    assert days_of(planned, "actions_daily") == ["20261118"]
    assert ("user_features", "20261118") in to_run(planned)


def test_nodes_asked_for_run_with_what_reads_them_and_nothing_else(world):
    backfill.run(world.solution, RANGE)
    planned = plan(world.solution, Request(FIRST, LAST, nodes=("hot",), force=True))
    assert {name for name, _ in to_run(planned)} == LISTS - {"i2i", "u2i"}
    assert {ds for _, ds in to_run(planned)} == {LAST}
    by_table = plan(world.solution, Request(FIRST, LAST, nodes=("home_page_hot",), force=True))
    assert to_run(by_table) == to_run(planned)


def test_an_excluded_node_is_left_alone_if_its_output_is_there_and_refused_by_name_if_not(world):
    with pytest.raises(RecflowError, match="actions_daily is excluded, its ds=202611.. is missing, and .* needs it"):
        plan(world.solution, Request(FIRST, LAST, exclude=("actions_daily",)))
    backfill.run(world.solution, RANGE)
    world.rewrite(world.solution.tables.behavior.table, LAST, "2")
    planned = plan(world.solution, Request(FIRST, LAST, exclude=("actions_daily",)))
    assert days_of(planned, "actions_daily") == [] and days_of(planned, "input_checks") == [LAST]
    with pytest.raises(RecflowError, match="no node 'nope'; there are: input_checks"):
        plan(world.solution, Request(FIRST, LAST, exclude=("nope",)))


def test_a_day_without_input_waits_and_the_days_around_it_are_made(world):
    gap = "20261112"
    partitions.forget(world.solution.tables.behavior.table, [gap])
    planned = plan(world.solution, RANGE)
    assert states(planned, "actions_daily")[gap] == "waiting" and gap not in days_of(planned, "user_features")
    assert days_of(planned, "actions_daily") == [ds for ds in DAYS if ds != gap]
    assert {entry.ds for entry in planned.waiting()} == {gap}
    backfill.run(world.solution, RANGE)
    world.rewrite(world.solution.tables.behavior.table, gap, "1")
    planned = plan(world.solution, RANGE)
    assert days_of(planned, "actions_daily") == [gap]
    assert days_of(planned, "user_features") == day_range(gap, "20261116")  # their windows were a day short


def test_a_changed_solution_makes_what_reads_that_part_stale(world, monkeypatch):
    backfill.run(world.solution, RANGE)
    world.solution = small_solution(recalls=[{"name": "hot", "job": "hot", "window_days": 6}, *_recalls()[1:]])
    planned = plan(world.solution, RANGE)
    assert {name for name, _ in to_run(planned)} == LISTS - {"i2i", "u2i"}
    reasons = {entry.node.name: entry.why for entry in planned.entries if entry.runs}
    assert reasons["hot"] == "the solution changed" and reasons["hot_fallback"].endswith("is made again")


def _recalls():
    from tests.flow.world import RECALLS

    return RECALLS


def test_changed_code_makes_what_it_made_stale(world, monkeypatch):
    from jobs.flow import lineage

    backfill.run(world.solution, RANGE)
    real = lineage.code_id
    monkeypatch.setattr(lineage, "code_id", lambda module: "other" if module.endswith(".hot") else real(module))
    planned = plan(world.solution, RANGE)
    assert next(entry.why for entry in planned.entries if entry.runs) == "its code changed"
    assert days_of(planned, "hot") == [LAST] and days_of(planned, "actions_daily") == []


def test_what_failed_is_shown_with_its_error_and_runs_again(world):
    backfill.run(world.solution, RANGE)
    runs.failed("home_page_hot", LAST, "out of luck")
    planned = plan(world.solution, RANGE)
    assert states(planned, "hot")[LAST] == "failed" and days_of(planned, "hot") == [LAST]
    assert f"runs  hot                {LAST}           failed: out of luck" in shown(planned, world.solution)


def test_a_range_that_ends_before_it_starts_is_refused(world):
    with pytest.raises(RecflowError, match="ends before it starts"):
        plan(world.solution, Request(LAST, FIRST))


def test_what_is_gone_makes_nothing_stale_and_what_was_made_of_it_stays(world):
    backfill.run(world.solution, RANGE)
    partitions.forget("home_page_actions_daily", day_range(FIRST, "20261120"))
    for config in (world.solution.tables.behavior, world.solution.tables.item, world.solution.tables.user):
        partitions.forget(config.table, day_range(FIRST, "20261120"))
    assert to_run(plan(world.solution, Request("20261121", LAST))) == set()


def test_nothing_is_made_from_a_day_that_was_judged_unfit_until_it_is_judged_anew(world):
    bad = "20261118"
    runs.failed("home_page_input_checks", bad, "refused")
    after = plan(world.solution, Request("20261119", "20261120"))
    assert not [pair for pair in to_run(after) if pair[1] == bad]
    assert ("user_features", "20261120") in to_run(after)  # from what is fit
    with_it = plan(world.solution, Request(bad, "20261120"))
    assert {("input_checks", bad), ("actions_daily", bad)} <= to_run(with_it)


def test_readers_are_moved_back_by_publishing_a_day_that_is_present(world):
    backfill.run(world.solution, RANGE)
    assert to_run(plan(world.solution, Request(FIRST, LAST, set_latest=True))) == {
        ("publish", LAST),
        ("quality_result", LAST),
    }


def test_a_day_whose_bundle_is_not_where_it_is_published_now_is_published(world, tmp_path, monkeypatch):
    backfill.run(world.solution, RANGE)
    monkeypatch.setenv("RECFLOW_PUBLISH", f"file://{tmp_path}/elsewhere")
    assert to_run(plan(world.solution, RANGE)) == {("publish", LAST), ("quality_result", LAST)}


def test_what_collects_a_days_results_runs_if_it_was_killed_before(world):
    backfill.run(world.solution, RANGE)
    partitions.forget("home_page_quality_result", [LAST])
    world.made.clear()
    backfill.run(world.solution, RANGE)
    assert world.made == [("quality_result", LAST)]


def test_how_a_source_is_read_counts_and_where_it_is_does_not(world):
    from jobs.flow.lineage import config_id

    def source(**changes):
        behavior = {"source": {"path": "lake", "day": {"column": "dt"}, **changes}}
        return config_id(small_solution(tables={"behavior": behavior}), world.solution.node("actions_daily"))

    assert source() == source(path="elsewhere") != source(time_format="unix_ms")


def test_a_day_whose_bundle_was_collected_is_not_published_again(world):
    few = Request("20261101", "20261104", every_ds=True)
    backfill.run(world.solution, few)
    store = open_store(f"{settings().publish_root}/home_page")
    collect_garbage(store, 2)
    assert store.list("ds=20261101/") == [] and store.list("ds=20261104/") != []
    assert to_run(plan(world.solution, few)) == set()
    store.delete("_collected/ds=20261101")  # lost, not collected
    assert to_run(plan(world.solution, few)) == {("publish", "20261101"), ("quality_result", "20261101")}
