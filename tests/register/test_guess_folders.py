"""Which files of a folder a guess takes, and what it says of the rest and of what is missing."""

import random
from datetime import UTC, datetime

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from jobs.data.source_files import filesystem_of
from jobs.lib.cli import main
from jobs.register.guess import propose
from tests.lib.stores import bucket, s3_server, store_url, versitygw  # noqa: F401 (fixtures)
from tests.register.guesses import NOON, guessed, table


def test_a_day_that_only_a_folder_tells(folder, tmp_path):
    for day in range(12, 17):
        part = folder / "events" / f"dt=2024-04-{day}"
        part.mkdir(parents=True)
        frame = {
            "member_id": list(range(20)),
            "sku": [f"s{n % 7}" for n in range(20)],
            "action": ["view", "buy"] * 10,
        }
        pq.write_table(pa.table(frame), part / "part-0.parquet")
    (folder / "events" / "_SUCCESS").write_text("")
    registration, _ = guessed(folder, tmp_path)
    behavior = registration.files.behavior
    assert (behavior.file, behavior.kind, behavior.roles.event_time) == ("events", "parquet", "dt")
    assert (behavior.partition.column, behavior.partition.format) == ("dt", "%Y-%m-%d")
    assert registration.events == ["view", "buy"] and registration.target == "view" and not behavior.impressions


def test_files_of_one_shape_are_one_entry(folder, tmp_path):
    for n in range(5):
        rows = [(f"u{m % 9}", f"i{m % 8}", "click", NOON + m) for m in range(50)]
        (folder / f"log-2024-04-{n}.csv").write_text(table("uid,item,event,ts", rows))
    (folder / "items.csv").write_text(table("item,price", [(f"i{n}", n) for n in range(8)]))
    deltalake.write_deltalake(folder / "people", pa.table({"uid": [f"u{n}" for n in range(9)], "age": list(range(9))}))
    (folder / "README.md").write_text("about")
    registration, proposal = guessed(folder, tmp_path)
    files = {kind: (spec.file, spec.kind) for kind, spec in registration.files.by_kind().items()}
    assert files == {
        "behavior": ("log-*-*-*.csv", "csv"),
        "item": ("items.csv", "csv"),
        "user": ("people", "delta"),
    }
    assert "README.md: is about the data" in proposal.text


def test_a_folder_or_a_prefix_of_a_bucket(store_url, tmp_path):  # noqa: F811
    (tmp_path / "published").mkdir()
    filesystem, path = filesystem_of(store_url)
    rows = [(f"u{m % 9}", f"i{m % 8}", "click", NOON + m) for m in range(50)]
    for day in ("12", "13"):
        filesystem.create_dir(f"{path}/log/dt=2024-04-{day}")
        with filesystem.open_output_stream(f"{path}/log/dt=2024-04-{day}/part-0.csv") as file:
            file.write(table("uid,item,event,ts", rows).encode())
    registration, _ = guessed(store_url, tmp_path)
    assert registration.files.behavior.file == "log/*/part-*.csv"


def test_of_several_files_about_items_the_one_that_tells_more(folder, tmp_path):
    """MovieLens 25M: ratings, movies, links to other sites, and tags that users gave."""
    some = random.Random(7)
    ratings = [(some.randrange(90), some.randrange(70), 0.5 + n % 10 / 2, NOON + n) for n in range(900)]
    (folder / "ratings.csv").write_text(table("userId,movieId,rating,timestamp", ratings))
    movies = [(n, f'"Movie, The {n}"', "Comedy|Drama" if n % 2 else "Drama") for n in range(70)]
    (folder / "movies.csv").write_text(table("movieId,title,genres", movies))
    (folder / "links.csv").write_text(table("movieId,imdbId,tmdbId", [(n, 114709 + n, 862 + n) for n in range(70)]))
    tags = [(n % 30, n % 70, f"tag {n % 9}", NOON + n) for n in range(100)]
    (folder / "tags.csv").write_text(table("userId,movieId,tag,timestamp", tags))
    registration, proposal = guessed(folder, tmp_path)
    item = registration.files.item
    assert (item.file, item.roles.tags, item.tag_separator) == ("movies.csv", "genres", "|")
    assert registration.files.behavior.event.rating.at_least == 4
    assert registration.solution == {"features": {"value_events": ["expr"]}}
    assert "100.0% of its values are in movies.csv:movieId" in proposal.text
    assert "not used: tags.csv: looks like another log" in proposal.text


def test_ids_of_files_without_headers_are_found_by_their_values(folder, tmp_path):
    """Items before users in the log: only the other files can tell which is which."""
    rows = [(NOON + n, f"i{n % 30}", f"u{n % 40}", "buy" if n % 9 == 0 else "click") for n in range(300)]
    (folder / "log.csv").write_text(table("", rows))
    (folder / "users.csv").write_text(table("", [(f"u{n}", "MF"[n % 2], 20 + n) for n in range(40)]))
    (folder / "items.csv").write_text(table("", [(f"i{n}", f"cat{n % 4}", f"Nice thing {n}") for n in range(30)]))
    registration, proposal = guessed(folder, tmp_path)
    assert registration.files.behavior.columns == ["event_time", "item_id", "user_id", "event"]
    assert registration.files.item.columns == ["item_id", "column_2", "title"]
    assert "100.0% of its values are in users.csv:column_1" in proposal.text


