"""A registration guessed from files reads these files."""

import json
import random
from datetime import UTC, datetime

import deltalake
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from jobs.data.guess import propose
from jobs.data.guess_columns import times_of
from jobs.data.guess_dialect import decoded, dialect_of
from jobs.data.guess_files import sources_of
from jobs.data.guess_funnel import funnel_of
from jobs.data.registration import load_registration
from jobs.data.source_files import filesystem_of
from jobs.lib.cli import main
from jobs.lib.solution import load_solution
from tests.data.imports import read
from tests.data.test_real_data import DATA
from tests.lib.stores import bucket, s3_server, store_url  # noqa: F401 (fixtures)

NOON = 1712894400  # 2024-04-12 04:00 UTC
NOW = 1_800_000_000


def guessed(folder, tmp_path):
    """The registration, after each of its kinds was read: 95% of the rows or more are kept. Its solution holds."""
    proposal = propose(str(folder), "shop")
    assert not proposal.missing
    file = tmp_path / "guessed.yaml"
    file.write_text(proposal.text)
    registration = load_registration(file)
    assert load_solution(file).target == registration.target
    for kind in registration.files.by_kind():
        tally, _, _ = read(folder, registration, kind, staging=tmp_path)
        assert tally.read and tally.kept >= 0.95 * tally.read, f"{kind}: {tally}"
    return registration, proposal


