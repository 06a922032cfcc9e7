import json

import pytest

from jobs.lib import contracts, partitions
from jobs.lib.contracts import Contract
from jobs.lib.errors import ContractError, MissingPartition, QualityError
from jobs.lib.tables import present_days, read_days, read_present, table_path, write_days

SCORES = Contract.model_validate(
    {
        "table": "scores",
        "comment": "one row per item",
        "owner": "tests",
        "grain": ["item_id"],
        "columns": [
            {"name": "item_id", "type": "string", "comment": "item"},
            {"name": "score", "type": "double", "comment": "score"},
            {"pattern": "item__[a-z]+", "type": "double", "comment": "a family"},
        ],
        "checks": [
            {"name": "key_unique", "kind": "unique", "columns": ["item_id"], "severity": "fail"},
            {"name": "id_given", "kind": "not_null", "columns": ["item_id"], "severity": "fail"},
            {"name": "score_range", "kind": "range", "column": "score", "min": 0, "max": 10, "severity": "fail"},
            {"name": "id_form", "kind": "regex", "column": "item_id", "pattern": "[a-z]+", "severity": "fail"},
            {
                "name": "id_known",
                "kind": "allowed_values",
                "column": "item_id",
                "values": ["a", "b", "c"],
                "severity": "fail",
            },
            {
                "name": "not_a_low",
                "kind": "expression",
                "expression": "item_id <> 'a' or score > 1",
                "severity": "fail",
            },
            {"name": "some_rows", "kind": "row_count", "min": 1, "severity": "warn"},
        ],
    }
)
DAY = "20261121"


@pytest.fixture(autouse=True)
def scores_contract(monkeypatch, warehouse):
    monkeypatch.setattr(contracts, "load_contract", lambda name: SCORES)
    monkeypatch.setattr("jobs.lib.tables.load_contract", lambda name: SCORES)


@pytest.fixture
def rows(spark):
    def make(*values, ds=DAY):
        return spark.createDataFrame([(*v, ds) for v in values], "item_id string, score double, ds string")

    return make


def content(table, days):
    return sorted(tuple(row) for row in read_days(table, days).select("ds", "item_id", "score").collect())


def test_a_write_replaces_exactly_its_day_and_leaves_the_others_as_they_were(rows):
    write_days(rows(("a", 2.0), ds="20261120"), "t", ["20261120"], "scores")
    before = partitions.record("t", "20261120")
    write_days(rows(("a", 2.0), ("b", 3.0)), "t", [DAY], "scores")
    write_days(rows(("c", 4.0)), "t", [DAY], "scores")
    assert content("t", ["20261120", DAY]) == [("20261120", "a", 2.0), (DAY, "c", 4.0)]
    assert partitions.record("t", "20261120") == before
    assert partitions.present_days("t") == ["20261120", DAY]


def test_an_empty_rerun_empties_the_partition_and_it_still_counts_as_present(rows):
    write_days(rows(("a", 2.0)), "t", [DAY], "scores")
    write_days(rows(("a", 2.0)).limit(0), "t", [DAY], "scores")
    assert content("t", [DAY]) == []
    assert partitions.record("t", DAY)["rows"] == 0
    assert present_days("t", [DAY, "20261122"]) == [DAY]


def test_a_range_is_one_commit_and_a_day_without_rows_is_an_empty_partition(rows):
    both = rows(("a", 2.0), ds="20261119").union(rows(("b", 3.0)))
    assert write_days(both, "t", ["20261119", "20261120", DAY], "scores") == {"20261119": 1, "20261120": 0, DAY: 1}
    log = sorted(file.name for file in (__import__("pathlib").Path(table_path("t")) / "_delta_log").glob("*.json"))
    assert log == ["00000000000000000000.json"]


def test_the_record_has_the_same_content_hash_for_the_same_rows_in_any_order(rows):
    write_days(rows(("a", 2.0), ("b", 3.0)), "t", [DAY], "scores")
    first = partitions.record("t", DAY)
    write_days(rows(("b", 3.0), ("a", 2.0)).repartition(3), "t", [DAY], "scores")
    assert partitions.record("t", DAY) == first
    write_days(rows(("b", 3.0), ("a", 2.5)), "t", [DAY], "scores")
    assert partitions.record("t", DAY)["content"] != first["content"]


