"""Text of files as values: Polars expressions."""

from __future__ import annotations

import re

import polars as pl

from jobs.lib.forgotten import mark
from jobs.lib.pseudonyms import pseudonym

_ISO = r"^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2})?(?:[.,]\d+)?)? ?(Z|z|[+-]\d{2}(?::?\d{2})?)?$"


def text(column: str) -> pl.Expr:
    """The value as text. Readers have trimmed it, and made it NULL where nothing was left."""
    return pl.col(column).cast(pl.String)


def pseudonyms(ids: pl.Series, key: bytes) -> pl.Series:
    """Each id's pseudonym, NULL where there is no id."""
    as_text = ids.cast(pl.String)
    distinct = as_text.drop_nulls().unique()
    hidden = pl.Series([pseudonym(one, key) for one in distinct], dtype=pl.String)
    return as_text.replace_strict(distinct, hidden, default=None, return_dtype=pl.String)


def are_marked(ids: pl.Series, table: str, marks: frozenset[str]) -> pl.Series:
    """Is each id that of a user whom the table must not show (jobs/lib/forgotten.py)?"""
    as_text = ids.cast(pl.String)
    hidden = [one for one in as_text.drop_nulls().unique() if mark(table, one) in marks]
    return as_text.is_in(hidden).fill_null(False)


def number(column: str) -> pl.Expr:
    return text(column).cast(pl.Float64, strict=False)


def unix_seconds(column: str, time_format: str, timezone: str, dtype: pl.DataType) -> pl.Expr:
    """Unix seconds (BIGINT), NULL where unreadable. Times without a zone are local to the registration's zone: of a
    time that the clock shows twice the first is meant, and one that it never shows is unreadable."""
    if isinstance(dtype, pl.Datetime):
        read = pl.col(column)
        return (read if dtype.time_zone else _in_zone(read, timezone)).dt.epoch("s")
    if dtype == pl.Date:
        return _in_zone(pl.col(column).cast(pl.Datetime), timezone).dt.epoch("s")
    if time_format in ("unix_s", "unix_ms"):
        divisor = 1000 if time_format == "unix_ms" else 1
        whole = text(column).cast(pl.Int64, strict=False)
        parts = pl.when(whole.is_null()).then(number(column).floor().cast(pl.Int64, strict=False))
        return pl.coalesce(whole, parts).floordiv(divisor)
    if time_format == "iso":
        return _iso_seconds(text(column), timezone)
    chrono = time_format.replace(".%f", "%.f")
    if "%z" in time_format:
        return text(column).str.to_datetime(chrono, strict=False, time_zone="UTC").dt.epoch("s")
    if not re.search("%[HI]", time_format):  # a day alone is its first moment
        return _in_zone(text(column).str.to_date(chrono, strict=False).cast(pl.Datetime), timezone).dt.epoch("s")
    return _in_zone(text(column).str.to_datetime(chrono, strict=False), timezone).dt.epoch("s")


def _iso_seconds(value: pl.Expr, timezone: str) -> pl.Expr:
    parts = value.str.extract_groups(_ISO)
    day, minute, second, zone = (parts.struct[n] for n in range(4))
    shown = pl.concat_str(day, pl.lit("T"), minute.fill_null("00:00"), second.fill_null(":00"))
    read = shown.str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False)
    sign = pl.when(zone.str.starts_with("-")).then(-1).otherwise(1)
    hours = zone.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0)
    minutes = zone.str.slice(3).str.strip_chars(":").cast(pl.Int64, strict=False).fill_null(0)
    offset = sign * (hours * 3600 + minutes * 60)
    return pl.when(zone.is_null()).then(_in_zone(read, timezone).dt.epoch("s")).otherwise(read.dt.epoch("s") - offset)


def _in_zone(read: pl.Expr, timezone: str) -> pl.Expr:
    return read.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")


def local_day(seconds: pl.Expr, timezone: str) -> pl.Expr:
    """Days since 1970 of the local date."""
    return pl.from_epoch(seconds).dt.replace_time_zone("UTC").dt.convert_time_zone(timezone).dt.date().cast(pl.Int32)