def table(header, rows, separator=","):
    lines = [*([header] if header else []), *(separator.join(map(str, row)) for row in rows)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def some():
    return random.Random(7)


@pytest.mark.parametrize(
    "name, kinds, events, target",
    [
        ("airec-lab", {"behavior", "item", "user"}, ["click", "purchase"], "click"),
        ("mind-small-sample", {"behavior", "item"}, ["expr", "click"], "click"),
        ("ml-100k", {"behavior", "item", "user"}, ["expr", "click"], "click"),
    ],
)
def test_the_real_sets(tmp_path, name, kinds, events, target):
    if not (DATA / name).is_dir():
        pytest.skip(f"{DATA / name} is not on this machine")
    registration, _ = guessed(DATA / name, tmp_path)
    shipped = load_registration({"mind-small-sample": "mind"}.get(name, name.replace("-", "_")))
    assert set(registration.files.by_kind()) == kinds
    assert (registration.events, registration.target) == (events, target)
    assert registration.files.behavior.impressions == shipped.files.behavior.impressions
    assert registration.files.behavior.time_format == shipped.files.behavior.time_format
    assert registration.files.item.complete == shipped.files.item.complete


def test_personalize(folder, tmp_path, some):
    rows = []
    for n in range(400):
        shown = "|".join(f"i{some.randrange(60)}" for _ in range(4)) if n % 2 else ""
        event = some.choice(["Click", "Click", "Click", "Purchase"])
        rows.append((f"u{some.randrange(40)}", f"i{n % 60}", NOON + 60 * n, event, 1.5, shown))
    (folder / "interactions.csv").write_text(table("USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE,IMPRESSION", rows))
    genres = ["Drama", "Sci-Fi", "Comedy"]
    items = [(f"i{n}", NOON, "|".join(some.sample(genres, 1 + n % 2)), n * 1.5) for n in range(60)]
    (folder / "items.csv").write_text(table("ITEM_ID,CREATION_TIMESTAMP,GENRES,PRICE", items))
    users = [(f"u{n}", 20 + n, "FM"[n % 2]) for n in range(40)]
    (folder / "users.csv").write_text(table("USER_ID,AGE,GENDER", users))
    registration, _ = guessed(folder, tmp_path)
    behavior, item, user = (registration.files.by_kind()[kind] for kind in ("behavior", "item", "user"))
    shipped = load_registration("personalize").files
    assert registration.events == ["impression", "click", "purchase"] and registration.target == "click"
    assert behavior.event.names == {"Click": "click", "Purchase": "purchase"}
    assert behavior.event.shown == shipped.behavior.event.shown and behavior.impressions
    assert item.single_roles() == shipped.item.single_roles() and item.tag_separator == "|"
    assert item.attributes("numerical") == {"price": "PRICE"} and item.complete
    assert (user.attributes("categorical"), user.attributes("numerical")) == ({"gender": "GENDER"}, {"age": "AGE"})


def test_a_log_without_a_header(folder, tmp_path, some):
    """Taobao's user behavior: user, item, category, type, unix seconds."""
    kinds = ["pv"] * 20 + ["cart", "fav", "buy"]
    rows = []
    for n in range(3000):
        item = some.randrange(1000, 1400)
        rows.append((some.randrange(100, 300), item, 2000000 + item % 30, some.choice(kinds), NOON + n))
    (folder / "UserBehavior.csv").write_text(table("", rows))
    registration, proposal = guessed(folder, tmp_path)
    behavior = registration.files.behavior
    assert behavior.header is False and behavior.columns == ["user_id", "item_id", "column_3", "event", "event_time"]
    assert registration.events[0] == "pv" and set(registration.events) == {"pv", "cart", "fav", "buy"}
    assert registration.target == "pv" and behavior.impressions is False
    assert behavior.attributes("categorical") == {"column_3": "column_3"}
    assert any("Only its place says so" in doubt for doubt in proposal.doubts)


def test_transactions_without_an_event(folder, tmp_path, some):
    rows = []
    for n in range(500):
        day, article = f"2020-09-{1 + n // 25:02}", f"0{some.randrange(100000, 100080)}"
        rows.append((day, f"{some.randrange(90):064x}", article, 0.05 + n % 7 / 100, 1 + n % 2))
    (folder / "transactions_train.csv").write_text(table("t_dat,customer_id,article_id,price,sales_channel_id", rows))
    articles = [(f"0{n}", n // 10, f"Top {n}", "Jersey", f'"a, ""soft"" top no {n}"') for n in range(100000, 100080)]
    header = "article_id,product_code,prod_name,graphical_appearance_name,detail_desc"
    (folder / "articles.csv").write_text(table(header, articles))
    registration, proposal = guessed(folder, tmp_path)
    behavior = registration.files.behavior
    assert behavior.event.constant == "purchase" and registration.events == ["purchase"]
    assert behavior.time_format == "iso" and behavior.roles.value == "price"
    assert behavior.attributes("categorical") == {"sales_channel_id": "sales_channel_id"}
    assert registration.files.item.roles.title == "prod_name" and registration.files.item.quote == '"'
    assert "graphical_appearance_name: has one value only" in proposal.text


def test_nested_json_lines(folder, tmp_path):
    with (folder / "app.log.jsonl").open("w") as file:
        for n in range(300):
            record = {
                "ts": datetime.fromtimestamp(NOON + n, UTC).strftime("%Y-%m-%dT%H:%M:%S+08:00"),
                "user": {"id": f"u{n % 23}", "email": f"{n}@x.org"},
                "event": {"type": ["impression", "impression", "click", "add_to_cart"][n % 4]},
                "item": {"id": f"i{n % 31}"},
                "context": {"page": ["home", "detail"][n % 2], "device": {"os": ["ios", "android"][n % 2]}},
            }
            file.write(json.dumps(record) + "\n")
    registration, proposal = guessed(folder, tmp_path)
    behavior = registration.files.behavior
    assert behavior.single_roles() == {
        "user_id": "user.id",
        "item_id": "item.id",
        "event_time": "ts",
        "scene": "context.page",
    }
    assert registration.events == ["impression", "click", "add_to_cart"] and behavior.impressions
    assert behavior.attributes("categorical") == {"context_device_os": "context.device.os"}
    assert registration.timezone == "Etc/GMT-8" and any("which city" in doubt for doubt in proposal.doubts)
    assert "user.email: may tell who a person is" in proposal.text


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


def test_a_label_without_a_time(folder, tmp_path, some):
    rows = [(f"u{n % 40}", f"a{n % 9}", int(n % 11 == 0), "top", some.random()) for n in range(300)]
    (folder / "samples.tsv").write_text(table("user\tad_id\tclicked\tslot\tbid", rows, "\t"))
    registration, proposal = guessed(folder, tmp_path)
    behavior = registration.files.behavior
    rating = behavior.event.rating
    assert (rating.column, rating.at_least, rating.positive, rating.exposure) == ("clicked", 1, "click", "expr")
    assert behavior.impressions and behavior.day is not None and behavior.roles.event_time is None
    assert any(doubt.startswith("files.behavior.day") for doubt in proposal.doubts)


def test_chinese_headers_in_gbk(folder, tmp_path):
    acts = ["浏览", "浏览", "加购", "购买"]
    rows = [(f"u{n % 30}", f"g{n % 17}", acts[n % 4], f"2024/04/{1 + n % 28:02} 10:{n % 60:02}") for n in range(400)]
    (folder / "行为日志.csv").write_bytes(table("用户ID,商品ID,行为类型,行为时间", rows).encode("gbk"))
    goods = [(f"g{n}", f"商品名称{n}号", ["服装", "食品", "数码"][n % 3], n + 0.5) for n in range(17)]
    (folder / "商品.csv").write_bytes(table("商品ID,商品名称,类目,价格", goods).encode("gbk"))
    registration, proposal = guessed(folder, tmp_path)
    behavior, item = registration.files.behavior, registration.files.item
    assert behavior.encoding == item.encoding == "gb18030" and behavior.time_format == "%Y/%m/%d %H:%M"
    assert registration.events == ["view", "cart", "purchase"] and registration.target == "view"
    assert item.roles.title == "商品名称" and item.attributes("categorical") == {"category": "类目"}
    assert item.attributes("numerical") == {"price": "价格"}


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


def test_of_several_files_about_items_the_one_that_tells_more(folder, tmp_path, some):
    """MovieLens 25M: ratings, movies, links to other sites, and tags that users gave."""
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


def test_no_file_is_lost_where_no_pattern_fits(folder):
    for name in ("a1.csv", "a2.csv", "a1b.csv"):
        (folder / name).write_text(table("uid,item,event,ts", [(n % 9, n % 8, "click", NOON + n) for n in range(50)]))
    (folder / "a.sqlite").write_bytes(b"x")
    sources, left_out = sources_of(str(folder))
    assert sorted(source.file for source in sources) == ["a1.csv", "a1b.csv", "a2.csv"] and list(left_out) == [
        "a.sqlite"
    ]
    assert "file: a*.csv  # 3 files, 150 records in all" in propose(str(folder)).text  # their headers are one


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


@pytest.mark.parametrize(
    "values, events, target, impressions, doubt",
    [
        ({"view": 900, "click": 90}, ["view", "click"], "click", True, "is it written for every item"),
        ({"view": 900, "buy": 90}, ["view", "buy"], "view", False, ""),
        ({"点击": 9, "曝光": 90}, ["expr", "click"], "click", True, ""),
        ({"fav": 5, "Order Completed": 5, "Removed From Cart": 9}, ["fav", "order_completed"], "fav", False, ""),
        ({"4": 2, "1": 50}, ["event_1", "event_4"], "event_1", False, ""),
        ({"impression": 5}, ["impression"], "TODO", True, ""),
    ],
)
def test_funnels(values, events, target, impressions, doubt):
    funnel = funnel_of(values)
    assert [guess.value for guess in funnel.events] == events and funnel.target.value == target
    assert funnel.impressions.value is impressions and funnel.impressions.doubt.startswith(doubt)
    assert bool(funnel.impressions.doubt) == bool(doubt)
    assert [guess.value for guess in funnel.against] == [value for value in values if "Removed" in value]


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


@pytest.mark.parametrize(
    "values, time_format, doubt",
    [
        (["13/02/2024", "01/02/2024"], "%d/%m/%Y", ""),
        (["02/13/2024", "02/01/2024"], "%m/%d/%Y", ""),
        (["01/02/2024", "02/02/2024", "11/02/2024"], "%d/%m/%Y", "all values sampled read as %m/%d/%Y too"),
        (["1712894400123", "1712894400999"], "unix_ms", ""),
        (["20240412", "20240413"], "%Y%m%d", ""),
        (["2024-04-12T10:00:00Z", "2024-04-12 10:00"], "iso", ""),
        (["10/Oct/2000:13:55:36 -0700", "11/Oct/2000:13:55:36 -0700"], "%d/%b/%Y:%H:%M:%S %z", ""),
        (["2024年4月2日", "2024年4月12日"], "%Y年%m月%d日", ""),
    ],
)
def test_times(values, time_format, doubt):
    times = times_of(pl.Series("t", values), NOW)
    assert times.format == time_format and times.doubt.startswith(doubt) and bool(times.doubt) == bool(doubt)


def test_numbers_and_words_are_no_times():
    assert times_of(pl.Series("t", ["12", "1712894400"]), NOW) is None
    assert times_of(pl.Series("t", ["1900000000"]), NOW) is None  # after the file was written
    assert times_of(pl.Series("t", ["May 4th", "x1"]), NOW) is None


@pytest.mark.parametrize(
    "raw, encoding",
    [
        ("a,ü\n".encode(), "utf-8"),
        ("a,ü\n".encode("utf-16"), "utf-16"),
        ("uid,item\nu1,i1\n".encode("utf-16-le"), "utf-16-le"),
        ("名称,类目\n服装,食品\n".encode("gb18030"), "gb18030"),
        ("café,naïve\nü,ö\n".encode("latin-1"), "latin-1"),
    ],
)
def test_encodings(raw, encoding):
    text, found = decoded(raw, True)
    assert found.value == encoding and text == raw.decode(encoding)


def test_a_sample_is_cut_at_a_line_even_within_a_character():
    text, found = decoded("ok,é\nlong,é".encode()[:-1], False)
    assert (text, found.value) == ("ok,é\n", "utf-8")


@pytest.mark.parametrize(
    "text, delimiter, quote, header",
    [
        ("user_id;price\nu1;1,5\nu2;2,5\n", ";", '"', True),
        ('user_id,title\nu1,"a, b"\nu2,"c\nd"\n', ",", '"', True),
        ('u1\t"Seven" is\nu2\t"x\nu3\ty\n', "\t", None, True),
        ("u1,5\nu2,6\n", ",", '"', False),
        ("user_id:token\tage:float\nu1\t5\n", "\t", None, "name:type"),
        ("a|b|c\n1|x,y|2\n3|z|4\n", "|", None, True),
    ],
)
def test_dialects(text, delimiter, quote, header):
    found = dialect_of(text)
    assert (found.delimiter.value, found.quote.value, found.header.value) == (delimiter, quote, header)


def test_a_delimiter_of_two_characters_is_refused_by_name():
    with pytest.raises(ValueError, match="separated by '::'"):
        dialect_of("1::1193::5::978300760\n1::661::3::978302109\n")
