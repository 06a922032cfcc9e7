"""Solutions and literal tables for tests of features and ranking."""

from __future__ import annotations

import copy

import yaml

from jobs.lib.settings import PROJECT_ROOT
from jobs.lib.solution import Solution

HOME_PAGE = yaml.safe_load((PROJECT_ROOT / "dags" / "home_page.yaml").read_text(encoding="utf-8"))

ACTIONS = "ds string, user_id string, item_id string, event string, cnt bigint, value_micros bigint, last_time bigint"
EVENTS = (
    "ds string, request_id string, user_id string, item_id string, event string, event_time bigint, value double, "
    "scene string, net_type string"
)
ITEMS = (
    "ds string, item_id string, title string, author string, listing_time bigint, tags string, category string, "
    "duration double, click_count double, praise_count double"
)
USERS = (
    "ds string, user_id string, registration_time bigint, tags string, gender string, city string, age double, "
    "item_cnt double, follow_cnt double, follower_cnt double"
)


def demo_solution(**sections) -> Solution:
    """The demo's solution with the given sections merged over it, with fewer features and without recalls unless they
    are given."""
    raw = copy.deepcopy(HOME_PAGE) | {"recalls": [], "fusion": {"method": "fixed"}}
    raw["features"] |= {"windows": [3, 7, 15], "preference": {"event": "click", "window": 15, "top": 10}}
    raw["ranking"] |= {"features": None}
    raw["publish"] |= {"fallback": None}
    return Solution.model_validate(_merged(raw, sections))


def _merged(below: dict, above: dict) -> dict:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        merged[key] = _merged(below[key], value) if both else value
    return merged


def rows_of(frame, *keys: str) -> list[dict]:
    """A DataFrame's rows as dictionaries in the order of the keys."""
    return sorted((row.asDict(recursive=True) for row in frame.collect()), key=lambda row: [row[k] for k in keys])
