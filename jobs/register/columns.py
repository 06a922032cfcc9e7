"""What the values of a column look like. Pure functions over a sample."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl

from jobs.data.values import unix_seconds
from jobs.register.dialect import Guess
from jobs.register.names import rank
from jobs.register.sample import Sample

_TIMES_TRIED = 2000
_DAY_SEC = 86_400
_1990, _2100 = 631_152_000, 4_102_444_800
_DAYS = ("%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y年%m月%d日", "%d %b %Y",
         "%b %d, %Y")  # fmt: skip
_CLOCKS = ("", " %H:%M:%S", " %H:%M", " %H:%M:%S.%f", " %I:%M:%S %p", " %I:%M %p")
_FORMATS = (
    *[day + clock for day in _DAYS for clock in _CLOCKS],
    "%Y-%m-%d %H:%M:%S UTC", "%Y%m%d %H:%M:%S", "%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%d %I:%M:%S %p",
)  # fmt: skip
_LIKE_A_DAY = r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}\b|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}\b"
_MICROSECONDS = r"1\d{15}$|1\d{18}$"
_PLAIN_SEPARATORS = ("|", ";", "、", "，")
SEPARATORS = ("|", ";", "、", "，", ",", "/", " ")


@dataclass(frozen=True)
class Times:
    """A column read as times. format: None where the type says it. is_day: no time of day in it."""

    format: str | None
    why: str
    doubt: str = ""
    is_day: bool = False
    zone: str | None = None


@dataclass(frozen=True)
class Column:
    """A column of a sample. numbers: the share of its values that are numbers. counts: {value: rows}, most first."""

    name: str
    rows: int
    filled: int
    counts: dict[str, int] = field(repr=False)
    numbers: float
    is_whole: bool
    low: float
    high: float
    mean_length: float
    times: Times | None

    @cached_property
    def values(self) -> frozenset[str]:
        return frozenset(self.counts)

    @property
    def is_unique(self) -> bool:
        return self.filled > 0.98 * self.rows and len(self.counts) >= 0.98 * self.filled and self.rows > 1

    @property
    def is_number(self) -> bool:
        return self.numbers >= 0.99

    @property
    def is_flag(self) -> bool:
        return {v.lower() for v in self.counts} in ({"0", "1"}, {"true", "false"}, {"0.0", "1.0"})

    @property
    def is_id_like(self) -> bool:
        """Short values without spaces, more than a handful, that are no fractions."""
        has_spaces = sum(" " in value for value in self.counts) > 0.02 * len(self.counts)
        is_fraction = self.is_number and not self.is_whole
        return len(self.counts) > 1 and self.mean_length <= 64 and not has_spaces and not is_fraction

    @property
    def is_odd_time(self) -> bool:
        """Dates or microseconds, in no format that recflow reads."""
        some = list(self.counts)[:100]
        like = _MICROSECONDS if rank(self.name, "event_time") is not None and self.is_number else _LIKE_A_DAY
        return self.times is None and bool(some) and all(re.match(like, value) for value in some)

    def shown(self) -> str:
        return f"{len(self.counts):,} values in {self.rows:,} rows"

    def overlap(self, other: frozenset[str]) -> float:
        """The share of its values that are among others."""
        return len(self.values & other) / len(self.values) if self.values else 0.0


@dataclass(frozen=True)
class Table:
    sample: Sample
    columns: dict[str, Column]

    @property
    def file(self) -> str:
        return self.sample.file


def table_of(sample: Sample) -> Table:
    columns = {name: _column(sample.rows[name], name, sample.modified) for name in sample.rows.columns}
    return Table(sample, columns)


def _column(series: pl.Series, name: str, modified: int) -> Column:
    filled = series.drop_nulls()
    texts = filled.cast(pl.String)
    numbers = texts.cast(pl.Float64, strict=False).drop_nulls()
    numbers = numbers.filter(numbers.is_finite())
    counted = texts.value_counts(sort=True, name="n").sort(["n", texts.name], descending=[True, False])
    return Column(
        name,
        len(series),
        len(filled),
        dict(counted.rows()),
        len(numbers) / len(filled) if len(filled) else 0.0,
        bool((numbers == numbers.floor()).all()),
        numbers.min() or 0.0,
        numbers.max() or 0.0,
        texts.str.len_chars().mean() or 0.0,
        times_of(filled, modified),
    )


def times_of(filled: pl.Series, modified: int) -> Times | None:
    """The format in which 99% of the values are times from 1970 to 2100. modified: when the file was written."""
    if isinstance(filled.dtype, pl.Datetime):
        return Times(None, "the type is a timestamp", zone=filled.dtype.time_zone)
    if filled.dtype == pl.Date:
        return Times(None, "the type is a date", is_day=True)
    values = filled.unique().sort()
    values = values.gather_every(max(1, len(values) // _TIMES_TRIED)).alias("v")
    if not len(values) or not values.str.contains(r"^.{0,20}\d").all():
        return None
    if whole := values.str.contains(r"^\d{8,19}(\.\d+)?$").mean() > 0.99 and _unix(values, modified):
        return whole
    if _share(values, "iso") > 0.99:
        zones = values.str.extract(r"\d(Z|z|[+-]\d{2}:?\d{2})$").drop_nulls().str.to_uppercase().unique().sort()
        is_day = bool(values.str.contains(r"^\d{4}-\d\d-\d\d$").all())
        return Times("iso", f"as {values[0]}", is_day=is_day, zone=", ".join(zones) or None)
    alike = [f for f in _FORMATS if _punctuation(_example(f)) == _punctuation(values[0])]
    fits = [f for f in alike if _share(values, f) > 0.99]
    return _one_of(values, fits) if fits else None


def _unix(values: pl.Series, modified: int) -> Times | None:
    for time_format in ("%Y%m%d", "%Y%m%d%H%M%S"):
        if values.str.len_chars().eq(8 if len(time_format) < 8 else 14).all() and _share(values, time_format) > 0.99:
            return Times(time_format, f"as {values[0]}", is_day=len(time_format) < 8)
    low, high = (float(values.cast(pl.Float64, strict=False).quantile(q) or 0) for q in (0.005, 0.995))
    for time_format, unit in (("unix_s", 1), ("unix_ms", 1000)):
        if _1990 * unit <= low and high <= (modified + _DAY_SEC) * unit:
            days = [pl.from_epoch(pl.Series([int(v) // unit])).dt.date()[0] for v in (low, high)]
            span = f"{days[0]} to {days[1]}" if days[0] != days[1] else f"of {days[0]}"
            return Times(time_format, f"whole numbers that then are {span}")
    return None


def _punctuation(text: str) -> str:
    """What is left of a time without its digits and words: it spares trying every format on every value."""
    return re.sub(r"[+-]\d{4}$|[A-Za-z]{3}(?=[ /])|\b[AaPp][Mm]\b|\d+", "", text)


def _example(time_format: str) -> str:
    words = {"%Y": "2001", "%b": "Dec", "%p": "PM", "%z": "+0000"}
    return re.sub("%.", lambda found: words.get(found[0], "12"), time_format)


def _share(values: pl.Series, time_format: str) -> float:
    seconds = _seconds(values, time_format)
    return float(((seconds >= 0) & (seconds < _2100)).fill_null(False).mean())


def _seconds(values: pl.Series, time_format: str) -> pl.Series:
    return pl.DataFrame([values]).select(unix_seconds("v", time_format, "UTC", pl.String)).to_series()


def _one_of(values: pl.Series, fits: list[str]) -> Times:
    """Of day-month and month-day, where all values can be both, the one with the shorter span: and it is a doubt."""
    is_day = not re.search("%[HI]", fits[0])
    if fits[0].endswith("UTC"):
        return Times(fits[0], f"as {values[0]}", "it holds only while `timezone` is UTC", zone="UTC")
    by_fields = {tuple(re.findall("%[dm]", f)): f for f in reversed(fits)}
    if len(by_fields) == 1:
        return Times(fits[0], f"as {values[0]}", is_day=is_day)
    spans = {f: (_seconds(values, f).max() - _seconds(values, f).min()) // _DAY_SEC + 1 for f in by_fields.values()}
    best, other = sorted(spans, key=lambda f: (spans[f], f))
    doubt = f"all values sampled read as {other} too ({spans[other]} days then, {spans[best]} days so)"
    return Times(best, f"as {values[0]}", doubt, is_day)


def separator_of(column: Column, is_named: bool) -> str | None:
    """What separates several values of a cell: unless the name says that there are several, tokens come again."""
    if column.mean_length > 100:
        return None
    for separator in SEPARATORS if is_named else SEPARATORS[:-1]:  # words of a text are no tags
        several = [value for value in column.counts if separator in value.strip(separator)]
        if len(several) < (0.05 if is_named else 0.3) * len(column.counts) or not several:
            continue
        tokens = [token.strip() for value in column.counts for token in value.split(separator) if token.strip()]
        mean = sum(map(len, tokens)) / len(tokens)
        is_plain = is_named and separator in _PLAIN_SEPARATORS
        if mean <= 25 and (is_plain or len(set(tokens)) <= (0.8 if is_named else 0.3) * len(tokens)):
            return separator
    return None


def as_guess(times: Times) -> Guess:
    return Guess(times.format, times.why, times.doubt)
