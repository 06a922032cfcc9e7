"""The node and the command on tables as they are right after an import: no partial, feature or model is there yet."""

from __future__ import annotations

import pytest
import yaml

from jobs.flow.running import run_node
from jobs.lib import partitions
from jobs.lib.cli import main
from jobs.lib.errors import MissingPartition
from jobs.lib.settings import PROJECT_ROOT
from jobs.lib.solution import load_solution
from jobs.publish.figures import data_of

FIRST, DS = "20261119", "20261121"


@pytest.fixture(scope="module")
def imported(spark, tmp_path_factory):
    """Three days of the tiny world, and a solution that sees all three tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECFLOW_HOME", str(tmp_path_factory.mktemp("imported")))
        file = PROJECT_ROOT / "tests" / "e2e" / "tiny.yaml"
        assert main(["run", "create_data", "--from", FIRST, "--to", DS, "--solution", str(file)]) == 0
        yield file


def test_the_command_makes_what_it_needs_and_says_what_is_not_there_yet(imported, capsys):
    assert main(["diagnose", "--ds", DS, "--solution", str(imported)]) == 0
    said, solution = capsys.readouterr().out, load_solution(imported)
    assert partitions.present_days(solution.table("actions_daily"))[-1] == DS
    assert "there is no trained model with candidates of this day yet" in said
    for shown in ("user.tags", "praise", "Advice", "top 10%"):
        assert shown in said
    figures = data_of(solution, DS)
    assert figures.value("join", "item", "events_found_share") == 1.0
    record = partitions.record("rec_sln_demo_behavior_table_v1", DS)
    assert figures.get("table", "behavior", "rows")[3:] == (record["rows"], record["rows"])


def test_a_second_run_gives_the_same_rows_and_touches_no_other_day(imported):
    solution = load_solution(imported)
    run_node(solution, "diagnostics", [FIRST, DS])
    table = solution.table("diagnostics")
    first = {ds: partitions.record(table, ds)["content"] for ds in (FIRST, DS)}
    run_node(solution, "diagnostics", [DS])
    assert {ds: partitions.record(table, ds)["content"] for ds in (FIRST, DS)} == first
    assert partitions.present_days(table) == [FIRST, DS]
    assert data_of(solution, FIRST).get("cold", "user", "new_share") is None  # nothing before the first day


def test_events_alone_are_enough(imported, tmp_path):
    raw = yaml.safe_load(imported.read_text()) | {"scenario": "events_only"}
    del raw["tables"]["user"], raw["tables"]["item"]
    file = tmp_path / "events_only.yaml"
    file.write_text(yaml.safe_dump(raw))
    solution = load_solution(file)
    run_node(solution, "diagnostics", [DS])
    figures = data_of(solution, DS)
    assert figures.get("table", "user", "rows") is None and not figures.has("join")
    assert figures.value("head", "item", "top_50_percent") > 0.5


def test_a_day_without_behavior_is_named(imported):
    with pytest.raises(MissingPartition, match="rec_sln_demo_behavior_table_v1 has no partition ds=20261125"):
        run_node(load_solution(imported), "diagnostics", ["20261125"])
