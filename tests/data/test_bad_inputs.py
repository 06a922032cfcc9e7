"""Bad input, one line of the table each: what was tried, and the count or error that names what is wrong and where."""

import gzip

import pytest

from jobs.data.source_files import ImportRefused
from tests.data.imports import GOOD, HEADER, LOG, read, registration

Q = "quarantined"  # the row is set aside: (column, reason, line, value)
OK = "read"  # not bad after all: everything is kept
FAILS = "refused"  # nothing of the file can be used: the error says this
ROWS = GOOD * 3
NO_EVENT = {k: v for k, v in LOG.items() if k != "event"}


def log(*lines):
    return (HEADER + "".join(line + "\n" for line in lines)).encode()


def spec(**changes):
    return {**LOG, **changes}


ITEMS = {"file": "log.csv", "roles": {"item_id": "sku", "listing_time": "listed", "numerical": ["price"]}}
RATED = {**NO_EVENT, "event": {"rating": {"column": "what", "at_least": 4, "positive": "click"}}}
LISTED = {
    **NO_EVENT,
    "roles": {"user_id": "uid", "event_time": "at"},
    "event": {"impression_list": {"column": "what", "shown": "expr", "clicked": "click"}},
    "impressions": True,
}
JSON = spec(file="log.jsonl")

