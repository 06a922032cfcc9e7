"""Tables of other systems, read where they are: which days are there, and the rows of a day."""

import datetime as dt

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.lib import partitions
from jobs.lib.errors import ContractError, MissingPartition, RecflowError
from jobs.lib.input_tables import TableConfig
from jobs.lib.tables import read_days, read_snapshot, read_snapshots

ROLES = {"user_id": "uid", "item_id": "sku", "event": "what", "event_time": "at"}
MIDNIGHT = 1712937600  # 13 April 2024 in Shanghai
DAYS = [dt.date(2024, 4, 12), dt.date(2024, 4, 13), dt.date(2024, 4, 13)]


def config(path, **source):
    source = {"path": str(path), "timezone": "Asia/Shanghai", **source}
    return TableConfig.model_validate({"table": "dw_events", "roles": ROLES, "source": source})


def log(**more):
    at = [MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + 86_399]
    return pa.table({"uid": ["u1", "u2", "u3"], "sku": ["a", "b", "c"], "what": ["view"] * 3, "at": at, **more})


def users(table, days):
    return sorted((row.uid, row.ds) for row in read_days(table, days).select("uid", "ds").collect())


DAY_COLUMNS = [
    (pa.array(DAYS), {}),
    (pa.array([f"{day:%Y%m%d}" for day in DAYS]), {}),
    (pa.array([int(f"{day:%Y%m%d}") for day in DAYS]), {}),
    (pa.array([f"{day:%Y-%m-%d}" for day in DAYS]), {"format": "%Y-%m-%d"}),
    (pa.array([f"{day:%d/%m/%Y}" for day in DAYS]), {"format": "%d/%m/%Y"}),
]


@pytest.mark.parametrize("values, written", DAY_COLUMNS, ids=["date", "text", "number", "iso", "slashes"])
def test_a_delta_table_partitioned_by_a_date_column(spark, warehouse, tmp_path, values, written):
    deltalake.write_deltalake(tmp_path / "dw", log(dt=values), partition_by=["dt"])
    table = config(tmp_path / "dw", day={"column": "dt", **written})
    assert partitions.present_days(table) == ["20240412", "20240413"]
    assert users(table, ["20240413"]) == [("u2", "20240413"), ("u3", "20240413")]
    assert users(table, ["20240412", "20240413"])[0] == ("u1", "20240412")
    with pytest.raises(MissingPartition, match="dw_events has no partition ds=20240414"):
        read_days(table, ["20240414"])


def test_a_date_column_that_the_table_is_not_partitioned_by(spark, warehouse, tmp_path):
    deltalake.write_deltalake(tmp_path / "dw", log(dt=pa.array(DAYS)))
    table = config(tmp_path / "dw", day={"column": "dt"})
    assert partitions.present_days(table) == ["20240412", "20240413"] and users(table, ["20240412"]) == [
        ("u1", "20240412")
    ]


def test_folders_of_year_month_and_day(spark, warehouse, tmp_path):
    rows = log()
    for n, day in enumerate(DAYS):
        folder = tmp_path / "dw" / f"year={day.year}" / f"month={day.month:02d}" / f"day={day.day:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows.slice(n, 1), folder / f"{n}.parquet")
    table = config(tmp_path / "dw", format="parquet", day={"column": ["year", "month", "day"]})
    assert partitions.present_days(table) == ["20240412", "20240413"]
    assert users(table, ["20240413"]) == [("u2", "20240413"), ("u3", "20240413")]


def test_a_parquet_partition_is_there_when_its_mark_is(spark, warehouse, tmp_path):
    for n, day in enumerate(DAYS[:2]):
        folder = tmp_path / "dw" / f"dt={day}"
        folder.mkdir(parents=True)
        pq.write_table(log().slice(n, 1), folder / "0.parquet")
    day = {"column": "dt", "format": "%Y-%m-%d"}
    (tmp_path / "dw" / "dt=2024-04-12" / "_SUCCESS").write_text("")
    assert partitions.present_days(config(tmp_path / "dw", format="parquet", day=day)) == ["20240412", "20240413"]
    marked = config(tmp_path / "dw", format="parquet", day=day, done_file="_SUCCESS")
    assert partitions.present_days(marked) == ["20240412"] and users(marked, ["20240412"]) == [("u1", "20240412")]


