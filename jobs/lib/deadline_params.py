"""By when a day has to be published: the `deadline:` block of a solution. Free of Spark."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from jobs.lib.days import add_days, to_date
from jobs.lib.yaml_model import Strict


class Deadline(Strict):
    """publish: wall clock in the solution's zone, `days_after` days after ds; warn_minutes: how long before it whoever
    is on duty hears what is late (0: only at the deadline)."""

    publish: str
    warn_minutes: int = Field(60, ge=0, le=1440)
    days_after: int = Field(1, ge=1, le=7)

    @field_validator("publish", mode="before")
    @classmethod
    def _is_a_time(cls, text: Any) -> str:
        if not isinstance(text, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
            raise ValueError(f'{text!r} is no time of day: hours and minutes in quotes are expected, as "07:30"')
        return text

    @model_validator(mode="after")
    def _warns_after_the_day(self) -> Deadline:
        hours, minutes = map(int, self.publish.split(":"))
        most = hours * 60 + minutes + (self.days_after - 1) * 1440
        if self.warn_minutes > most:
            raise ValueError(
                f"warn_minutes: {self.warn_minutes} minutes before {self.publish} the day is not over; at most {most}"
            )
        return self

    def at(self, ds: str, zone: ZoneInfo) -> datetime:
        """The moment by which ds has to be published."""
        day, (hours, minutes) = to_date(add_days(ds, self.days_after)), map(int, self.publish.split(":"))
        return datetime(day.year, day.month, day.day, hours, minutes, tzinfo=zone)

    def warned_at(self, ds: str, zone: ZoneInfo) -> datetime:
        """Minutes before the deadline as they pass, also in a night in which the clock is put forward or back."""
        return self.at(ds, zone).astimezone(ZoneInfo("UTC")) - timedelta(minutes=self.warn_minutes)
