import pytest

from jobs.lib import days
from jobs.lib.errors import RecflowError


def test_a_window_ends_at_its_ds_and_crosses_months_and_leap_days():
    assert days.window("20240302", 4) == ["20240228", "20240229", "20240301", "20240302"]
    assert days.window("20261121", 1) == ["20261121"]


def test_day_numbers_count_from_1970_and_come_back():
    assert days.day_number("19700102") == 1
    assert days.from_day_number(days.day_number("20261121")) == "20261121"
    assert days.add_days("20261231", 1) == "20270101"


@pytest.mark.parametrize("bad", ["2026-11-21", "20261301", "2026112", "", None, "20260229", "２０２６１１２１"])
def test_what_is_not_a_ds_is_refused_by_name(bad):
    with pytest.raises(RecflowError, match="is not a ds"):
        days.check_ds(bad)


def test_a_range_that_ends_before_it_starts_is_refused():
    with pytest.raises(RecflowError, match="20261122 to 20261121"):
        days.day_range("20261122", "20261121")