BAD = [
    # what was tried, content, registration of the behavior file, what comes of it
    ("no user", log(",a,view,1712937599,1,"), LOG, (Q, "uid", "is empty", 2, None)),
    ("a user of spaces", log("  ,a,view,1712937599,1,"), LOG, (Q, "uid", "is empty", 2, None)),
    ("no item", log("u1,,view,1712937599,1,"), LOG, (Q, "sku", "is empty", 2, None)),
    ("no event", log("u1,a,,1712937599,1,"), LOG, (Q, "what", "is empty", 2, None)),
    ("no time", log("u1,a,view,,1,"), LOG, (Q, "at", "is empty", 2, None)),
    ("an undeclared event", log("u1,a,cart,1712937599,1,"), LOG, (Q, "what", "is not a declared event (view, buy)", 2, "cart")),
    ("an event in other case", log("u1,a,View,1712937599,1,"), LOG, (Q, "what", "is not a declared event (view, buy)", 2, "View")),
    ("a word for a time", log("u1,a,view,soon,1,"), LOG, (Q, "at", "is not a time in the declared format", 2, "soon")),
    ("ms where s was said", log("u1,a,view,1712937599000,1,"), LOG, (Q, "at", "is not a time from 1970 to 2099", 2, "1712937599000")),
    ("us where s was said", log("u1,a,view,1712937599000000,1,"), LOG, (Q, "at", "is not a time from 1970 to 2099", 2, "1712937599000000")),
    ("a time beyond 64 bits", log("u1,a,view,99999999999999999999,1,"), LOG, (Q, "at", "is not a time in the declared format", 2, "99999999999999999999")),
    ("a time before 1970", log("u1,a,view,-1,1,"), LOG, (Q, "at", "is not a time from 1970 to 2099", 2, "-1")),
    ("a time in the future", log("u1,a,view,4000000000,1,"), LOG, (Q, "at", "is a time in the future", 2, "4000000000")),
    ("s where ms was said", log("u1,a,view,1712937599,1,"), spec(time_format="unix_ms"), (OK, 1)),
    ("unix time where ISO was said", log("u1,a,view,1712937599,1,"), spec(time_format="iso"), (Q, "at", "is not a time in the declared format", 2, "1712937599")),
    ("30 February", log("u1,a,view,2024-02-30T00:00:00,1,"), spec(time_format="iso"), (Q, "at", "is not a time in the declared format", 2, "2024-02-30T00:00:00")),
    ("29 February of 2023", log("u1,a,view,2023-02-29,1,"), spec(time_format="iso"), (Q, "at", "is not a time in the declared format", 2, "2023-02-29")),
    ("25 o'clock", log("u1,a,view,2024-04-12 25:00:00,1,"), spec(time_format="iso"), (Q, "at", "is not a time in the declared format", 2, "2024-04-12 25:00:00")),
    ("a US day where ISO was said", log("u1,a,view,4/12/2024,1,"), spec(time_format="iso"), (Q, "at", "is not a time in the declared format", 2, "4/12/2024")),
    ("day and month exchanged", log("u1,a,view,31/12/2023,1,"), spec(time_format="%m/%d/%Y"), (Q, "at", "is not a time in the declared format", 2, "31/12/2023")),
    ("a word for a number", log("u1,a,view,1712937599,much,"), LOG, (Q, "paid", "is not a number", 2, "much")),
    ("NaN", log("u1,a,view,1712937599,NaN,"), LOG, (Q, "paid", "is not a number", 2, "NaN")),
    ("infinity", log("u1,a,view,1712937599,inf,"), LOG, (Q, "paid", "is not a number", 2, "inf")),
    ("a decimal comma", log('u1,a,view,1712937599,"9,5",'), LOG, (Q, "paid", "is not a number", 2, "9,5")),
    ("a currency sign", log("u1,a,view,1712937599,$9,"), LOG, (Q, "paid", "is not a number", 2, "$9")),
    ("hexadecimal", log("u1,a,view,1712937599,0x1F,"), LOG, (Q, "paid", "is not a number", 2, "0x1F")),
    ("NULL spelt out", log("u1,a,view,1712937599,NULL,"), LOG, (Q, "paid", "is not a number", 2, "NULL")),
    ("a column too few", log("u1,a,view,1712937599,1"), LOG, (Q, "line", "has 5 columns, the file 6", 2, "u1,a,view,1712937599,1")),
    ("two columns too many", log("u1,a,view,1712937599,1,,,"), LOG, (Q, "line", "has 8 columns, the file 6", 2, "u1,a,view,1712937599,1,,,")),
    ("a line of prose", log("-- end of file --"), LOG, (Q, "line", "has 1 columns, the file 6", 2, "-- end of file --")),
    ("a quote that is not closed", log('u1,a,view,1712937599,1,"North', GOOD.strip()), LOG, (FAILS, "log.csv: a quote opened on line 2 is not closed")),
    ("a quote not closed in the middle", log('u1,"a,view,1712937599,1,North', GOOD.strip()), LOG, (Q, "line", "has 2 columns, the file 6, over 2 lines: is a quote not closed?", 2, None)),
    ("line after a quoted line break", log('u1,a,view,1712937599,1,"No\nrth"', ",a,view,1,1,"), LOG, (Q, "uid", "is empty", 4, None)),
    ("line after empty lines", log("", "", ",a,view,1,1,"), LOG, (Q, "uid", "is empty", 4, None)),
    ("bytes that are no UTF-8", HEADER.encode() + b"u\xff1,a,view,1712937599,1,\n", LOG, (Q, "uid", "is not utf-8", 2, "u\ufffd1")),
    ("GBK where UTF-8 was said", HEADER.encode() + "用户,a,view,1712937599,1,\n".encode("gbk"), LOG, (Q, "uid", "is not utf-8", 2, None)),
    ("UTF-8 where ASCII was said", HEADER.encode() + "ü,a,view,1712937599,1,\n".encode(), spec(encoding="ascii"), (Q, "uid", "is not ascii", 2, None)),
    ("a NUL byte", HEADER.encode() + b"u\x001,a,view,1712937599,1,\n", LOG, (Q, "uid", "holds a NUL byte", 2, "u\\01")),
    ("a field of 2 MB", log("u1,a,view,1712937599,1," + "x" * (2 << 20)), LOG, (Q, "Shop Name", "is longer than 1,048,576 bytes", 2, "x" * 60)),
    ("a field of 10 MB", log("u1," + "x" * (10 << 20) + ",view,1712937599,1,"), LOG, (Q, "sku", "is longer than 1,048,576 bytes", 2, "x" * 60)),
    ("a field of 40 MB", log("u1," + "x" * (40 << 20) + ",view,1712937599,1,"), LOG, (FAILS, "log.csv: a line, or what a quote opens, is longer than 16 MB")),
    ("a token without its mark", log("u1,,N1-0 N2,1712937599,,"), LISTED, (Q, "what", "is not a list of item-0 and item-1", 2, "N2")),
    ("an empty impression list", log("u1,,,1712937599,,"), LISTED, (Q, "what", "is empty", 2, None)),
    ("a word for a rating", log("u1,a,good,1712937599,1,"), RATED, (Q, "what", "is not a number", 2, "good")),
    ("no rating", log("u1,a,,1712937599,1,"), RATED, (Q, "what", "is empty", 2, None)),
    ("below the least price", log("u1,a,view,1712937599,-3,"), spec(checks=[{"name": "paid_is_positive", "kind": "range", "column": "value", "min": 0, "severity": "fail"}]), (Q, "value", "breaks the check paid_is_positive", 2, "-3.0")),
    ("an unknown shop", log("u1,a,view,1712937599,3,East"), spec(checks=[{"name": "known_shop", "kind": "allowed_values", "column": "shop", "values": ["North"], "severity": "fail"}]), (Q, "shop", "breaks the check known_shop", 2, "East")),
    ("an id of another form", log("7,a,view,1712937599,3,"), spec(checks=[{"name": "id_form", "kind": "regex", "column": "user_id", "pattern": "u[0-9]+", "severity": "fail"}]), (Q, "user_id", "breaks the check id_form", 2, "7")),
    ("a shop that must be said", log("u1,a,view,1712937599,3,"), spec(checks=[{"name": "shop_there", "kind": "not_null", "columns": ["shop"], "severity": "fail"}]), (Q, "shop", "breaks the check shop_there", 2, None)),
    ("a JSON line cut short", b'{"uid": "u1", "sku"\n', JSON, (Q, "line", "is not a JSON object", 1, '{"uid": "u1", "sku"')),
    ("half an emoji in JSON", b'{"uid":"u\\ud83d"}\n', JSON, (Q, "line", "is not a JSON object", 1, None)),
    ("a user over two lines", log('"u\n1",a,view,1712937599,1,'), LOG, (Q, "uid", "holds a line break: is a quote not closed?", 2, "u\n1")),
    ("a JSON list", b'["u1"]\n', JSON, (Q, "line", "is not a JSON object", 1, '["u1"]')),
    ("JSON that is no UTF-8", b'{"uid": "\xff"}\n', JSON, (Q, "line", "is not a JSON object", 1, None)),
    ("a NUL in JSON", b'{"uid":"u\\u0000","sku":"a","what":"view","at":1712937599,"paid":1,"Shop Name":""}\n', JSON, (Q, "uid", "holds a NUL byte", 1, "u\\0")),
    ("no value in JSON", b'{"uid":null,"sku":"a","what":"view","at":1712937599,"paid":1,"Shop Name":""}\n', JSON, (Q, "uid", "is empty", 1, None)),
    ("a file that is not there", None, LOG, (FAILS, "log.csv: there is no such file")),
    ("a pattern without a file", None, spec(file="logs/*.csv"), (FAILS, "logs/\\*.csv: there is no such file")),
    ("an empty file", b"", LOG, (FAILS, "log.csv: is empty, a header line is expected")),
    ("a column that is not there", b"uid,sku,what,paid,Shop Name\nu1,a,view,1,N\n", LOG, (FAILS, "log.csv: no column 'at'; there are: uid, sku, what, paid, Shop Name")),
    ("a column in other case", log(GOOD.strip()).replace(b"uid", b"UID"), LOG, (FAILS, "log.csv: no column 'uid'; there are: UID, sku")),
    ("a column twice", b"uid,uid,sku,what,at,paid,Shop Name\n", LOG, (FAILS, "log.csv: column 'uid' is there twice")),
    ("semicolons", log(GOOD.strip()).replace(b",", b";"), LOG, (FAILS, "no column 'uid'; .* is the delimiter ';'?")),
    ("tabs", log(GOOD.strip()).replace(b",", b"\t"), LOG, (FAILS, r"no column 'uid'; .* is the delimiter '\\t'?")),
    ("UTF-16 where UTF-8 was said", (HEADER + GOOD).encode("utf-16"), LOG, (FAILS, "log.csv: is UTF-16, not utf-8: say `encoding: utf-16`")),
    ("no gzip", b"uid,sku\n", spec(file="log.csv.gz"), (FAILS, "log.csv.gz: cannot be read")),
    ("gzip that is cut", gzip.compress((HEADER + ROWS * 2000).encode(), mtime=0)[:-200], spec(file="log.csv.gz"), (FAILS, "log.csv.gz: cannot be read")),
    ("no Parquet", b"uid,sku\n", spec(file="log.parquet"), (FAILS, "log.parquet: cannot be read")),
    ("no Delta table", b"", spec(format="delta"), (FAILS, "log.csv: there is no Delta table")),
    ("a JSON key that is never there", b'{"uid":"u1"}\n', JSON, (FAILS, "log.jsonl: no column 'sku'; there are: uid")),
    ("a byte order mark", "\ufeff".encode() + log(GOOD.strip()), LOG, (OK, 1)),
    ("line ends of Windows", log(GOOD.strip()).replace(b"\n", b"\r\n"), LOG, (OK, 1)),
    ("line ends of old Macs", log(GOOD.strip()).replace(b"\n", b"\r"), LOG, (OK, 1)),
    ("a quoted line break", log('u1,a,view,1712937599,1,"No\nrth"'), LOG, (OK, 1)),
    ("a quoted line break in the middle of the last line", log('u1,a,view,1712937599,"\n1",North'), LOG, (OK, 1)),
    ("no line end at the end", log(GOOD.strip())[:-1], LOG, (OK, 1)),
    ("UTF-16, declared", (HEADER + GOOD).encode("utf-16"), spec(encoding="utf-16"), (OK, 1)),
    ("GBK, declared", (HEADER + GOOD.replace("u1", "用户")).encode("gbk"), spec(encoding="gbk"), (OK, 1)),
    ("an event to be ignored", log("u1,a,cart,1712937599,1,"), spec(event={**LOG["event"], "ignored": ["cart"]}), (OK, 1)),
    ("ids of mixed form", log("7,a,view,1712937599,,", "u7,a,view,1712937599,,"), LOG, (OK, 2)),
]  # fmt: skip