def test_a_missing_partition_is_named_with_table_and_ds(rows):
    with pytest.raises(MissingPartition, match="t has no partition ds=20261121"):
        read_days("t", [DAY])
    write_days(rows(("a", 2.0)), "t", [DAY], "scores")
    with pytest.raises(MissingPartition, match="t has no partition ds=20261122"):
        read_days("t", [DAY, "20261122"])
    assert read_present("t", [DAY, "20261122"]).count() == 1


BROKEN = [
    ("key_unique", [("a", 2.0), ("a", 3.0)]),
    ("id_given", [(None, 2.0)]),
    ("score_range", [("a", 11.0)]),
    ("score_range", [("a", float("nan"))]),
    ("id_form", [("A1", 2.0)]),
    ("id_known", [("d", 2.0)]),
    ("not_a_low", [("a", 0.5)]),
]


@pytest.mark.parametrize(("check", "bad"), BROKEN)
def test_each_failed_check_is_named_and_nothing_is_written(rows, check, bad):
    write_days(rows(("b", 1.0)), "t", [DAY], "scores")
    with pytest.raises(QualityError, match=f"t was not written: .*ds=20261121 check {check} "):
        write_days(rows(*bad), "t", [DAY], "scores")
    assert content("t", [DAY]) == [(DAY, "b", 1.0)]


def test_a_warning_is_recorded_and_blocks_nothing(rows, caplog):
    write_days(rows(("a", 2.0)).limit(0), "t", [DAY], "scores")
    assert "check some_rows: 0 rows" in caplog.text
    judged = {check["name"]: check["passed"] for check in partitions.record("t", DAY)["checks"]}
    assert judged["some_rows"] is False and judged["key_unique"] is True


def test_columns_that_the_contract_does_not_know_lacks_or_types_otherwise_are_named(spark):
    bad = spark.createDataFrame([("a", 1, 2, DAY)], "item_id string, score int, extra int, ds string")
    with pytest.raises(ContractError, match="column score is int, the contract says double; column extra is not in"):
        write_days(bad, "t", [DAY], "scores")
    with pytest.raises(ContractError, match="column score is missing"):
        write_days(bad.drop("score", "extra"), "t", [DAY], "scores")


def test_a_family_of_columns_is_allowed_by_pattern(rows):
    from pyspark.sql import functions as F

    write_days(rows(("a", 2.0)).withColumn("item__ctr", F.lit(0.5)), "t", [DAY], "scores")
    assert read_days("t", [DAY]).first()["item__ctr"] == 0.5


def test_rows_of_another_day_are_refused(rows):
    with pytest.raises(ContractError, match="rows of ds=20261122 among the rows for 20261121..20261121"):
        write_days(rows(("a", 2.0), ds="20261122"), "t", [DAY], "scores")


def test_records_are_readable_json(rows, warehouse):
    write_days(rows(("a", 2.0)), "t", [DAY], "scores")
    file = warehouse / "warehouse" / "dev" / "_partitions" / "t" / f"{DAY}.json"
    assert json.loads(file.read_text())["rows"] == 1


def test_a_write_that_dies_between_commit_and_record_counts_as_never_made(rows, monkeypatch):
    write_days(rows(("a", 2.0)), "t", [DAY], "scores")
    with monkeypatch.context() as patched:
        patched.setattr(partitions, "write_record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            write_days(rows(("b", 3.0)), "t", [DAY], "scores")
        with pytest.raises(KeyboardInterrupt):
            write_days(rows(("b", 3.0)), "new", [DAY], "scores")
    assert partitions.present_days("t") == [] == partitions.present_days("new")
    write_days(rows(("b", 3.0)), "t", [DAY], "scores")
    assert content("t", [DAY]) == [(DAY, "b", 3.0)]
