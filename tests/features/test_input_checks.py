"""Input tables that other systems fill, judged before the flow reads them."""

import deltalake
import pyarrow as pa
import pytest

from jobs.features.input_checks import contract_for, main
from jobs.lib import partitions, quality_results
from jobs.lib.cli import main as recflow
from jobs.lib.errors import ContractError, QualityError
from jobs.lib.solution import Solution

DS, BEFORE = "20261121", "20261120"
MIDNIGHT = 1_795_190_400  # the start of DS in Asia/Shanghai
WRITER = "shop_input_checks"


def solution(**changes):
    behavior = {
        "table": "events",
        "roles": {"user_id": "uid", "item_id": "sku", "event": "what", "event_time": "at", "request_id": "rid"},
    }
    tables = {
        "behavior": behavior | changes.pop("behavior", {}),
        "item": {"table": "items", "roles": {"item_id": "sku"}},
        "user": {"table": "users", "snapshot": "once", "roles": {"user_id": "uid"}},
    }
    raw = {"scenario": "shop", "timezone": "Asia/Shanghai", "events": ["shown", "click"], "recalls": []}
    return Solution.model_validate(raw | {"tables": tables, "publish": {"fallback": None}} | changes)


def fill(table, ds, columns, *rows):
    """As another system does: straight into Delta, with columns and types of its own."""
    values = {name: [row[i] for row in rows] for i, name in enumerate(columns.split())}
    data = pa.table(values | {"ds": pa.array([ds] * len(rows), pa.string())})
    deltalake.write_deltalake(partitions.table_path(table), data, mode="append", partition_by=["ds"])


def fill_day(ds, *events, items=(1, 2), shift=0):
    good = [("r1", 7, 1, "shown", MIDNIGHT + shift + 80_000), ("r1", 7, 1, "click", MIDNIGHT + shift + 80_001)]
    fill("events", ds, "rid uid sku what at", *good, *events)
    fill("items", ds, "sku", *((item,) for item in items))


@pytest.fixture
def shop(spark, warehouse):
    fill("users", "20261101", "uid", (7,), (8,))


def judged(ds=DS):
    found = quality_results.of_day(ds, {WRITER})
    return {f"{day['table']}.{r['name']}": r for day in found for r in day["results"]}


def broken(ds=DS):
    return {name: (r["level"], r["observed"], r["of"]) for name, r in judged(ds).items() if not r["passed"]}


def test_good_inputs_pass_and_say_where_there_is_no_history(shop):
    fill_day(DS)
    main([DS], solution(), None)
    assert broken() == {}
    no_history = {name for name, r in judged().items() if r["level"] == "no_history"}
    assert no_history == {
        *(f"events.{name}" for name in ("volume_1d", "volume_7d", "volume_30d", "mix_of_events_7d")),
        *(f"{table}.{name}" for table in ("items", "users") for name in ("volume_1d", "volume_7d")),
    }
    assert judged()["users.snapshot_is_recent"]["observed"] == 20


BAD = {
    "events.day_is_complete": [],
    "events.events_are_of_the_day": [("r1", 7, 1, "shown", MIDNIGHT - 1)],
    "events.events_are_declared": [("r1", 7, 1, "share", MIDNIGHT + 80_002)] * 9,
    "events.items_are_listed": [("r1", 7, 3, "shown", MIDNIGHT)],
    "events.users_are_listed": [("r1", 9, 1, "shown", MIDNIGHT)],
    "events.acts_follow_an_impression": [("r2", 7, 1, "click", MIDNIGHT)],
}


@pytest.mark.parametrize("check", BAD)
def test_what_is_odd_is_shown_and_blocks_nothing(shop, check):
    fill_day(DS, *BAD[check], shift=0 if BAD[check] else -50_000)
    main([DS], solution(), None)
    assert set(broken()) == {check}


@pytest.mark.parametrize(
    ("check", "events", "items"),
    [
        ("events ds=.*: ds=20261121 check keys_are_there", [("r1", None, 1, "shown", MIDNIGHT)], (1, 2)),
        ("items ds=.*: ds=20261121 check one_row_per_item", [], (1, 1)),
        ("items ds=.*: ds=20261121 check keys_are_there", [], (1, None)),
    ],
)
def test_what_cannot_be_read_blocks_the_day(shop, check, events, items):
    fill_day(DS, *events, items=items)
    with pytest.raises(QualityError, match=check.replace(" ds=.*", " is not fit to be read")):
        main([DS], solution(), None)


