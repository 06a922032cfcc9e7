"""Small files in, whole tables and reports out; bad input is refused by name."""

import pytest

from jobs.data.import_csv import ImportRefused, import_folder, measured_rows, parsed_files
from jobs.data.import_rows import events_of
from jobs.data.registration import Registration
from jobs.lib.partitions import present_days, record
from jobs.lib.tables import read_days

LOG = {
    "file": "log.csv",
    "roles": {
        "user_id": "uid",
        "item_id": "sku",
        "event_time": "at",
        "value": "paid",
        "categorical": {"shop": "Shop Name"},
    },
    "event": {"column": "what", "names": {"view": "click", "buy": "purchase"}},
    "impressions": False,
}
HEADER = "uid,sku,what,at,paid,Shop Name\n"


def registration(behavior=None, **files):
    is_list_or_rating = behavior and behavior["impressions"]
    return Registration.model_validate(
        {
            "name": "shop",
            "timezone": "Asia/Shanghai",
            "events": ["expr", "click"] if is_list_or_rating else ["click", "purchase"],
            "target": "click",
            "files": {"behavior": behavior or LOG, **files},
        }
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "in"


def written(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return str(folder)


def parsed(spark, registered, folder, kind="behavior"):
    return parsed_files(spark, registered, folder)[kind]


def refusals(rows):
    return {(r.column, r.reason): (r.rows, r.examples) for r in measured_rows(rows, "log.csv").refused}


def plain(frame, *columns):
    return sorted(tuple(row) for row in frame.select(*columns).collect())


def test_a_shop_is_imported_whole(spark, warehouse, folder):
    written(
        folder,
        log_csv=HEADER
        + "u1,a,view,1712937599,,North\n"  # 23:59:59 of 12 April in Shanghai
        + "u1,a,buy,1712937600,9.5,North\n"  # one second later: the 13th
        + '"u,2", b ,view,1713110400,,"the ""old"" one"\n'  # the 15th; the 14th has no events
        + "u3,a,cart,1713110400,,North\n",
        items_csv="sku,price,tags\na,10,x|y\nb,,\n",
    )
    items = {"file": "items.csv", "tag_separator": "|", "first_tag": "kind"}
    items["roles"] = {"item_id": "sku", "tags": "tags", "numerical": ["price"]}
    item, behavior = import_folder(registration(item=items), folder)
    assert str(item) == "items.csv: 2 rows read = 2 kept + 0 refused; shop_item ds=20240411: 2 rows"
    assert str(behavior).splitlines() == [
        "log.csv: 4 rows read = 3 kept + 1 refused; shop_behavior ds=20240412..20240415: 3 rows",
        "  1 refused: what is not a declared event (view, buy) ('cart')",
    ]
    days = ["20240412", "20240413", "20240414", "20240415"]
    assert present_days("shop_behavior") == days and record("shop_behavior", "20240414")["rows"] == 0
    columns = ("user_id", "item_id", "event", "event_time", "value", "shop", "ds")
    assert plain(read_days("shop_behavior", days), *columns) == [
        ("u,2", "b", "click", 1713110400, None, 'the "old" one', "20240415"),
        ("u1", "a", "click", 1712937599, None, "North", "20240412"),
        ("u1", "a", "purchase", 1712937600, 9.5, "North", "20240413"),
    ]
    assert plain(read_days("shop_item", ["20240411"]), "item_id", "price", "tags", "kind") == [
        ("a", 10.0, "x,y", "x"),
        ("b", None, None, None),
    ]


def test_each_bad_value_is_refused_by_column_and_reason(spark, folder):
    written(
        folder,
        log_csv=HEADER
        + "u1,a,view,1712937599,1,\n"
        + ",a,view,1712937599,1,\n"
        + "u1, ,view,1712937599,1,\n"
        + "u1,a,,1712937599,1,\n"
        + "u1,a,View,1712937599,1,\n"
        + "u1,a,view,,1,\n"
        + "u1,a,view,soon,1,\n"
        + "u1,a,view,1712937599000,1,\n"
        + "u1,a,view,99999999999999999,1,\n"
        + "u1,a,view,1712937599,much,\n"
        + "u1,a,view,1712937599,NaN,\n"
        + "u1,a,view,1712937599\n"
        + "u1,a,view,1712937599,1,,,\n",
    )
    rows = parsed(spark, registration(), str(folder))
    measured = measured_rows(rows, "log.csv")
    assert (measured.read, measured.kept, measured.days) == (13, 1, ("20240412",))
    assert refusals(rows) == {
        ("uid", "is empty"): (1, (None,)),
        ("sku", "is empty"): (1, (None,)),
        ("what", "is empty"): (1, (None,)),
        ("what", "is not a declared event (view, buy)"): (1, ("View",)),
        ("at", "is empty"): (1, (None,)),
        ("at", "is not a time in the declared format"): (1, ("soon",)),
        ("at", "is not a time from 1970 to 2099"): (2, ("1712937599000", "99999999999999999")),
        ("paid", "is not a number"): (2, ("much", "NaN")),
        ("line", "has another number of columns than the file"): (
            2,
            ("u1,a,view,1712937599", "u1,a,view,1712937599,1,,,"),
        ),
    }


def test_examples_are_the_first_three(spark, folder):
    lines = "".join(f"u1,a,view,bad{n},,\n" for n in range(5))
    written(folder, log_csv=HEADER + "u1,a,view,1712937599,,\n" + lines)
    assert list(refusals(parsed(spark, registration(), str(folder))).values()) == [(5, ("bad0", "bad1", "bad2"))]


def test_a_missing_file_or_column_is_refused_by_name(spark, warehouse, folder):
    written(folder, log_csv="uid,sku,what,paid,Shop Name\nu1,a,view,1,N\n")
    with pytest.raises(ImportRefused, match=r"log.csv: no column 'at'; there are: uid, sku, what, paid, Shop Name"):
        import_folder(registration(), folder)
    written(folder, log_csv=HEADER + "u1,a,view,1712937599,,\n")
    with pytest.raises(ImportRefused, match=r"items.csv: there is no such file"):
        import_folder(registration(item={"file": "items.csv", "roles": {"item_id": "sku"}}), folder)
    assert present_days("shop_behavior") == []


def test_a_file_of_which_nothing_is_kept_stops_the_import(spark, warehouse, folder):
    written(folder, log_csv=HEADER + "u1,a,view,1712937599,,\n", items_csv="sku,price\na,dear\n")
    items = {"file": "items.csv", "roles": {"item_id": "sku", "numerical": ["price"]}}
    with pytest.raises(ImportRefused, match=r"items.csv: nothing to import: 1 rows .* price is not a number"):
        import_folder(registration(item=items), folder)
    assert present_days("shop_behavior") == []
    for text, message in ((HEADER, "it has no rows"), ("", "is empty, a header line is expected")):
        written(folder, log_csv=text)
        with pytest.raises(ImportRefused, match=message):
            import_folder(registration(), folder)


def test_days_that_cannot_belong_together_stop_the_import(spark, warehouse, folder):
    written(folder, log_csv=HEADER + "u1,a,view,1,,\nu1,a,view,1712937599,,\n")
    with pytest.raises(ImportRefused, match="from ds=19700101 to ds=20240412 span 19,826 days"):
        import_folder(registration(), folder)


def test_of_rows_with_the_same_id_one_is_kept_whatever_their_order(spark, folder):
    items = {"file": "items.csv", "roles": {"item_id": "sku", "numerical": ["price"]}}
    for lines in ("a,2\na,1\na,dear\nb,3\n", "b,3\na,dear\na,1\na,2\n"):
        written(folder, log_csv=HEADER, items_csv="sku,price\n" + lines)
        rows = parsed(spark, registration(item=items), str(folder), "item")
        assert plain(rows.where("refusal IS NULL"), "item_id", "price") == [("a", 1.0), ("b", 3.0)]
        assert refusals(rows) == {
            ("price", "is not a number"): (1, ("dear",)),
            ("sku", "is there in another row"): (1, ("a",)),
        }


@pytest.mark.parametrize(
    "time_format, text, unix",
    [
        ("unix_s", "1712937599", 1712937599),
        ("unix_s", "1712937599.7", 1712937599),
        ("unix_ms", "1712937599900", 1712937599),
        ("iso", "2024-04-12T23:59:59", 1712937599),
        ("iso", "2024-04-12 23:59:59", 1712937599),
        ("iso", "2024-04-12T15:59:59Z", 1712937599),
        ("iso", "2024-04-12T18:59:59+03:00", 1712937599),
        ("M/d/yyyy h:mm:ss a", "4/12/2024 11:59:59 PM", 1712937599),
        ("yyyy-MM-dd'T'HH:mm:ssXXX", "2024-04-12T15:59:59Z", 1712937599),
        ("yyyy-MM-dd", "2024-04-12", 1712851200),
    ],
)
def test_times_are_read_in_the_declared_format_and_zone(spark, folder, time_format, text, unix):
    written(folder, log_csv=HEADER + f"u1,a,view,{text},,\n")
    rows = parsed(spark, registration({**LOG, "time_format": time_format}), str(folder))
    assert plain(rows, "event_time", "ds", "refusal") == [(unix, "20240412", None)]


def test_an_impression_list_makes_an_expr_each_and_a_click_where_clicked(spark, folder):
    behavior = {
        "file": "log.tsv",
        "delimiter": "\t",
        "quote": None,
        "header": False,
        "columns": ["list", "user", "at", "shown"],
        "roles": {"request_id": "list", "user_id": "user", "event_time": "at"},
        "event": {"impression_list": {"column": "shown", "shown": "expr", "clicked": "click"}},
        "impressions": True,
    }
    written(folder, log_tsv='7\t"u1\t1712937599\tN1-0 N-2-1\n8\tu2\t1712937599\tN1-0 N2\n9\tu3\t1712937599\t\n')
    registered = registration(behavior)
    rows = parsed(spark, registered, str(folder))
    assert refusals(rows) == {
        ("shown", "is not a list of item-0 and item-1"): (1, ("N2",)),
        ("shown", "is empty"): (1, (None,)),
    }
    events = events_of(rows.where("refusal IS NULL"), registered)
    assert plain(events, "request_id", "user_id", "item_id", "event") == [
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
def test_a_rating_is_an_exposure_or_only_a_positive(spark, folder, exposure, expected):
    behavior = {
        "file": "log.csv",
        "roles": {"user_id": "u:token", "item_id": "i", "event_time": "t", "value": "stars"},
        "event": {"rating": {"column": "stars", "at_least": 4, "positive": "click", "exposure": exposure}},
        "impressions": exposure is not None,
    }
    written(folder, log_csv="u:token,i,t,stars\n1,a,1712937599,4\n1,b,1712937599,3.5\n1,c,1712937599,good\n")
    registered = registration(behavior)
    rows = parsed(spark, registered, str(folder))
    assert refusals(rows) == {("stars", "is not a number"): (1, ("good",))}
    events = events_of(rows.where("refusal IS NULL"), registered)
    assert sorted((row["item_id"], row["event"], row["value"]) for row in events.collect()) == expected


def test_a_header_of_names_and_types_and_a_byte_order_mark(spark, folder):
    behavior = {**LOG, "header": "name:type", "roles": {"user_id": "uid", "item_id": "sku", "event_time": "at"}}
    written(folder, log_csv="\ufeffuid:token,sku:token,what:token,at:float\r\nu1,a,view,1712937599\r\n")
    rows = parsed(spark, registration(behavior), str(folder))
    assert plain(rows, "user_id", "item_id", "event") == [("u1", "a", "click")]
