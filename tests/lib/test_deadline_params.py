"""The `deadline:` block: which moments it means, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from jobs.lib.deadline_params import Deadline
from jobs.lib.errors import SolutionError
from jobs.lib.settings import PROJECT_ROOT
from jobs.lib.solution import load_solution


def utc(*moment):
    return datetime(*moment, tzinfo=UTC)


def test_the_deadline_is_the_solutions_wall_clock_on_the_day_after():
    deadline, zone = Deadline(publish="07:30"), ZoneInfo("Asia/Shanghai")
    assert deadline.at("20261121", zone) == utc(2026, 11, 21, 23, 30)
    assert deadline.warned_at("20261121", zone) == utc(2026, 11, 21, 22, 30)
    assert Deadline(publish="07:30", days_after=2).at("20261231", zone) == utc(2027, 1, 1, 23, 30)


def test_a_changed_clock_moves_neither_the_deadline_nor_the_margin():
    zone = ZoneInfo("America/New_York")  # put forward at 02:00 on 20270314
    deadline = Deadline(publish="03:30", warn_minutes=60)
    assert deadline.at("20270313", zone) == utc(2027, 3, 14, 7, 30)
    assert deadline.warned_at("20270313", zone) == utc(2027, 3, 14, 6, 30)


@pytest.mark.parametrize(
    ("block", "error"),
    [
        ({"publish": 450}, "450 is no time of day: hours and minutes in quotes"),  # how YAML reads 7:30
        ({"publish": "24:00"}, "'24:00' is no time of day"),
        ({"publish": "00:30"}, "60 minutes before 00:30 the day is not over; at most 30"),
        ({"publish": "07:30", "warn_minutes": -1}, "greater than or equal to 0"),
        ({"publish": "07:30", "warn": 5}, "Extra inputs"),
    ],
)
def test_what_is_no_deadline_is_refused(block, error):
    with pytest.raises(ValidationError) as raised:
        Deadline(**block)
    assert error in str(raised.value)


def test_the_error_names_file_and_key(tmp_path):
    text = (PROJECT_ROOT / "dags" / "home_page.yaml").read_text() + "\ndeadline: {publish: 7:30}\n"
    (tmp_path / "page.yaml").write_text(text)
    with pytest.raises(SolutionError, match="page.yaml: deadline.publish: 450 is no time of day"):
        load_solution(tmp_path / "page.yaml")
