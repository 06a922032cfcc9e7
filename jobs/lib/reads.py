"""What a node reads for one ds, said by each job file in a function `reads(ds, solution, node)`. Free of Spark."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jobs.lib import partitions
from jobs.lib.input_tables import TableConfig

Pair = tuple[str, str]  # (table, ds)


@dataclass(frozen=True)
class Reads:
    """Partitions, as (table, ds), that the rows of one node and ds follow from.

    needs: without these the node fails. wanted: made on the way where they were never made and can be; what stays
    missing shortens a window (see `short_history` of a solution). found: used if they are there. model_up_to: the
    newest usable model of a day up to this one.
    """

    needs: tuple[Pair, ...] = ()
    wanted: tuple[Pair, ...] = ()
    found: tuple[Pair, ...] = ()
    model_up_to: str | None = None


def on_days(table: str, days: Iterable[str]) -> tuple[Pair, ...]:
    """One table on several days."""
    return tuple((table, ds) for ds in days)


def input_of(config: TableConfig | None, ds: str) -> tuple[Pair, ...]:
    """An input table, or the snapshot that serves ds; nothing where the solution has no such table."""
    if config is None:
        return ()
    serving = partitions.as_of_day(config, ds) if config.snapshot == "once" else None
    return ((config.table, serving or ds),)
