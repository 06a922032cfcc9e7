"""What the recall jobs and the candidate merge read alike.

A recall job is a function `recalled(at, params)`: `at`, a `Day`, hands it the tables as they were at the end of one ds.
An evaluation hands it a part of the events instead, so what is judged is the job itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, ClassVar

from jobs.lib import roles, tables
from jobs.lib.days import window
from jobs.lib.reads import Reads, input_of, on_days
from jobs.lib.solution import Node, Solution
from jobs.lib.solution_params import RecallParams
from jobs.lib.spark import F

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def action_weights(solution: Solution) -> dict[str, float]:
    """The events that count as acting on an item, with their weight: every weight above 0, and the target.

    A target that the solution gives no weight counts 1; an explicit 0 stays 0.
    """
    weights = {solution.target: 1.0} | dict(solution.event_weights)
    return {event: weights[event] for event in solution.events if weights.get(event, 0) > 0}


@dataclass(frozen=True)
class Day:
    """The tables of a solution at the end of ds. Reading one that is not there raises MissingPartition."""

    is_stored: ClassVar[bool] = True  # are actions those of the table, so that its files can be read instead?

    solution: Solution
    ds: str

    def actions(self, days: int) -> DataFrame:
        """actions_daily of the days ending at ds. Days before the history begins are absent; ds must be there."""
        table = self.solution.table("actions_daily")
        return tables.read_days(table, sorted({*tables.present_days(table, window(self.ds, days)), self.ds}))

    def acted(self, days: int) -> DataFrame:
        """(user_id, item_id): what each user acted on in these days; impressions are no acts. They repeat."""
        return acted_items(self.actions(days), action_weights(self.solution))

    def items(self) -> DataFrame | None:
        """The item snapshot through its roles, or None where the solution has no item table."""
        config = self.solution.tables.item
        return None if config is None else roles.items(tables.read_snapshot(config, self.ds), self.solution)

    def users(self) -> DataFrame | None:
        """The user snapshot through its roles, or None where the solution has no user table."""
        config = self.solution.tables.user
        return None if config is None else roles.users(tables.read_snapshot(config, self.ds), self.solution)

    def offered(self) -> DataFrame | None:
        """(item_id) on offer, or None when nobody knows: no item table, or one that does not list everything."""
        config = self.solution.tables.item
        return self.items().select("item_id") if config is not None and config.complete else None

    def made(self, name: str) -> DataFrame:
        """What another node made of ds."""
        return tables.read_days(self.solution.table(name), [self.ds])


def make(recalled: Callable[[Day, RecallParams], DataFrame], days: list[str], solution: Solution, node: Node) -> None:
    """Write a recall of every day: one Spark plan, so that a range of days is written in one pass."""
    rows = for_each_day(days, lambda ds: recalled(Day(solution, ds), node.params))
    tables.write_days(rows, solution.table(node.name), days, contract_of(node.params))


def reads_of(
    solution: Solution, ds: str, days: int, *made_from: str, offered: bool = True, users: bool = False
) -> Reads:
    """actions_daily of ds and of a window of so many days, other nodes of ds, what is on offer then, and the users."""
    actions = solution.table("actions_daily")
    needs = [(actions, ds), *((solution.table(name), ds) for name in made_from)]
    if offered:
        needs += input_of(solution.tables.item, ds)
    if users:
        needs += input_of(solution.tables.user, ds)
    return Reads(needs=tuple(needs), wanted=on_days(actions, window(ds, days)[:-1]))


def acted_items(actions: DataFrame, weights: dict[str, float]) -> DataFrame:
    """(user_id, item_id): what each user acted on; impressions are not acts. Not deduplicated over days and events."""
    return actions.where(F.col("event").isin(list(weights))).select("user_id", "item_id")


def contract_of(recall: RecallParams) -> str:
    """The kind of table that a recall line makes: the name of its contract."""
    return recall.module.CONTRACT


def listing(solution: Solution) -> list[RecallParams]:
    """The recall lines that list items for users, for groups of them, or for everyone."""
    return [line for line in solution.recalls if contract_of(line) in ("recall_u2i", "recall_hot")]


def list_of(at: Day, line: RecallParams) -> DataFrame:
    """A line's list as made at a day: by user_id where it is personal (a group's list is that of its users)."""
    return line.module.for_users(at, line) if hasattr(line.module, "for_users") else at.made(line.name)


def for_each_day(days: list[str], build: Callable[[str], DataFrame]) -> DataFrame:
    """The rows of every day, each with its ds: one Spark plan, so that a range of days is written in one pass."""
    built = [build(ds).withColumn("ds", F.lit(ds)) for ds in days]
    return reduce(lambda some, more: some.unionByName(more), built)
