"""Small files in, whole tables and reports out."""

import pytest

from jobs.data.import_files import import_folder
from jobs.data.source_files import ImportRefused
from jobs.lib.partitions import delta_table, present_days, record
from jobs.lib.tables import read_days
from tests.data.imports import GOOD, HEADER, LOG, registration

ITEMS = {"file": "items.csv", "roles": {"item_id": "sku", "numerical": ["price"]}}


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "in"
    made.mkdir()
    return made


def plain(frame, *columns):
    return sorted((tuple(row) for row in frame.select(*columns).collect()), key=str)


def test_a_shop_is_imported_whole(spark, warehouse, folder):
    (folder / "log.csv").write_text(
        HEADER
        + "u1,a,view,1712937599,,North\n" * 2  # 23:59:59 of 12 April in Shanghai, twice
        + "u1,a,buy,1712937600,9.5,North\n"  # one second later: the 13th
        + '"u,2", c ,view,1713110400,,"the ""old"" one"\n'  # the 15th; the 14th has no events
        + "u3,a,cart,1713110400,,North\n"
        + "u3,a,view,soon,,North\n"
    )
    (folder / "items.csv").write_text("sku,price,tags\na,10,x|y\nb,,\nb,3,\n")
    items = {"file": "items.csv", "tag_separator": "|", "first_tag": "kind"}
    items["roles"] = {"item_id": "sku", "tags": "tags", "numerical": ["price"]}
    behavior, item = import_folder(registration(item=items, max_quarantined=0.5), folder)
    assert str(behavior).splitlines() == [
        "log.csv: 6 rows read = 3 kept + 2 quarantined + 1 exact duplicates; "
        "shop_behavior ds=20240412..20240415: 3 rows",
        "  quarantined: 1 × at is not a time in the declared format (log.csv:7 'soon')",
        "  quarantined: 1 × what is not a declared event (view, buy) (log.csv:6 'cart')",
        "  1 events of 1 unknown items",
    ]
    assert str(item).splitlines() == [
        "items.csv: 3 rows read = 2 kept + 1 quarantined + 0 exact duplicates; shop_item ds=20240411: 2 rows",
        "  quarantined: 1 × sku is there in another row",
    ]
    days = ["20240412", "20240413", "20240414", "20240415"]
    assert present_days("shop_behavior") == days and record("shop_behavior", "20240414")["rows"] == 0
    columns = ("user_id", "item_id", "event", "event_time", "value", "shop", "ds")
    assert plain(read_days("shop_behavior", days), *columns) == [
        ("u,2", "c", "click", 1713110400, None, 'the "old" one', "20240415"),
        ("u1", "a", "click", 1712937599, None, "North", "20240412"),
        ("u1", "a", "purchase", 1712937600, 9.5, "North", "20240413"),
    ]
    assert plain(read_days("shop_item", ["20240411"]), "item_id", "price", "tags", "kind") == [
        ("a", 10.0, "x,y", "x"),
        ("b", 3.0, None, None),
    ]
    assert plain(read_days("shop_quarantine", days), "source", "file", "line", "column", "value", "ds") == [
        ("behavior", "log.csv", 6, "what", "cart", "20240415"),
        ("behavior", "log.csv", 7, "at", "soon", "20240412"),
        ("item", "items.csv", 3, "sku", "b", "20240412"),
    ]


def test_a_second_import_replaces_exactly_the_days_it_covers(spark, warehouse, folder):
    day = 86_400
    (folder / "log.csv").write_text(
        HEADER + "".join(GOOD.replace("1712937599", str(1712937599 + n * day)) for n in range(3))
    )
    import_folder(registration(), folder)
    first = {ds: record("shop_behavior", ds) for ds in present_days("shop_behavior")}
    (folder / "log.csv").write_text(HEADER + GOOD.replace("1712937599", str(1712937599 + day)).replace("u1", "u7"))
    (report,) = import_folder(registration(), folder)
    assert report.days == ("20240413", "20240413")
    second = {ds: record("shop_behavior", ds) for ds in present_days("shop_behavior")}
    assert [ds for ds in first if first[ds] != second[ds]] == ["20240413"] and first.keys() == second.keys()
    assert plain(read_days("shop_behavior", list(second)), "user_id", "ds") == [
        ("u1", "20240412"),
        ("u1", "20240414"),
        ("u7", "20240413"),
    ]
    assert delta_table("shop_behavior").protocol().min_writer_version == 2


