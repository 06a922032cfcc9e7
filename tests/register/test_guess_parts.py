"""The parts of a guess: times, events, and how a text is written."""

import polars as pl
import pytest

from jobs.register.columns import times_of
from jobs.register.dialect import decoded, dialect_of
from jobs.register.files import sources_of
from jobs.register.funnel import funnel_of
from jobs.register.guess import propose
from tests.register.guesses import NOON, table

NOW = 1_800_000_000


def test_no_file_is_lost_where_no_pattern_fits(folder):
    for name in ("a1.csv", "a2.csv", "a1b.csv"):
        (folder / name).write_text(table("uid,item,event,ts", [(n % 9, n % 8, "click", NOON + n) for n in range(50)]))
    (folder / "a.sqlite").write_bytes(b"x")
    sources, left_out = sources_of(str(folder))
    assert sorted(source.file for source in sources) == ["a1.csv", "a1b.csv", "a2.csv"] and list(left_out) == [
        "a.sqlite"
    ]
    assert "file: a*.csv  # 3 files, 150 records in all" in propose(str(folder)).text  # their headers are one


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
