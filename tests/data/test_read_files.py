"""Every kind of file ends in the same rows."""

import gzip

import boto3
import deltalake
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.data import split_files
from jobs.data.import_stage import Block, Import, Tally, stage
from jobs.data.registration import load_registration
from jobs.data.source_files import listed
from jobs.lib.errors import RecflowError
from tests.data.imports import GOOD, HEADER, LOG, events, read, registration
from tests.lib.stores import bucket, s3_server  # noqa: F401 - fixtures

ROWS = HEADER + "u1,a,view,1712937599,,North\nu2,b,buy,1712937600,9.5,\n"
EXPECTED = [("u1", "a", "click", 1712937599, None, "North"), ("u2", "b", "purchase", 1712937600, 9.5, None)]
COLUMNS = ("user_id", "item_id", "event", "event_time", "value", "shop")
FRAME = {
    "uid": ["u1", "u2"],
    "sku": ["a", "b"],
    "what": ["view", "buy"],
    "at": [1712937599, 1712937600],
    "paid": [None, 9.5],
    "Shop Name": ["North", None],
}
JSON = (
    '{"uid":"u1","sku":"a","what":"view","at":1712937599,"Shop Name":" North "}\n'
    '\n{"uid":"u2","sku":"b","what":"buy","at":1712937600,"paid":9.5}\n'
)


def rows_of(folder, behavior):
    rows, _ = events(folder, registration(behavior))
    return sorted(rows.select(COLUMNS).rows())


@pytest.mark.parametrize(
    "name, text, changes",
    [
        ("log.csv", ROWS, {}),
        ("log.csv.gz", ROWS, {}),
        ("log.tsv", ROWS.replace(",", "\t"), {}),
        ("log.txt", ROWS.replace(",", "|"), {"delimiter": "|"}),
        ("log.jsonl", JSON, {}),
        ("log.ndjson.gz", JSON, {}),
    ],
)
def test_text_files(tmp_path, name, text, changes):
    # Compressed here: gzip's header tells the second, and both test processes must give a test the same name.
    content = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
    (tmp_path / name).write_bytes(content)
    assert rows_of(tmp_path, {**LOG, "file": name, **changes}) == EXPECTED


@pytest.mark.parametrize(
    "time, time_format",
    [
        (pa.array([1712937599, 1712937600], pa.int32()), "unix_s"),
        (pa.array([1712937599.9, 1712937600.0]), "unix_s"),
        (pa.array([1712937599123, 1712937600000], pa.timestamp("ms", "UTC")), "unix_s"),  # a type needs no format
        (pa.array([1712966399000000, 1712966400000000], pa.timestamp("us")), "unix_s"),  # without zone: local
    ],
)
def test_parquet(tmp_path, time, time_format):
    pq.write_table(pa.table({**FRAME, "at": time}), tmp_path / "log.parquet")
    assert rows_of(tmp_path, {**LOG, "file": "log.parquet", "time_format": time_format}) == EXPECTED


def test_ids_that_a_float_column_holds_are_whole_numbers(tmp_path):
    pq.write_table(pa.table({**FRAME, "sku": pa.array([12.0, None])}), tmp_path / "log.parquet")
    tally, _, _ = read(tmp_path, registration({**LOG, "file": "log.parquet"}))
    assert tally.reasons == {("sku", "is empty"): 1}
    rows, _ = events(tmp_path, registration({**LOG, "file": "log.parquet"}))
    assert rows["item_id"].to_list() == ["12"]


def test_a_folder_partitioned_by_day_tells_the_day(tmp_path):
    for day, row in (("2024-04-12", 0), ("2024-04-13", 1)):
        folder = tmp_path / "log" / f"dt={day}"
        folder.mkdir(parents=True)
        values = {k: [v[row]] for k, v in FRAME.items() if k != "at"}
        pq.write_table(pa.table({**values, "paid": pa.array(values["paid"], pa.float64())}), folder / "part-0.parquet")
        (folder / "_SUCCESS").write_text("")
    roles = {**LOG["roles"], "event_time": "dt"}
    behavior = {**LOG, "file": "log", "format": "parquet", "roles": roles, "time_format": "%Y-%m-%d"}
    assert [row[3] for row in rows_of(tmp_path, behavior)] == [1712851200, 1712937600]


