"""What an error of Spark, Delta or the disk tells whoever ran a job: which file, column or value, in one line.

Spark gives each of its errors an SQLSTATE. Those about data (files, columns and types, values, a full disk) are for a
user to mend; any other is a bug or a broken session, and keeps its traceback.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Iterator
from typing import Any

from jobs.lib.errors import DataError, RecflowError

log = logging.getLogger("recflow")

ABOUT_DATA = ("22", "42", "58", "KD")  # classes of SQLSTATE: values, names and types, input and output, files
FROM_A_WORKER = "38"  # raised by Python code that Spark ran


@contextlib.contextmanager
def told_in_one_line(what: str) -> Iterator[None]:
    """Raises DataError, which begins with `what` (table and ds), for an error about data; others pass as they are."""
    try:
        yield
    except Exception as error:
        if not (told := _told_by(error)):
            raise
        log.debug("%s", what, exc_info=error)
        raise DataError(f"{what}: {told}") from error


def _told_by(error: Exception) -> str | None:
    from deltalake.exceptions import DeltaError

    if isinstance(error, DataError):
        return str(error)
    if isinstance(error, (OSError, DeltaError)) and not isinstance(error, ConnectionError):  # that is Spark, gone
        return str(error).splitlines()[0]
    return _told_by_spark(_causes(getattr(error, "java_exception", None) or getattr(error, "_origin", None)))


def _told_by_spark(causes: list[Any]) -> str | None:
    """The innermost error with a state says what was being done; the innermost of all, why that failed."""
    doing = [cause for cause in causes if _state(cause)][-1:]
    state = _state(doing[0])[:2] if doing else ""
    if state == FROM_A_WORKER:
        return _told_by_worker(doing[0].getMessage())
    if state not in ABOUT_DATA:
        return None
    return ": ".join(dict.fromkeys(_first_line(cause) for cause in (*doing, causes[-1])))


def _told_by_worker(message: str) -> str | None:
    """Of a worker's traceback the last line, `module.Class: text`, where it is an error for a user or of the disk."""
    raised = [line for line in message.partition(" SQLSTATE:")[0].splitlines() if line and not line[0].isspace()][-1]
    name, _, text = raised.partition(": ")
    module, _, kind = name.rpartition(".")
    if not module.startswith("jobs."):
        module = "builtins"
    raised_kind = getattr(importlib.import_module(module), kind, None)
    is_told = isinstance(raised_kind, type) and issubclass(raised_kind, (RecflowError, OSError))
    return text if is_told else None


def _causes(thrown: Any) -> list[Any]:
    """A Java exception and what it was caused by, outermost first."""
    found = []
    while thrown is not None:
        found.append(thrown)
        thrown = thrown.getCause()
    return found


def _state(thrown: Any) -> str:
    from py4j.java_gateway import is_instance_of
    from pyspark import SparkContext

    has_state = is_instance_of(SparkContext._gateway, thrown, "org.apache.spark.SparkThrowable")
    return (has_state and thrown.getSqlState()) or ""


def _first_line(thrown: Any) -> str:
    message = thrown.getMessage() or thrown.getClass().getSimpleName()
    return message.splitlines()[0].partition(" SQLSTATE:")[0].strip()
