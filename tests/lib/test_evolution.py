"""What may change in the columns of a table that has days."""

import pytest

from jobs.lib import partitions
from jobs.lib.contracts import Contract
from jobs.lib.errors import ContractError
from jobs.lib.evolution import refuse_incompatible
from jobs.lib.tables import read_days, write_days

DAY = "20261121"


def contract(**columns):
    """Column -> type; a `?` is an optional one. The family item__* is always there."""
    specs = [{"name": c, "type": t.strip("?"), "comment": ".", "optional": t.endswith("?")} for c, t in columns.items()]
    family = {"pattern": "item__[a-z]+", "type": "double|string", "comment": "."}
    about = {"table": "scores", "comment": ".", "owner": "tests", "grain": ["item"], "columns": [*specs, family]}
    return Contract.model_validate(about)


NOW = contract(item="string", score="double", note="string?", extra="double?")
BEFORE = {"item": "string", "score": "double", "note": "string", "item__ctr": "double", "ds": "string"}


def without(column, **added):
    return {name: kind for name, kind in BEFORE.items() if name != column} | added


@pytest.mark.parametrize(
    "now", [BEFORE, BEFORE | {"extra": "double", "item__new": "string"}, without("note"), without("item__ctr")]
)
def test_columns_may_be_added_and_optional_ones_and_families_may_go(now):
    refuse_incompatible("t", NOW, BEFORE, now, "where")


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (without("score"), "column score is in the table and not in the rows: keep it"),
        (without("score", points="double"), r"column score is in .* \(renamed to points\?\): keep it"),
        (
            BEFORE | {"score": "bigint"},
            "column score is double in the table and bigint in the rows: add it under a new",
        ),
        (BEFORE | {"item__ctr": "string"}, "column item__ctr is double in the table and string in the rows"),
    ],
)
def test_what_readers_could_not_read_any_more_is_refused_with_what_to_do(now, message):
    with pytest.raises(ContractError, match=f"t cannot change like this: {message}.* or remove where and its records"):
        refuse_incompatible("t", NOW, BEFORE, now, "where")


def test_a_table_keeps_its_columns_until_all_its_days_are_forgotten(spark, warehouse, monkeypatch):
    def write(ds, promised, columns, *rows):
        monkeypatch.setattr("jobs.lib.tables.load_contract", lambda name: promised)
        write_days(spark.createDataFrame([(*row, ds) for row in rows], f"{columns}, ds string"), "t", [ds], "scores")

    write("20261120", contract(item="string", score="double"), "item string, score double", ("a", 1.0))
    write(
        DAY, contract(item="string", score="double", extra="int"), "item string, score double, extra int", ("b", 2.0, 3)
    )
    found = read_days("t", ["20261120", DAY]).orderBy("ds").collect()
    assert [(row["item"], row["extra"]) for row in found] == [("a", None), ("b", 3)]
    retyped = contract(item="string", score="bigint")
    with pytest.raises(ContractError, match="t cannot change like this: column score .*; column extra "):
        write(DAY, retyped, "item string, score bigint", ("b", 2))
    assert [row["score"] for row in read_days("t", [DAY]).collect()] == [2.0]
    partitions.forget("t")
    write(DAY, retyped, "item string, score bigint", ("b", 2))
    assert [row.asDict() for row in read_days("t", [DAY]).collect()] == [{"item": "b", "score": 2, "ds": DAY}]