def test_outcomes_beside_a_label_are_no_features(folder, tmp_path):
    """KuaiRand: what the user did after the click must not be known before it."""
    header = "user_id,video_id,date,time_ms,is_click,is_like,long_view,play_time_ms,tab"
    rows = [
        (n % 50, n % 99, 20240412, NOON * 1000 + n, int(n % 4 == 0), int(n % 40 == 0), int(n % 5 == 0), n * 10, n % 3)
        for n in range(1000)
    ]
    (folder / "log.csv").write_text(table(header, rows))
    registration, _ = guessed(folder, tmp_path)
    behavior = registration.files.behavior
    assert behavior.event.rating.column == "is_click" and behavior.used_columns() == [
        "user_id", "video_id", "time_ms", "play_time_ms", "tab", "is_click",
    ]  # fmt: skip


def test_times_that_cannot_be_read_are_named(folder):
    rows = [(n % 9, n % 8, ["pv", "buy"][n % 2], f"2014-12-06 {n % 24:02}") for n in range(200)]
    (folder / "log.csv").write_text(table("user_id,item_id,event,time", rows))
    (doubt,) = [doubt for doubt in propose(str(folder)).doubts if "files.behavior.day" in doubt]
    assert "rewrite the times" in doubt


def test_a_table_of_a_warehouse_as_text(folder, tmp_path):
    """Hive's: no header, ^A between columns, names without a suffix, the day in the folder's name only."""
    for day in (10, 11, 12):
        rows = [(f"u{n % 30}", f"i{n % 25}", ["show", "click"][n % 3 == 0], NOON + 86400 * day + n) for n in range(90)]
        part = folder / "log" / f"dt=2024-04-{day}"
        part.mkdir(parents=True)
        (part / f"0000{day}_0").write_text(table("", rows, "\x01"))
    registration, _ = guessed(folder, tmp_path)
    behavior = registration.files.behavior
    assert (behavior.file, behavior.delimiter, behavior.header) == ("log/*/*_*", "\x01", False)
    assert behavior.columns == ["user_id", "item_id", "event", "event_time"] and behavior.partition is None


def test_a_log_whose_times_say_utc(folder, tmp_path):
    """REES46's shop: the reader takes `UTC` as a word, so the zone must not be changed later on."""
    header = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
    rows = []
    for n in range(400):
        at = datetime.fromtimestamp(NOON + 60 * n, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        event, code = ["view", "view", "cart", "remove_from_cart", "purchase"][n % 5], ["", "electronics.phone"][n % 2]
        rows.append((at, event, n % 70, 2053013555631882655 + n % 9, code, f"b{n % 5}", n % 90 + 0.5, n % 60, f"s-{n}"))
    (folder / "2019-Oct.csv").write_text(table(header, rows))
    registration, proposal = guessed(folder, tmp_path)
    behavior = registration.files.behavior
    assert behavior.time_format == "%Y-%m-%d %H:%M:%S UTC" and registration.timezone == "UTC"
    assert any("it holds only while `timezone` is UTC" in doubt for doubt in proposal.doubts)
    assert (registration.events, behavior.event.ignored) == (["view", "cart", "purchase"], ["remove_from_cart"])
    assert set(behavior.attributes("categorical")) == {"category_id", "brand"} and behavior.roles.value == "price"


def test_types_that_are_no_text_are_left_out(folder, tmp_path):
    n = range(100)
    frame = {
        "uid": pa.array([b"u%d" % (i % 9) for i in n]),
        "sku": pa.array([float(i % 7) for i in n]),
        "at": pa.array([datetime(2024, 4, 12, tzinfo=UTC)] * 100, pa.timestamp("us", "Asia/Shanghai")),
        "took": pa.array([60] * 100, pa.duration("s")),
        "more": pa.array([{"x": 1}] * 100),
    }
    pq.write_table(pa.table(frame), folder / "orders.parquet")
    registration, proposal = guessed(folder, tmp_path)
    assert registration.timezone == "Asia/Shanghai" and registration.events == ["purchase"]
    assert "not used: took: is of type Duration" in proposal.text and "more: holds nested values" in proposal.text


def test_what_is_missing_is_said_and_the_draft_has_todos(folder, tmp_path, capsys):
    rows = [(n % 2, n, n * 0.5, f"c{n % 3}") for n in range(100)]
    (folder / "train.csv").write_text(table("label,I1,I2,C1", rows))
    out = tmp_path / "draft.yaml"
    assert main(["register", "--guess", str(folder), "--name", "ads", "--out", str(out)]) == 1
    told = capsys.readouterr().err
    assert "missing: files.behavior.roles.user_id: no column of train.csv" in told and "I1 (100 values" in told
    assert "missing: files.behavior.roles.item_id" in told and "this draft does not load" in told
    assert "# TODO: no column" in out.read_text() and yaml.safe_load(out.read_text())["name"] == "ads"
    assert main(["register", "--guess", str(folder), "--out", str(out)]) == 1
    assert "cannot be written: File exists" in capsys.readouterr().err


def test_the_command_prints_a_registration(folder, tmp_path, capsys):
    rows = [(f"u{m % 9}", f"i{m % 8}", ["a1", "b2"][m % 2], NOON + m) for m in range(50)]
    (folder / "log.csv").write_text(table("uid,item,event,ts", rows))
    assert main(["register", "--guess", str(folder)]) == 0
    printed = capsys.readouterr()
    assert yaml.safe_load(printed.out)["events"] == ["a1", "b2"] and "# CHECK: what does it mean" in printed.out
    assert "of 50 records sampled 100.0% would be kept" in printed.err and "check timezone: UTC" in printed.err


def test_rows_that_would_be_refused_are_told_beforehand(folder, tmp_path):
    rows = [(f"u{m % 9}", f"i{m % 8}" if m % 5 else "", "click", NOON + m) for m in range(100)]
    (folder / "log.csv").write_text(table("uid,item,event,ts", rows))
    proposal = propose(str(folder))
    assert "of 100 records sampled 80.0% would be kept; refused: 20 whose item is empty" in proposal.trial[0]
    assert yaml.safe_load(proposal.text)["max_quarantined"] == 0.25
