"""What was judged of a day becomes a table and a site, also when it blocked."""

import pytest

from jobs.lib import contracts, partitions, quality_results
from jobs.lib.cli import main as recflow
from jobs.lib.contracts import Contract
from jobs.lib.errors import QualityError
from jobs.lib.object_store import open_store
from jobs.lib.settings import settings
from jobs.lib.tables import read_days, write_days
from jobs.publish.quality_result import main
from tests.publish.builders import solution

DS, BEFORE = "20261121", "20261120"
HOT, LISTS = "home_page_hot", "home_page_recommendations"
LISTED = Contract.model_validate(
    {
        "table": "listed",
        "comment": ".",
        "owner": "tests",
        "grain": ["item_id"],
        "columns": [{"name": "item_id", "type": "string", "comment": "item"}],
        "checks": [
            {"name": "one_per_item", "kind": "unique", "columns": ["item_id"], "severity": "fail"},
            {"name": "volume_1d", "kind": "volume_change", "days": 1, "orange": "20%", "severity": "warn"},
        ],
    }
)


@pytest.fixture(autouse=True)
def listed(monkeypatch, warehouse):
    known = contracts.load_contract
    monkeypatch.setattr("jobs.lib.tables.load_contract", lambda name: LISTED if name == "listed" else known(name))


@pytest.fixture
def write(spark):
    def write_table(table, ds, *items):
        rows = spark.createDataFrame([(item, ds) for item in items], "item_id string, ds string")
        return write_days(rows, table, [ds], "listed")

    return write_table


def collected():
    rows = read_days("home_page_quality_result", [DS]).orderBy("table_name", "check_name").collect()
    return [row.asDict() for row in rows]


def test_blocked_and_written_tables_are_collected_and_the_site_is_built(write):
    write(HOT, BEFORE, "a", "b")
    write(HOT, DS, "a", "b", "c")
    with pytest.raises(QualityError, match="home_page_recommendations was not written: ds=20261121 check one_per_item"):
        write(LISTS, DS, "a", "a")
    write("another_page_hot", DS, "a")
    main([DS], solution(), None)
    about = {"contract": "listed", "contract_id": LISTED.content_id, "ds": DS}
    about |= {"overridden_by": None, "override_reason": None}
    unique = about | {"check_name": "one_per_item", "kind": "unique", "severity": "fail", "orange": None, "red": "> 0"}
    volume = about | {"check_name": "volume_1d", "kind": "volume_change", "severity": "warn", "orange": "> 20%"}
    volume |= {"red": None, "observed_of": None, "is_blocking": False}
    one = unique | {"table_name": HOT, "observed_of": 3, "level": "green", "is_blocking": False, "observed": 0.0}
    two = unique | {"table_name": LISTS, "observed_of": 2, "level": "red", "is_blocking": True, "observed": 1.0}
    shown = ["0 offending rows of 3 (0.00%)", "+50.0% rows against 1 of the last 1 days"]
    shown += ["1 offending rows of 2 (50.00%)", "no history: 0 of the 1 days that are needed"]
    assert collected() == [
        one | {"shown": shown[0]},
        volume | {"table_name": HOT, "level": "orange", "observed": 0.5, "shown": shown[1]},
        two | {"shown": shown[2]},
        volume | {"table_name": LISTS, "level": "no_history", "observed": None, "shown": shown[3]},
    ]
    site = open_store(f"{settings().warehouse_root}/_data_docs")
    assert f"{DS}/home_page/index.html" in site.list()
    (page,) = [key for key in site.list() if "/validations/home_page_recommendations__listed/" in key]
    assert "one_per_item" in site.get(page).decode()
    assert f'<a href="{page.removeprefix(f"{DS}/home_page/")}">' in site.get(f"{DS}/home_page/index.html").decode()

    before, pages = partitions.record("home_page_quality_result", DS), site.list()
    main([DS], solution(), None)
    assert partitions.record("home_page_quality_result", DS) == before
    assert site.list() == pages


def test_a_blocked_write_passes_once_by_an_override_and_everything_says_so(write, capsys):
    write(LISTS, DS, "b")
    with pytest.raises(QualityError):
        write(LISTS, DS, "a", "a")
    assert [row["item_id"] for row in read_days(LISTS, [DS]).collect()] == ["b"]
    assert recflow(["quality", "show", "--ds", DS]) == 1
    assert "red         fail      home_page_recommendations  listed    one_per_item" in capsys.readouterr().out
    override = ["quality", "override", "--table", LISTS, "--ds", DS, "--check", "one_per_item", "--who", "ann"]
    assert recflow([*override, "--why", " "]) == 1
    assert recflow([*override, "--why", "doubles are known"]) == 0
    write(LISTS, DS, "a", "a")
    assert [row["item_id"] for row in read_days(LISTS, [DS]).collect()] == ["a", "a"]
    (check, _) = partitions.record(LISTS, DS)["checks"]
    assert (check["level"], check["override"]) == ("red", {"who": "ann", "why": "doubles are known"})
    capsys.readouterr()
    assert recflow(["quality", "show", "--ds", DS, "--table", LISTS]) == 0
    assert "ann let it pass: doubles are known" in capsys.readouterr().out
    main([DS], solution(), None)
    assert [(row["overridden_by"], row["override_reason"]) for row in collected()][0] == ("ann", "doubles are known")
    with pytest.raises(QualityError):
        write(LISTS, DS, "a", "a")
    assert [key.split("/")[-1] for key in open_store(settings().warehouse_root).list("_overrides")] == [
        "one_per_item.1.json"
    ]


def test_a_day_of_which_nothing_was_judged_has_no_results(spark, warehouse):
    main([DS], solution(), None)
    assert collected() == []
    assert recflow(["quality", "show", "--ds", BEFORE]) == 0
    assert quality_results.of_day(BEFORE) == []
