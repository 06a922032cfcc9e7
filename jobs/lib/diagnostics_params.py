"""The `diagnostics:` block of a solution: when a user is suspicious, and how much is looked at. Free of Spark."""

from __future__ import annotations

from pydantic import Field

from jobs.lib.yaml_model import Strict


class Diagnostics(Strict):
    """Defaults that people rarely reach: a user who does is worth a look, and is left out only where `ranking` says so.

    Acts are all events but the impression. Both are judged within one day.
    """

    burst_acts_per_minute: int = Field(30, ge=2)
    click_everything_share: float = Field(0.9, gt=0, le=1)  # of the items shown to the user that day
    click_everything_items: int = Field(30, ge=1)  # only users who were shown at least so many
    sample_rows: int = Field(50_000, ge=1000, le=1_000_000)  # of training and of scoring, for the skew between them