@pytest.mark.parametrize("write", ["delta", "parquet"])
@pytest.mark.parametrize(
    "times, time_format",
    [
        (lambda at: pa.array(at), "unix_s"),
        (lambda at: pa.array([1000 * t for t in at]), "unix_ms"),
        (lambda at: pa.array([1_000_000 * t for t in at], pa.timestamp("us", "UTC")), "unix_s"),
        (lambda at: pa.array([dt.datetime.fromtimestamp(t, dt.UTC).isoformat() for t in at]), "iso"),
    ],
    ids=["s", "ms", "timestamp", "iso"],
)
def test_an_undated_log_is_told_apart_by_its_event_times(spark, warehouse, tmp_path, write, times, time_format):
    rows = log()
    rows = rows.set_column(3, "at", times(rows["at"].to_pylist()))
    if write == "delta":
        deltalake.write_deltalake(tmp_path / "dw", rows)
    else:
        (tmp_path / "dw").mkdir()
        pq.write_table(rows, tmp_path / "dw" / "0.parquet")
    source = {"format": write, "time_format": time_format}
    # The 13th may still grow: it is there when an event of a later day is, or when it is said to be whole.
    assert partitions.present_days(config(tmp_path / "dw", **source)) == ["20240412"]
    whole = config(tmp_path / "dw", through="20240413", **source)
    assert partitions.present_days(whole) == ["20240412", "20240413"]
    assert users(whole, ["20240412", "20240413"]) == [("u1", "20240412"), ("u2", "20240413"), ("u3", "20240413")]


def test_an_undated_snapshot_serves_the_days_from_its_own(spark, warehouse, tmp_path):
    deltalake.write_deltalake(tmp_path / "dw", pa.table({"sku": ["a"], "price": [1.0]}))
    source = {"path": str(tmp_path / "dw"), "as_of": "20240412"}
    table = TableConfig.model_validate(
        {"table": "dw_items", "roles": {"item_id": "sku"}, "source": source, "snapshot": "once", "max_age_days": 2}
    )
    assert [row.ds for row in read_snapshot(table, "20240414").collect()] == ["20240414"]
    assert "ds" not in read_snapshots(table, ["20240413", "20240414"]).columns
    for ds in ("20240411", "20240415"):
        with pytest.raises(MissingPartition, match=f"dw_items has no snapshot of ds={ds} or before, at most 2"):
            read_snapshots(table, [ds])


def test_what_is_not_there_is_told(spark, warehouse, tmp_path):
    with pytest.raises(MissingPartition, match="dw_events: there is no delta table at .*/dw"):
        partitions.present_days(config(tmp_path / "dw"))
    with pytest.raises(MissingPartition, match="dw_events: there is no parquet table at .*/dw"):
        partitions.present_days(config(tmp_path / "dw", format="parquet"))
    deltalake.write_deltalake(tmp_path / "dw", log().drop(["at"]))
    with pytest.raises(RecflowError, match="dw_events: which days are there cannot be told: at has no"):
        partitions.present_days(config(tmp_path / "dw"))


def test_a_corrupt_day_is_no_day(spark, warehouse, tmp_path):
    deltalake.write_deltalake(tmp_path / "dw", log(dt=["20240412", "oops", None]), partition_by=["dt"])
    assert partitions.present_days(config(tmp_path / "dw", day={"column": "dt"})) == ["20240412"]


def test_files_that_each_hold_a_day_make_no_days_between_them(spark, warehouse, tmp_path):
    for row, day in ((0, dt.date(2024, 4, 12)), (1, dt.date(2024, 4, 14))):
        deltalake.write_deltalake(tmp_path / "dw", log(dt=pa.array([day] * 3)).slice(row, 1), mode="append")
    assert partitions.present_days(config(tmp_path / "dw", day={"column": "dt"})) == ["20240412", "20240414"]


def test_text_that_does_not_sort_by_day_tells_no_range(spark, warehouse, tmp_path):
    deltalake.write_deltalake(tmp_path / "dw", log(dt=["26/10/2024", "01/11/2024", "10/11/2024"]))
    with pytest.raises(RecflowError, match="dt as %d/%m/%Y does not sort"):
        partitions.present_days(config(tmp_path / "dw", day={"column": "dt", "format": "%d/%m/%Y"}))


@pytest.mark.parametrize("value", [0, 1712937599000])
def test_a_time_that_is_none_makes_no_days(spark, warehouse, tmp_path, value):
    rows = log()
    deltalake.write_deltalake(tmp_path / "dw", rows.set_column(3, "at", pa.array([value, MIDNIGHT, MIDNIGHT])))
    with pytest.raises(RecflowError, match=f"dw_events: at holds {value}, which as unix_s is no time"):
        partitions.present_days(config(tmp_path / "dw"))


def test_a_role_without_its_column_is_told(spark, warehouse, tmp_path):
    deltalake.write_deltalake(
        tmp_path / "dw", log(dt=pa.array(DAYS)).rename_columns(["user", "sku", "what", "at", "dt"])
    )
    with pytest.raises(ContractError, match="dw_events ds=.*: no column 'uid'; there are: user, sku, what, at, dt"):
        read_days(config(tmp_path / "dw", day={"column": "dt"}), ["20240412"])