def test_an_operator_lets_a_block_pass_once_and_the_result_says_who_and_why(shop, capsys, monkeypatch):
    fill_day(DS, items=(1, 1))
    with pytest.raises(QualityError):
        main([DS], solution(), None)
    arguments = ["quality", "override", "--table", "items", "--ds", DS, "--who", "ann", "--why", "known, harmless"]
    assert recflow([*arguments, "--check", "keys_are_there"]) == 1
    assert "what blocks: one_row_per_item" in capsys.readouterr().err
    assert recflow([*arguments, "--check", "one_row_per_item"]) == 0
    main([DS], solution(), None)
    result = judged()["items.one_row_per_item"]
    assert (result["level"], result["blocks"]) == ("red", False)
    assert result["override"] == {"who": "ann", "why": "known, harmless"}
    with pytest.raises(QualityError):
        main([DS], solution(), None)


def test_days_before_are_history_unless_they_were_blocked(shop):
    fill_day(BEFORE, items=(1, 1, 2, 3), shift=-86_400)
    with pytest.raises(QualityError):
        main([BEFORE], solution(), None)
    fill_day(DS, *[("r1", 7, 1, "shown", MIDNIGHT)] * 4)
    main([DS], solution(), None)
    assert broken() == {"events.volume_1d": ("red", 2.0, None)}
    assert judged()["items.volume_1d"]["level"] == "no_history"


def test_a_range_is_judged_at_once_each_day_beside_the_one_before(shop):
    fill_day(BEFORE, shift=-86_400)
    fill_day(DS, *[("r1", 7, 1, "shown", MIDNIGHT)] * 4)
    main([BEFORE, DS], solution(), None)
    assert broken(BEFORE) == {}
    assert broken() == {"events.volume_1d": ("red", 2.0, None)}
    assert judged(BEFORE)["users.snapshot_is_recent"]["observed"] == 19


def test_checks_of_roles_and_tables_that_are_not_there_are_left_out():
    positives = solution(behavior={"impressions": False}, events=["click"])
    tables = positives.tables.model_copy(update={"user": None})
    names = {check.name for check in contract_for("behavior", positives.model_copy(update={"tables": tables})).checks}
    assert not names & {"acts_follow_an_impression", "users_are_listed", "mix_of_scenes_7d"}
    assert "items_are_listed" in names
    full = {check.name: check for check in contract_for("behavior", solution()).checks}
    assert full["acts_follow_an_impression"].first == "shown"
    assert full["events_are_declared"].values == ["shown", "click"]
    assert full["day_is_complete"].timezone == "Asia/Shanghai"


def test_a_table_of_another_system_is_also_held_against_its_own_contract(shop, tmp_path, monkeypatch):
    from jobs.lib import contracts

    (tmp_path / "items.yaml").write_text(
        "table: items\ncomment: .\nowner: shop\ngrain: [ds, sku]\n"
        "columns: [{name: sku, type: bigint, comment: item}]\n"
        "checks: [{name: small_numbers, kind: range, column: sku, max: 5, severity: fail}]\n"
    )
    monkeypatch.setattr("jobs.features.input_checks.SCHEMAS", tmp_path)
    known = contracts.load_contract
    own = lambda name: contracts.validated(  # noqa: E731
        contracts.Contract, contracts.read_yaml(tmp_path / "items.yaml"), tmp_path
    )
    monkeypatch.setattr(
        "jobs.features.input_checks.load_contract", lambda name: own(name) if name == "items" else known(name)
    )
    fill_day(DS, items=(1, 6))
    with pytest.raises(QualityError, match="items is not fit to be read: ds=20261121 check small_numbers"):
        main([DS], solution(), None)
    (tmp_path / "items.yaml").write_text((tmp_path / "items.yaml").read_text().replace("bigint", "string"))
    with pytest.raises(ContractError, match="column sku is bigint, the contract says string"):
        main([DS], solution(), None)