def test_the_same_files_make_the_same_partitions(spark, warehouse, folder):
    (folder / "log.csv").write_text(HEADER + GOOD + GOOD.replace("u1", "u2"))
    import_folder(registration(), folder)
    first = record("shop_behavior", "20240412")
    import_folder(registration(), folder)
    assert record("shop_behavior", "20240412") == first and first["rows"] == 2


def test_a_span_replaces_its_days_only_and_empties_those_without_events(spark, warehouse, folder):
    day = 86_400
    (folder / "log.csv").write_text(
        HEADER + "".join(GOOD.replace("1712937599", str(1712937599 + n * day)) for n in range(4))
    )
    (report,) = import_folder(registration(), folder, ("20240413", "20240414"))
    assert (report.read, report.kept) == (2, 2) and present_days("shop_behavior") == ["20240413", "20240414"]
    with pytest.raises(ImportRefused, match="log.csv: nothing to import: .* 4 rows are of other days"):
        import_folder(registration(), folder, ("20230101", "20230102"))


def test_too_much_bad_data_stops_the_import_and_nothing_is_written(spark, warehouse, folder):
    (folder / "items.csv").write_text("sku,price\na,1\n")
    (folder / "log.csv").write_text(HEADER + GOOD * 18 + "u1,a,view,soon,,\n" * 2)
    match = r"log.csv: 2 of 20 rows \(10.0%\) cannot be kept, max_quarantined allows 5.0%; nothing was written: 2 × at"
    with pytest.raises(ImportRefused, match=match):
        import_folder(registration(item=ITEMS), folder)
    assert present_days("shop_behavior") == [] == present_days("shop_item")
    (behavior, _) = import_folder(registration(item=ITEMS, max_quarantined=0.1), folder)
    assert (behavior.read, behavior.kept, behavior.quarantined, behavior.duplicates) == (20, 1, 2, 17)


@pytest.mark.parametrize(
    "items, message",
    [
        ("sku,price\na,dear\n", r"items.csv: nothing to import: 1 rows read, none kept: 1 × price is not a number"),
        ("sku,price\n", r"items.csv: nothing to import: 0 rows read, none kept: it has no rows"),
        (None, "items.csv: there is no such file"),
    ],
)
def test_a_file_of_which_nothing_is_kept_stops_the_import(spark, warehouse, folder, items, message):
    (folder / "log.csv").write_text(HEADER + GOOD)
    if items is not None:
        (folder / "items.csv").write_text(items)
    with pytest.raises(ImportRefused, match=message):
        import_folder(registration(item=ITEMS), folder)
    assert present_days("shop_behavior") == []


def test_days_that_cannot_belong_together_stop_the_import(spark, warehouse, folder):
    (folder / "log.csv").write_text(HEADER + GOOD + GOOD.replace("1712937599", "1"))
    with pytest.raises(ImportRefused, match="from ds=19700101 to ds=20240412 span 19,826 days"):
        import_folder(registration(), folder)


def test_a_commit_that_is_blocked_leaves_no_file_behind(spark, warehouse, folder, monkeypatch):
    (folder / "log.csv").write_text(HEADER + GOOD)
    import_folder(registration(), folder)
    before = sorted(warehouse.rglob("*.parquet"))
    monkeypatch.setattr("jobs.data.import_files._commit", lambda *_: (_ for _ in ()).throw(ImportRefused("blocked")))
    with pytest.raises(ImportRefused, match="blocked"):
        import_folder(registration(), folder)
    assert sorted(warehouse.rglob("*.parquet")) == before and not list(warehouse.rglob("*.arrow"))


def test_a_snapshot_serves_the_days_from_its_own_until_it_is_too_old(spark, warehouse, folder):
    from jobs.lib.input_tables import TableConfig
    from jobs.lib.partitions import as_of_day

    (folder / "log.csv").write_text(HEADER + GOOD)
    (folder / "items.csv").write_text("sku,price\na,1\n")
    for day in ("20240401", "20240410"):
        import_folder(registration(item={**ITEMS, "as_of": day, "max_age_days": 5}), folder)
    config = TableConfig.model_validate(registration(item={**ITEMS, "max_age_days": 5}).tables_config()["item"])
    told = {
        ds: as_of_day(config, ds) for ds in ("20240331", "20240401", "20240406", "20240407", "20240410", "20240416")
    }
    assert told == {
        "20240331": None,
        "20240401": "20240401",
        "20240406": "20240401",
        "20240407": None,
        "20240410": "20240410",
        "20240416": None,
    }


