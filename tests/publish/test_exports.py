"""Parts: which rows go where, and that their bytes follow from the rows alone."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.lib.object_store import open_store
from jobs.publish import exports, formats
from jobs.publish.exports import write_parts
from jobs.publish.formats import Lists, Pairec, ParquetFile, Rows

PAIRS = [(f"t{n % 7}", f"i{n}", n / 8, n) for n in range(40)]
FORMS = {"long": Rows(), "pairec": Pairec("trigger_item_id", ("item_id", "similar_item_ids"), None)}


@pytest.fixture
def pairs(spark):
    return spark.createDataFrame(PAIRS, "trigger_item_id string, item_id string, score double, rank int")


def write(rows, root, count=40):
    return write_parts(rows, ["trigger_item_id", "rank", "item_id"], count, FORMS, f"file://{root}")


def test_parts_follow_from_the_recorded_count_and_hold_whole_keys(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "ROWS_PER_PART", 8)
    entries = write(pairs, tmp_path)
    assert [e.key for e in entries[:5]] == [f"long/part-0000{n}.parquet" for n in range(5)]
    read = [pq.read_table(tmp_path / e.key).to_pylist() for e in entries[:5]]
    assert [len(rows) for rows in read] == [e.rows for e in entries[:5]]
    assert sorted(tuple(row.values()) for rows in read for row in rows) == sorted(PAIRS)
    triggers = [{row["trigger_item_id"] for row in rows} for rows in read]
    assert sum(map(len, triggers)) == 7
    for rows in read:
        assert rows == sorted(rows, key=lambda row: (row["trigger_item_id"], row["rank"]))
    assert sum(e.rows for e in entries[5:]) == 7


def test_the_same_rows_are_the_same_bytes_however_they_are_spread(pairs, spark, tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "ROWS_PER_PART", 8)
    assert write(pairs.repartition(3), tmp_path / "a") == write(pairs.coalesce(1), tmp_path / "b")


def test_a_part_that_draws_no_rows_is_a_file_without_rows(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "ROWS_PER_PART", 2)
    entries = write(pairs, tmp_path)
    assert len(entries) == 40
    empty = [e for e in entries if e.rows == 0]
    assert len(empty) >= 26
    assert {pq.read_table(tmp_path / e.key).num_rows for e in empty} == {0}
    assert sorted(open_store(str(tmp_path)).list()) == sorted(e.key for e in entries)


def test_no_rows_at_all_are_one_empty_file(pairs, tmp_path):
    (long, pairec) = write(pairs.limit(0), tmp_path, 0)
    assert (long.rows, pairec.rows) == (0, 0)
    assert pq.read_schema(tmp_path / long.key).names == ["trigger_item_id", "item_id", "score", "rank"]


def test_executors_write_to_object_storage(pairs, store_url, executors_reach):
    executors_reach()
    entries = write_parts(pairs, ["trigger_item_id", "rank", "item_id"], 40, FORMS, f"{store_url}/staging")
    assert open_store(store_url).list() == sorted(f"staging/{e.key}" for e in entries)


def test_row_groups_are_full_whatever_the_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "ROW_GROUP_ROWS", 100)
    rows = pa.record_batch({"item_id": [f"i{n}" for n in range(250)], "score": [n / 3 for n in range(250)]})
    schema = formats.plain_schema((field.name, field.type) for field in rows.schema)
    files = []
    for step in (1, 7, 250):
        file = ParquetFile(tmp_path / f"{step}", schema)
        for start in range(0, 250, step):
            file.write(rows.slice(start, step))
        file.close()
        files.append((tmp_path / f"{step}").read_bytes())
    assert files[0] == files[1] == files[2]
    about = pq.ParquetFile(io.BytesIO(files[0])).metadata
    assert [about.row_group(n).num_rows for n in range(about.num_row_groups)] == [100, 100, 50]
    assert about.metadata is None


def test_keys_stay_together_across_batches_and_separators_are_left_out(tmp_path):
    file = Pairec("user_id", ("user_id", "item_ids"), "u2i").open(tmp_path / "x", pa.schema([]))
    rows = [("a", "1", 0.5), ("a", "2:3", 0.4), ("a", "4", 1e-05), ("b", "5,6", 0.3), ("c", "7", 2.0)]
    for row in rows:
        file.write(pa.record_batch([[value] for value in row], ["user_id", "item_id", "score"]))
    file.close()
    assert pq.read_table(tmp_path / "x").to_pylist() == [
        {"user_id": "a", "item_ids": "1:u2i:0.5,4:u2i:1e-05"},
        {"user_id": "c", "item_ids": "7:u2i:2.0"},
    ]
    assert file.rows == 2


def test_a_score_that_no_json_reader_takes_is_refused(tmp_path):
    file = Lists().open(tmp_path / "x", pa.schema([]))
    file.write(pa.record_batch([["a"], ["1"], [float("nan")]], ["user_id", "item_id", "score"]))
    with pytest.raises(ValueError):
        file.close()