def test_a_delta_table_as_it_is_now(tmp_path):
    path = tmp_path / "log"
    deltalake.write_deltalake(path, pa.table(FRAME), partition_by=["what"])
    deltalake.write_deltalake(path, pa.table({k: v[:1] for k, v in FRAME.items()}), mode="append")
    deltalake.DeltaTable(path).delete("sku = 'a'")
    behavior = {**LOG, "file": "log", "format": "delta"}
    assert rows_of(tmp_path, behavior) == EXPECTED[1:]


def test_several_files_are_read_in_the_order_of_their_names(tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "2.csv").write_text(HEADER + GOOD)
    (tmp_path / "part" / "1.csv").write_text("sku,uid,what,at,paid,Shop Name\nb,u9,view,1712937599,,\n")
    behavior = {**LOG, "file": "part/*.csv"}
    assert [f.name for f in listed(str(tmp_path), registration(behavior).files.behavior)] == [
        "part/1.csv",
        "part/2.csv",
    ]
    rows, (written,) = events(tmp_path, registration(behavior))
    assert rows["user_id"].to_list() == ["u9", "u1"] and written.duplicates == 0


def test_exact_duplicates_count_once_whatever_file_they_are_in(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(HEADER + GOOD + GOOD + GOOD.replace(",,\n", ",,N\n"))
    rows, (written,) = events(tmp_path, registration({**LOG, "file": "*.csv"}))
    assert (written.kept, written.duplicates) == (2, 4)
    assert sorted(rows["shop"].to_list(), key=str) == ["N", None]


@pytest.mark.parametrize(
    "time_format, text, unix",
    [
        ("unix_s", "1712937599", 1712937599),
        ("unix_s", "1712937599.7", 1712937599),
        ("unix_ms", "1712937599900", 1712937599),
        ("iso", "2024-04-12T23:59:59", 1712937599),
        ("iso", "2024-04-12 23:59:59.123", 1712937599),
        ("iso", "2024-04-12T15:59:59Z", 1712937599),
        ("iso", "2024-04-12T18:59:59+03:00", 1712937599),
        ("iso", "2024-04-12T10:29:59-0530", 1712937599),
        ("iso", "2024-04-12", 1712851200),
        ("%m/%d/%Y %I:%M:%S %p", "4/12/2024 11:59:59 PM", 1712937599),
        ("%Y-%m-%dT%H:%M:%S%z", "2024-04-12T15:59:59+0000", 1712937599),
        ("%Y-%m-%d %H:%M:%S.%f", "2024-04-12 23:59:59.5", 1712937599),
        ("%Y-%m-%d", "2024-04-12", 1712851200),
        ("%Y%m%d", "20240412", 1712851200),
    ],
)
def test_times_are_read_in_the_declared_format_and_zone(tmp_path, time_format, text, unix):
    (tmp_path / "log.csv").write_text(HEADER + f"u1,a,view,{text},,\n")
    rows, _ = events(tmp_path, registration({**LOG, "time_format": time_format}))
    assert rows["event_time"].to_list() == [unix]


def test_clock_changes(tmp_path):
    """Of 01:30, which the clock shows twice, the first is meant; 02:30 in March is on no clock."""
    lines = "u1,a,view,2024-11-03 01:30:00,,\nu1,a,view,2024-03-10 02:30:00,,\nu1,a,view,2024-03-10 03:00:00,,\n"
    (tmp_path / "log.csv").write_text(HEADER + lines)
    registered = registration({**LOG, "time_format": "iso"}, timezone="America/New_York")
    tally, blocks, _ = read(tmp_path, registered)
    assert tally.examples == {("at", "is not a time in the declared format"): [(3, "2024-03-10 02:30:00")]}
    rows, _ = events(tmp_path, registered)
    assert rows["event_time"].to_list() == [1730611800, 1710054000]
    assert sorted({b.day for b in blocks if b.table == "behavior"}) == [19792, 20030]


def test_a_label_without_a_time_is_one_day(tmp_path):
    """Rows of ready-made columns with a clicked label: every row an exposure, all of the declared day."""
    (tmp_path / "log.csv").write_text("user,ad,clicked,slot,bid\nu1,a,true,top,1.5\nu1,b,0,side,\nu1,c,yes,side,\n")
    behavior = {
        "file": "log.csv",
        "roles": {"user_id": "user", "item_id": "ad", "categorical": ["slot"], "numerical": ["bid"]},
        "event": {"rating": {"column": "clicked", "at_least": 1, "positive": "click", "exposure": "expr"}},
        "impressions": True,
        "day": 20240412,
    }
    tally, _, _ = read(tmp_path, registration(behavior))
    assert tally.examples == {("clicked", "is not a number"): [(4, "yes")]}
    rows, _ = events(tmp_path, registration(behavior))
    shown = sorted(rows.select("item_id", "event", "event_time", "slot", "bid").rows())
    assert shown == [
        ("a", "click", 1712851200, "top", 1.5),
        ("a", "expr", 1712851200, "top", 1.5),
        ("b", "expr", 1712851200, "side", None),
    ]


def test_an_impression_list_makes_an_expr_each_and_a_click_where_clicked(tmp_path):
    behavior = {
        "file": "log.tsv",
        "quote": None,
        "header": False,
        "columns": ["list", "user", "at", "shown"],
        "roles": {"request_id": "list", "user_id": "user", "event_time": "at"},
        "event": {"impression_list": {"column": "shown", "shown": "expr", "clicked": "click"}},
        "impressions": True,
    }
    (tmp_path / "log.tsv").write_text('7\t"u1\t1712937599\tN1-0  N-2-1\n')
    rows, _ = events(tmp_path, registration(behavior))
    assert sorted(rows.select("request_id", "user_id", "item_id", "event").rows()) == [
        ("7", '"u1', "N-2", "click"),
        ("7", '"u1', "N-2", "expr"),
        ("7", '"u1', "N1", "expr"),
    ]


@pytest.mark.parametrize(
    "exposure, expected",
    [
        ("expr", [("a", "click", None), ("a", "expr", 4.0), ("b", "expr", 3.5)]),
        (None, [("a", "click", 4.0)]),
    ],
)
def test_a_rating_is_an_exposure_or_only_a_positive(tmp_path, exposure, expected):
    behavior = {
        "file": "log.csv",
        "roles": {"user_id": "u:token", "item_id": "i", "event_time": "t", "value": "stars"},
        "event": {"rating": {"column": "stars", "at_least": 4, "positive": "click", "exposure": exposure}},
        "impressions": exposure is not None,
    }
    (tmp_path / "log.csv").write_text("u:token,i,t,stars\n1,a,1712937599,4\n1,b,1712937599,3.5\n")
    rows, _ = events(tmp_path, registration(behavior))
    assert sorted(rows.select("item_id", "event", "value").rows()) == expected


def test_personalize_files(tmp_path):
    registered = load_registration("personalize")
    (tmp_path / "interactions.csv").write_text(
        "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE,IMPRESSION\n"
        "u1,a,1712937599,Click,1.5,b|a| c\nu1,d,1712937600,Purchase,20,\n"
    )
    rows, _ = events(tmp_path, registered)
    assert sorted(rows.select("item_id", "event", "value").rows(), key=str) == [
        ("a", "click", 1.5),
        ("a", "impression", None),
        ("b", "impression", None),
        ("c", "impression", None),
        ("d", "purchase", 20.0),
    ]
    (tmp_path / "items.csv").write_text("ITEM_ID,CREATION_TIMESTAMP,GENRES,PRICE\na,1712937599,Drama|Sci-Fi,3\nb,,,\n")
    items, _ = events(tmp_path, registered, "item")
    assert items.sort("item_id").select("item_id", "listing_time", "tags", "genre", "price").rows() == [
        ("a", 1712937599, "Drama,Sci-Fi", "Drama", 3.0),
        ("b", None, None, None, None),
    ]


def test_of_rows_with_one_id_one_is_kept_whatever_their_order(tmp_path):
    item = {"file": "items.csv", "roles": {"item_id": "sku", "numerical": ["price"]}}
    (tmp_path / "log.csv").write_text(HEADER + GOOD)
    for lines in ("a,2\na,1\na,1\nb,3\n", "b,3\na,1\na,1\na,2\n"):
        (tmp_path / "items.csv").write_text("sku,price\n" + lines)
        rows, (written,) = events(tmp_path, registration(item=item), "item")
        assert rows.sort("item_id").rows() == [("a", 1.0), ("b", 3.0)]
        assert (written.kept, written.duplicates, written.repeated_ids) == (2, 1, 1)


def test_a_span_of_days_leaves_the_others(tmp_path):
    (tmp_path / "log.csv").write_text(HEADER + GOOD + GOOD.replace("599", "600") + "u1,a,view,soon,,\n")
    tally, blocks, _ = read(tmp_path, registration(), days=(19825, 19825))
    assert (tally.read, tally.kept, tally.outside) == (2, 1, 1)
    assert {b.day for b in blocks if b.table == "behavior"} == {19825}


def test_days_are_assembled_in_passes_when_they_are_large(tmp_path, monkeypatch):
    import jobs.data.import_assemble as import_assemble

    lines = "".join(f"u{n % 50},i{n % 7},view,{1712930000 + n % 60},,\n" for n in range(300))
    (tmp_path / "log.csv").write_text(HEADER + lines)
    whole, (one,) = events(tmp_path, registration())
    monkeypatch.setattr(import_assemble, "MAX_ROWS_AT_ONCE", 64)
    parts, several = events(tmp_path, registration())
    assert len(several) == 5 and sum(w.duplicates for w in several) == one.duplicates
    assert parts.sort(pl.all()).equals(whole.sort(pl.all()))


def test_files_outside_the_folder_are_refused(tmp_path):
    with pytest.raises(ValueError, match="is not a file within the folder"):
        registration({**LOG, "file": "../log.csv"})
    with pytest.raises(RecflowError, match="ftp://x/log.csv: allowed are a path, file:// and s3://"):
        listed("ftp://x", registration().files.behavior)


@pytest.mark.parametrize("piece_bytes", [40, 100, 1 << 20])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_in_pieces_is_the_file(tmp_path, monkeypatch, piece_bytes, end):
    monkeypatch.setattr(split_files, "PIECE_BYTES", piece_bytes)
    lines = [f"u{n},a{'x' * (n % 50)},view,{1712930000 + n},," for n in range(60)]
    lines[31], lines[47] = "u31,a", "u47,a,view,soon,,"
    (tmp_path / "log.csv").write_bytes(end.join([HEADER.strip(), *lines]).encode())
    registered = registration()
    (file,) = listed(str(tmp_path), registered.files.behavior)
    pieces = split_files.pieces_of([file], registered.files.behavior, lambda tasks: [r for t in tasks for r in t()])
    assert (len(pieces) > 10) == (piece_bytes <= 100)
    work = Import(registered, str(tmp_path / "staging"), {"behavior": ["log.csv"]})
    found = [f for piece in pieces for f in stage(work, "behavior", 0, piece)]
    tallies = [f for f in found if isinstance(f, Tally)]
    assert sum(t.read for t in tallies) == 60 and sum(t.kept for t in tallies) == 58
    assert sorted(line for t in tallies for e in t.examples.values() for line, _ in e) == [33, 49]
    staged = {b.address for b in found if isinstance(b, Block) and b.table == "behavior"}
    kept = pl.concat([pl.read_ipc(a) for a in staged]).sort("line")
    assert kept["line"].to_list() == [n for n in range(2, 62) if n not in (33, 49)]
    assert kept["user_id"].to_list() == [f"u{n}" for n in range(60) if n not in (31, 47)]


def test_a_file_with_quotes_is_one_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(split_files, "PIECE_BYTES", 50)
    (tmp_path / "log.csv").write_text(HEADER + GOOD * 10 + 'u1,a,view,1712937599,,"No\nrth"\n')
    spec = registration().files.behavior
    files = listed(str(tmp_path), spec)
    assert len(split_files.pieces_of(files, spec, lambda tasks: [r for t in tasks for r in t()])) == 1


def test_files_under_an_s3_prefix(tmp_path, bucket):  # noqa: F811
    s3 = boto3.client("s3")
    s3.put_object(Bucket=bucket, Key="in/2024/log-1.csv.gz", Body=gzip.compress(ROWS.encode()))
    s3.put_object(Bucket=bucket, Key="in/2024/log-2.csv.gz", Body=gzip.compress((HEADER + GOOD).encode()))
    s3.put_object(Bucket=bucket, Key="in/readme.txt", Body=b"no data")
    registered = registration({**LOG, "file": "2024/*.csv.gz"})
    tally, _, _ = read(f"s3://{bucket}/in", registered, staging=tmp_path)
    assert (tally.read, tally.kept) == (3, 3)
    with pytest.raises(RecflowError, match=f"s3://{bucket}/other/2024/\\*.csv.gz: there is no such file"):
        listed(f"s3://{bucket}/other", registered.files.behavior)
