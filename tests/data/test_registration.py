"""Registration files: what is refused on load, and the solution that follows from one. No Spark."""

import copy

import pytest
import yaml

from jobs.data.registered_files import column_name
from jobs.data.registration import load_registration, solution_fields
from jobs.lib.errors import SolutionError
from jobs.lib.settings import SCHEMAS
from jobs.lib.yaml_model import read_yaml

SHOP = {
    "name": "shop",
    "timezone": "Asia/Shanghai",
    "events": ["click", "purchase"],
    "target": "click",
    "files": {
        "behavior": {
            "file": "log.csv",
            "roles": {"user_id": "uid", "item_id": "sku", "event_time": "at"},
            "event": {"column": "what", "names": {"view": "click", "buy": "purchase"}},
            "impressions": False,
        },
        "item": {
            "file": "items.csv",
            "roles": {"item_id": "sku", "categorical": ["Brand Name"], "numerical": ["price"]},
        },
    },
}


def changed(path, value):
    raw = copy.deepcopy(SHOP)
    *parents, last = path.split(".")
    inner = raw
    for key in parents:
        inner = inner[key]
    inner[last] = value
    return raw


@pytest.fixture
def load(tmp_path):
    def loaded(raw):
        file = tmp_path / "shop.yaml"
        file.write_text(yaml.safe_dump(raw))
        return load_registration(file)

    return loaded


def test_columns_are_named_by_role_or_by_their_own_plain_name(load):
    assert load(SHOP).tables_config() == {
        "behavior": {
            "table": "shop_behavior",
            "impressions": False,
            "roles": {"user_id": "user_id", "item_id": "item_id", "event_time": "event_time", "event": "event"},
        },
        "item": {
            "table": "shop_item",
            "snapshot": "once",
            "max_age_days": None,
            "complete": True,
            "roles": {"item_id": "item_id", "categorical": ["brand_name"], "numerical": ["price"]},
        },
    }


@pytest.mark.parametrize(
    "name, plain", [("Brand Name", "brand_name"), ("2nd", "c_2nd"), ("a__b-", "a_b"), ("价格", "c_")]
)
def test_plain_names(name, plain):
    assert column_name(name) == plain


@pytest.mark.parametrize(
    "path, value, message",
    [
        ("delimeter", ";", "shop.yaml: delimeter: unknown key; allowed: comment, events"),
        (
            "files.behavior.delimeter",
            ";",
            "files.behavior.delimeter: unknown key; allowed: checks, columns, day, delimiter",
        ),
        ("files.behavior.roles.uid", "uid", "files.behavior.roles.uid: unknown key"),
        ("target", "praise", "event 'praise' is not declared in events: click, purchase"),
        ("files.behavior.event.names", {"cart": "cart"}, "event 'cart' is not declared in events"),
        (
            "files.behavior.time_format",
            "yyyy-MM-dd",
            "'yyyy-MM-dd' is not a time format: unix_s, unix_ms, iso, or strftime",
        ),
        ("files.behavior.time_format", "%H:%M", "'%H:%M' does not tell the day"),
        ("files.behavior.time_format", "%Y-%m-%q", "%q cannot be read"),
        ("files.behavior.encoding", "utf-99", "'utf-99' is not an encoding"),
        ("files.behavior.day", "20240230", "'20240230' is not a ds"),
        ("files.behavior.day", 20240412, "give either roles.event_time, or `day`"),
        ("files.behavior.event.ignored", ["view"], "ignored: 'view' is among names too"),
        ("max_quarantined", 2, "max_quarantined: Input should be less than or equal to 1"),
        ("files.behavior.event", {}, "give exactly one of column, constant, rating, impression_list"),
        ("files.behavior.event", {"column": "what", "constant": "click"}, "give exactly one of"),
        ("files.behavior.roles", {"user_id": "uid", "event_time": "at"}, "roles.item_id is needed"),
        ("files.behavior.header", False, "a header or `header: false` and its columns listed"),
        ("files.behavior.columns", ["uid"], "a header or `header: false` and its columns listed"),
        ("files.behavior.file", "../log.csv", "'../log.csv' is not a file within the folder"),
        ("files.item.roles.categorical", ["ds"], "the column name 'ds' is taken: rename it"),
        ("files.item.roles.categorical", ["price"], "the column name 'price' is taken: rename it"),
        ("files.item.roles.categorical", {"Brand": "b"}, "'Brand' cannot name a column; 'brand' can"),
        ("files.item.first_tag", "genre", "first_tag needs the role tags"),
        ("timezone", "Shanghai", "'Shanghai' is not a time zone"),
        ("solution", {"tables": {}}, "solution.tables: the registration itself says this"),
        (
            "files.behavior.event",
            {"rating": {"column": "stars", "at_least": 4, "positive": "purchase", "exposure": "click"}},
            "impressions: the events include exposures, so it must be true",
        ),
    ],
)
def test_what_does_not_hold_is_refused_with_file_and_path(load, path, value, message):
    with pytest.raises(SolutionError) as refused:
        load(changed(path, value))
    assert message in str(refused.value) and "shop.yaml" in str(refused.value)


def test_a_role_that_is_no_listed_column_is_refused(load):
    raw = changed("files.behavior.header", False)
    raw["files"]["behavior"]["columns"] = ["uid", "sku", "at"]
    with pytest.raises(SolutionError, match="column 'what' is not among columns: uid, sku, at"):
        load(raw)


def test_the_solution_takes_its_own_settings_over_the_defaults():
    defaults = {
        "scenario": "home_page",
        "scenes": ["home"],
        "events": ["expr", "click"],
        "features": {"windows": [3, 7], "events": ["expr"], "preference": {"event": "click", "window": 15}},
        "ranking": {"training_days": 14, "params": {"max_depth": 6}},
        "demo": {"users": 5},
    }
    raw = {**SHOP, "solution": {"ranking": {"training_days": 4}, "features": {"windows": [1]}}}
    fields = solution_fields(raw, SCHEMAS / "shop.yaml", defaults)
    assert fields["scenario"] == "shop" and fields["timezone"] == "Asia/Shanghai"
    assert fields["events"] == ["click", "purchase"] and fields["target"] == "click"
    assert fields["features"] == {"windows": [1], "preference": {"window": 15}}
    assert fields["ranking"] == {"training_days": 4, "params": {"max_depth": 6}}
    assert "scenes" not in fields and "demo" not in fields
    assert defaults["features"]["events"] == ["expr"]


@pytest.mark.parametrize("file", sorted((SCHEMAS / "registrations").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_registration_in_the_project_loads_and_gives_a_solution(file):
    from jobs.lib.solution import load_solution

    assert load_registration(file.stem) == load_registration(file)
    assert load_solution(file).scenario == read_yaml(file)["name"] == file.stem
