"""What the filters of a solution look up, as it is published: readers of the bundle apply them to pairs that were no
candidates (jobs/serve/filtering.py).

    filters/rules.json      the expressions, what they may name, the expected request, and which column is which value
    filters/item, user      one row per item_id, user_id of the day's snapshots: the columns that filters name
    filters/events          one row per (user_id, item_id): what filters ask of a user's own events with an item

The values are those that the day's candidates were filtered by. Events are as many as the pairs of user and item with
an event that a filter names, within the days that it looks back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jobs.lib import list_params
from jobs.lib.expression_tree import COUNT, DAYS_SINCE
from jobs.ranking import filters
from jobs.recall.inputs import Day

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

RULES = "filters/rules.json"
ITEMS, USERS, EVENTS = "filters/item", "filters/user", "filters/events"


def filter_fields(at: Day) -> Iterator[tuple[str, list[str], DataFrame]]:
    """(folder, key, rows) of each table that the filters need."""
    found = filters.named(list_params.rules(at.solution), {})
    if (items := filters.item_rows(at, found)) is not None:
        yield ITEMS, ["item_id"], items
    if any(leaf.name != "user_id" for leaf in found.of("user")):
        yield USERS, ["user_id"], filters.user_rows(at.users(), at, found).drop("mark")
    if (events := filters.own_rows(at, found)) is not None:
        values = list(found.of(DAYS_SINCE, COUNT).values())
        yield EVENTS, ["user_id", "item_id"], events.select("user_id", "item_id", *values).dropna("all", subset=values)


def filter_rules(at: Day) -> dict[str, Any]:
    """Plain values of RULES."""
    publish, names = at.solution.publish, list_params.names_of(at.solution)
    found = filters.named(list_params.rules(at.solution), {})
    return {
        "filters": [line.model_dump(exclude_none=True) for line in publish.filters],
        "banned": publish.rerank.banned,
        "names": {"columns": names.columns, "events": names.events, "reach": names.reach},
        "context": filters.context_of(at.solution, at.ds),
        "columns": [{**leaf._asdict(), "column": column} for leaf, column in found.columns.items()],
    }