@pytest.mark.parametrize("content, behavior, outcome", [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input(tmp_path, content, behavior, outcome):
    if content is not None:
        (tmp_path / behavior["file"]).write_bytes(content)
    what, *told = outcome
    if what == FAILS:
        with pytest.raises(ImportRefused, match=told[0]):
            read(tmp_path, registration(behavior))
        return
    tally, blocks, _ = read(tmp_path, registration(behavior))
    if what == OK:
        assert (tally.read, tally.kept, tally.reasons) == (told[0], told[0], {})
        return
    column, reason, line, value = told
    assert tally.reasons == {(column, reason): 1} and tally.read == tally.kept + 1
    ((found_line, found),) = tally.examples[column, reason]
    assert found_line == line
    assert value is None or found == value
    assert [b.rows for b in blocks if b.table == "quarantine"] == [1]


def test_the_table_is_long_enough():
    assert sum(outcome[0] != OK for *_, outcome in BAD) >= 60 and len({case[0] for case in BAD}) == len(BAD)


@pytest.mark.parametrize(
    "line, column, reason, value",
    [
        (",1712937599,1", "sku", "is empty", None),
        ("a,soon,1", "listed", "is not a time in the declared format", "soon"),
        ("a,1712937599,dear", "price", "is not a number", "dear"),
    ],
)
def test_bad_items(tmp_path, line, column, reason, value):
    (tmp_path / "log.csv").write_text(f"sku,listed,price\n{line}\nb,4000000000,\n")
    tally, *_ = read(tmp_path, registration(item=ITEMS), "item")
    assert (tally.read, tally.kept) == (2, 1)  # an item may be announced ahead
    assert tally.examples == {(column, reason): [(2, value)]}
