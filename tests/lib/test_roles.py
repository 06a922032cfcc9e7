import pytest

from jobs.lib import roles
from jobs.lib.errors import ContractError
from jobs.lib.solution import load_solution

DAY = "20261121"
BEHAVIOR = (
    "request_id string, user_id string, exp_id string, page string, net_type string, event_time bigint, "
    "item_id bigint, event string, playtime double, ds string"
)


def behavior(spark, *rows):
    return spark.createDataFrame([(*row, DAY) for row in rows], BEHAVIOR)


def test_ids_become_strings_and_exact_duplicates_count_once(spark):
    click = ("r1", "u1", "e", "home", "wifi", 1000, 7, "click", 2.5)
    events = roles.events(behavior(spark, click, click), load_solution())
    assert [tuple(row) for row in events.collect()] == [(DAY, "r1", "u1", "7", "click", 1000, 2.5, "home", "wifi")]


def test_scenes_and_events_that_do_not_count_are_left_out(spark):
    kept = ("r1", "u1", "e", "detail", "wifi", 1000, 7, "expr", 0.0)
    other_scene = ("r2", "u1", "e", "search", "wifi", 1000, 7, "expr", 0.0)
    other_event = ("r3", "u1", "e", "home", "wifi", 1000, 7, "share", 0.0)
    no_scene = ("r4", "u1", "e", None, "wifi", 1000, 7, "expr", 0.0)
    events = roles.events(behavior(spark, kept, other_scene, other_event, no_scene), load_solution())
    assert [row["request_id"] for row in events.collect()] == ["r1"]


def test_rows_without_user_or_item_are_left_out(spark):
    rows = behavior(
        spark,
        ("r1", None, "e", "home", "wifi", 1000, 7, "expr", 0.0),
        ("r2", "u1", "e", "home", "wifi", 1000, None, "expr", 0.0),
    )
    assert roles.events(rows, load_solution()).count() == 0


def test_an_item_snapshot_has_the_same_columns_whatever_the_table_calls_them(spark):
    shop = spark.createDataFrame([(5, "red", 9, DAY)], "sku bigint, colour string, price int, ds string")
    solution = load_solution()
    config = solution.tables.item.model_copy(
        update={
            "roles": solution.tables.item.roles.model_copy(
                update={
                    "item_id": "sku", "title": None, "author": None, "listing_time": None,
                    "categorical": ["colour"], "numerical": ["price"],
                }
            )
        }
    )  # fmt: skip
    tables = solution.tables.model_copy(update={"item": config})
    found = roles.items(shop, solution.model_copy(update={"tables": tables})).first().asDict()
    assert found == {
        "ds": DAY, "item_id": "5", "title": None, "author": None, "listing_time": None, "tags": None,
        "colour": "red", "price": 9.0,
    }  # fmt: skip


def test_local_time_is_that_of_the_solution_and_not_of_the_machine(spark):
    from pyspark.sql import functions as F

    midnight_in_shanghai = 1795190400  # 2026-11-20 16:00:00 UTC
    shown = spark.range(1).select(
        F.date_format(roles.local_time(F.lit(midnight_in_shanghai), load_solution()), "yyyyMMdd HH:mm").alias("t")
    )
    assert shown.first()["t"] == "20261121 00:00"


def test_ids_of_a_fractional_column_are_written_as_whole_numbers(spark):
    from pyspark.sql import functions as F

    rows = spark.createDataFrame([(7.0, "7"), (7.5, "x")], "d double, s string").withColumn("n", F.array("s"))
    ids = rows.select(roles._id(rows, "d").alias("d"), roles._id(rows, "s").alias("s"))
    assert [tuple(row) for row in ids.collect()] == [("7", "7"), ("7.5", "x")]
    with pytest.raises(ContractError, match="column n is array<string>: an id is text or a number"):
        roles._id(rows, "n")
