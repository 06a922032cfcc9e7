"""Input partitions that are corrupt, missing, empty or of another schema: one line says where, and nothing changes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from jobs.flow import backfill
from jobs.flow.plan import Request
from jobs.flow.running import run_node
from jobs.lib import cli, partitions, tables
from jobs.lib.days import day_range
from jobs.lib.errors import QualityError
from jobs.lib.settings import settings
from jobs.lib.solution import load_solution
from tests.faults.world import FIRST, LAST, SOLUTION, differences, published_problems, seen

ITEMS = "rec_sln_demo_item_table_v1"
BEHAVIOR = "rec_sln_demo_behavior_table_v1"


def data_file(table, ds):
    [file] = (Path(settings().warehouse_root) / table / f"ds={ds}").glob("*.parquet")
    return file


def garbage(file):
    file.write_bytes(b"garbage" * 1000)


def cut(file):
    file.write_bytes(file.read_bytes()[:-100])


def emptied(file):
    file.write_bytes(b"")


def gone(file):
    file.unlink()


def told(arguments, capfd):
    """The error that the command shows: one line."""
    assert cli.main(arguments) == 1
    shown = capfd.readouterr().err
    assert "Traceback" not in shown and "\tat org." not in shown
    [line] = [line for line in shown.splitlines() if line.startswith("recflow: error: ")]
    return line.removeprefix("recflow: error: ")


@pytest.mark.parametrize("spoil", [garbage, cut, emptied, gone])
def test_a_corrupt_file_is_named_with_node_and_ds_in_one_line(day, solution, capfd, spoil):
    before, file = seen(), data_file(BEHAVIOR, LAST)
    kept = file.read_bytes()
    spoil(file)
    line = told(["run", "actions_daily", "--ds", LAST, "--solution", str(SOLUTION)], capfd)
    assert line.startswith(f"home_page_actions_daily ds={LAST}: ") and file.name in line
    failed = f"_runs/home_page_actions_daily/{LAST}.json"
    after = seen()
    assert differences(before, after) == {failed} and after.kept[failed]["error"] == line
    file.write_bytes(kept)
    run_node(solution, "actions_daily", [LAST])
    assert ("home_page_actions_daily", LAST) in seen().rows


def test_a_corrupt_file_that_is_read_without_spark_is_named_too(history, capfd):
    before, file = seen(), data_file("home_page_evaluation", LAST)
    garbage(file)
    line = told(["run", "publish", "--ds", LAST, "--solution", str(SOLUTION)], capfd)
    assert f"ds={LAST}" in line and file.name in line and "home_page_" in line
    changed = {key for key in differences(before, seen()) if not key.startswith("_staging/")}
    assert changed == {f"_runs/home_page_publish/{LAST}.json"} and published_problems() == []


def test_a_corrupt_log_is_named(day, capfd):
    [log] = (Path(settings().warehouse_root) / BEHAVIOR / "_delta_log").glob("*.json")
    log.write_text("{no json")
    line = told(["run", "actions_daily", "--ds", LAST, "--solution", str(SOLUTION)], capfd)
    assert BEHAVIOR in line and "Delta log cannot be read" in line


def test_a_missing_partition_is_named_and_is_no_failure(day, capfd):
    before = seen()
    partitions.forget(BEHAVIOR, [LAST])
    line = told(["run", "actions_daily", "--ds", LAST, "--solution", str(SOLUTION)], capfd)
    assert line == f"{BEHAVIOR} has no partition ds={LAST} (needed by home_page_actions_daily)"
    assert differences(before, seen()) == {f"_partitions/{BEHAVIOR}/{LAST}.json", str((BEHAVIOR, LAST))}


def test_an_empty_snapshot_is_refused_at_the_door(day, solution):
    before = seen()
    nothing = tables.read_days(solution.tables.item, [LAST]).where("false")
    with pytest.raises(QualityError, match=f"{ITEMS} was not written: ds={LAST} check not_empty .*0 rows"):
        tables.write_days(nothing, ITEMS, [LAST], ITEMS)
    assert differences(before, seen()) == {f"_quality/{LAST}/{ITEMS}/{ITEMS}.json"}


def test_a_day_without_events_is_told_and_its_lists_are_made_all_the_same(history, solution, caplog):
    nothing = tables.read_days(solution.tables.behavior, [LAST]).where("false")
    tables.write_days(nothing, BEHAVIOR, [LAST], BEHAVIOR)
    backfill.run(solution, Request(FIRST, LAST))
    assert f"{BEHAVIOR} ds={LAST}: check day_has_events: 0 rows (red)" in caplog.text
    assert published_problems() == [] and seen().published.keys() != history.published.keys()


@pytest.fixture
def of_others(day, tmp_path):
    """The same behaviors as a Parquet folder that another system fills, and a solution that reads it in place."""
    folder = tmp_path / "of others"
    for ds in day_range(FIRST, LAST):
        part = folder / f"dt={ds}" / "part-0.parquet"
        part.parent.mkdir(parents=True)
        pq.write_table(partitions.read_arrow(BEHAVIOR, ds, None).drop_columns("ds"), part)
    shutil.rmtree(Path(settings().warehouse_root) / BEHAVIOR)
    partitions.forget(BEHAVIOR)
    raw = yaml.safe_load(SOLUTION.read_text())
    source = {"path": str(folder), "format": "parquet", "day": {"column": "dt"}}
    raw["tables"]["behavior"] |= {"table": "their_events", "source": source}
    file = tmp_path / "theirs.yaml"
    file.write_text(yaml.safe_dump(raw))
    return file, folder / f"dt={LAST}" / "part-0.parquet"


def without_item_id(file):
    pq.write_table(pq.read_table(file).drop_columns("item_id"), file)


def item_id_a_number(file):
    rows = pq.read_table(file)
    numbers = pc.cast(rows["item_id"], pa.int64())
    pq.write_table(rows.set_column(rows.schema.get_field_index("item_id"), "item_id", numbers), file)


def times_as_words(file):
    rows = pq.read_table(file)
    words = pa.array(["yesterday"] * len(rows))
    pq.write_table(rows.set_column(rows.schema.get_field_index("event_time"), "event_time", words), file)


THEIRS = [
    (garbage, "part-0.parquet"),
    (emptied, "their_events ds=.*part-0.parquet is empty"),
    (gone, f"their_events has no partition ds={LAST}"),
    (without_item_id, "their_events is not fit to be read: .*keys_are_there"),
    (item_id_a_number, r"part-0.parquet.*\[item_id\]"),
    (times_as_words, r"part-0.parquet.*\[event_time\]"),
]


@pytest.mark.parametrize("spoil, expected", THEIRS)
def test_a_spoiled_partition_of_another_system_stops_at_the_first_node_that_reads_it(of_others, capfd, spoil, expected):
    file, partition = of_others
    for node in ("input_checks", "actions_daily"):
        run_node(load_solution(file), node, day_range(FIRST, "20261104"))
    before, kept = seen(), partition.read_bytes()
    spoil(partition)
    line = told(["run", "input_checks", "--ds", LAST, "--solution", str(file)], capfd)
    assert re.search(expected, line) and LAST in line, line
    changed = differences(before, seen())
    assert all(key.startswith((f"_quality/{LAST}/", f"_runs/home_page_input_checks/{LAST}")) for key in changed)

    partition.write_bytes(kept)
    for node in ("input_checks", "actions_daily"):
        run_node(load_solution(file), node, [LAST])


def test_a_column_that_their_table_lost_is_named(of_others, capfd):
    file, partition = of_others
    for part in partition.parent.parent.glob("*/*.parquet"):
        without_item_id(part)
    line = told(["run", "input_checks", "--ds", LAST, "--solution", str(file)], capfd)
    assert line.startswith(f"their_events ds={LAST}: no column 'item_id'; there are: ")
