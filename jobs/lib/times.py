"""How times are written in other people's files and tables: names that settings use for it. Free of Spark."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from jobs.lib.days import to_date
from jobs.lib.errors import RecflowError

NAMED_FORMATS = ("unix_s", "unix_ms", "iso")
_DIRECTIVES = "YymdHIMSpbBjzfe"
_A_TIME = datetime(2001, 12, 23, 21, 45, 56, tzinfo=UTC)


def check_time_format(text: str) -> str:
    """A named format, or strftime directives that tell at least the day. Raises ValueError saying what is wrong."""
    if text in NAMED_FORMATS:
        return text
    used = re.findall(r"%(.)", text)
    if not used:
        raise ValueError(
            f"{text!r} is not a time format: {', '.join(NAMED_FORMATS)}, or strftime's, as %Y-%m-%d %H:%M:%S"
        )
    if unknown := [letter for letter in used if letter not in _DIRECTIVES]:
        raise ValueError(
            f"{text!r}: %{unknown[0]} cannot be read; directives: {', '.join('%' + d for d in _DIRECTIVES)}"
        )
    try:
        told = datetime.strptime(_A_TIME.strftime(text), text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time format: {error}") from None
    if told.date() != _A_TIME.date():
        raise ValueError(f"{text!r} does not tell the day")
    return text


def check_day(value: object) -> str:
    """A ds as YAML gives it: text or a number. Raises ValueError when it is no day."""
    try:
        to_date(str(value))
    except RecflowError as error:
        raise ValueError(str(error)) from None
    return str(value)
