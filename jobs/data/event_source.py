"""Where the event of a registered row comes from. Free of Spark."""

from __future__ import annotations

from pydantic import Field, model_validator

from jobs.lib.yaml_model import Strict


class RatingEvent(Strict):
    """Each row is a rating or a label: `positive` at `at_least` or more; every row an `exposure` too, where that is
    given.

    true and false count as 1 and 0.
    """

    column: str
    at_least: float
    positive: str
    exposure: str | None = None


class ImpressionList(Strict):
    """Each row shows several items: tokens `item-1` (clicked) and `item-0` (not), separated by spaces."""

    column: str
    shown: str
    clicked: str


class ShownItems(Strict):
    """A column that lists what was shown when the event happened (Personalize's IMPRESSION): an `event` for each
    item."""

    column: str
    event: str
    separator: str = Field("|", min_length=1)


class EventSource(Strict):
    """One of: a column that names the event, one constant event, a rating (or label), an impression list.

    names: {value in the file: event}; without it the values are the events. ignored: values that make no event and are
    no mistake. shown: goes with column or constant.
    """

    column: str | None = None
    names: dict[str, str] = {}
    ignored: list[str] = []
    constant: str | None = None
    rating: RatingEvent | None = None
    impression_list: ImpressionList | None = None
    shown: ShownItems | None = None

    @model_validator(mode="after")
    def _one_source(self) -> EventSource:
        given = [k for k in ("column", "constant", "rating", "impression_list") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of column, constant, rating, impression_list")
        if (self.names or self.ignored) and not self.column:
            raise ValueError("names and ignored go with column")
        if both := sorted(set(self.names) & set(self.ignored)):
            raise ValueError(f"ignored: {both[0]!r} is among names too")
        if self.shown and not (self.column or self.constant):
            raise ValueError("shown goes with column or constant")
        return self

    @property
    def exposure(self) -> str | None:
        """The event that rows of this kind make for an item that was shown, where the kind says so."""
        if self.impression_list:
            return self.impression_list.shown
        if self.shown:
            return self.shown.event
        return self.rating.exposure if self.rating else None

    def events(self) -> list[str]:
        """The events that this source names."""
        if self.impression_list:
            return [self.impression_list.shown, self.impression_list.clicked]
        if self.rating:
            return [e for e in (self.rating.exposure, self.rating.positive) if e is not None]
        named = [self.constant] if self.constant is not None else list(self.names.values())
        return [*named, *([self.shown.event] if self.shown else [])]

    def columns(self) -> list[str]:
        """The columns of the file that it reads."""
        sources = [self.impression_list, self.rating, self.shown]
        return [*([self.column] if self.column else []), *[source.column for source in sources if source]]