def test_a_late_event_empties_no_day_that_was_written(spark, warehouse, folder):
    day = 86_400
    lines = [GOOD.replace("1712937599", str(1712937599 + n * day)) for n in range(4)]
    (folder / "log.csv").write_text(HEADER + "".join(lines[:2]))
    import_folder(registration(), folder)
    (folder / "log.csv").write_text(HEADER + lines[0].replace("u1", "late") + lines[3])
    import_folder(registration(), folder)
    rows = {ds: record("shop_behavior", ds)["rows"] for ds in present_days("shop_behavior")}
    assert rows == {"20240412": 1, "20240413": 1, "20240414": 0, "20240415": 1}


def test_lines_that_a_quote_swallows_count_as_lost(spark, warehouse, folder):
    rows = [GOOD.replace("u1", f"u{n}") for n in range(100)]
    (folder / "log.csv").write_text(HEADER + "".join(rows[:50]) + '"u,a,view,1712937599,,\n' + "".join(rows[50:]))
    with pytest.raises(ImportRefused, match=r"log.csv: 51 of 101 rows \(50.5%\) cannot be kept, .* a quote not closed"):
        import_folder(registration(), folder)


def test_too_many_rows_of_one_id_stop_the_import(spark, warehouse, folder):
    (folder / "log.csv").write_text(HEADER + GOOD)
    (folder / "items.csv").write_text("sku,price\n" + "".join(f"{n % 10},{n}\n" for n in range(100)))
    with pytest.raises(ImportRefused, match=r"items.csv: 90 of 100 rows .* 90 × the id of another row"):
        import_folder(registration(item=ITEMS), folder)
    assert present_days("shop_behavior") == []


def test_an_import_that_is_stopped_after_a_commit_leaves_every_table_readable(spark, warehouse, folder, monkeypatch):
    import jobs.data.import_files as import_files

    (folder / "log.csv").write_text(HEADER + GOOD)
    (folder / "items.csv").write_text("sku,price\na,1\n")
    import_folder(registration(item=ITEMS), folder)
    commit = import_files._commit

    def stopped_at_behavior(registration, kind, written, days):
        if kind == "behavior":
            raise KeyboardInterrupt
        commit(registration, kind, written, days)

    monkeypatch.setattr(import_files, "_commit", stopped_at_behavior)
    (folder / "items.csv").write_text("sku,price\na,2\n")
    with pytest.raises(KeyboardInterrupt):
        import_folder(registration(item=ITEMS), folder)
    assert plain(read_days("shop_item", ["20240411"]), "item_id", "price") == [("a", 2.0)]
    assert plain(read_days("shop_behavior", ["20240412"]), "user_id") == [("u1",)]


def test_events_are_the_same_whatever_the_order_of_the_rows(spark, warehouse, folder):
    lines = [f"u{n},a,view,{1712937599 - n},,\n" for n in range(9)]
    contents = []
    for ordered in (lines, lines[::-1]):
        (folder / "log.csv").write_text(HEADER + "".join(ordered))
        import_folder(registration(), folder)
        contents.append(record("shop_behavior", "20240412")["content"])
    assert contents[0] == contents[1]


def test_a_partitioned_table_is_synchronised_for_a_span_without_reading_the_rest(spark, warehouse, folder):
    for day, seconds in (("2024-04-12", 1712937599), ("2024-04-13", 1712937600), ("2024-04-14", 1713110399)):
        (folder / f"log/dt={day}").mkdir(parents=True)
        (folder / f"log/dt={day}/part.csv").write_text(HEADER + GOOD.replace("1712937599", str(seconds)))
    (folder / "log/dt=2024-04-14/part.csv").write_text("no table at all")
    behavior = {**LOG, "file": "log", "format": "csv", "partition": {"column": "dt", "format": "%Y-%m-%d"}}
    (report,) = import_folder(registration(behavior), folder, ("20240412", "20240413"))
    assert (report.read, report.days) == (2, ("20240412", "20240413"))
    with pytest.raises(ImportRefused, match="no partition dt from ds=20240501 to 20240502: there are 3 files"):
        import_folder(registration(behavior), folder, ("20240501", "20240502"))
