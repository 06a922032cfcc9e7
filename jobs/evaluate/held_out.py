"""The recalls of a solution on a part of the events: their jobs as they are, on another day's table."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from jobs.evaluate.split import Split
from jobs.lib.days import add_days
from jobs.lib.solution import Solution
from jobs.lib.solution_params import RecallParams
from jobs.lib.spark import F
from jobs.recall import inputs

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

WINDOWS = ("window_days", "trigger_window_days")

log = logging.getLogger("recflow")


@dataclass(frozen=True)
class HeldOutDay(inputs.Day):
    """The last day of a split's train part. What nodes of that day made is what `recalled` put there.

    Users and items are those of the snapshot of that day: in a cut within a day, a daily snapshot knows of its end.
    """

    is_stored: ClassVar[bool] = False

    train: DataFrame | None = None
    tables: dict[str, DataFrame] = field(default_factory=dict)

    def actions(self, days: int) -> DataFrame:
        return self.train.where((F.col("ds") > add_days(self.ds, -days)) & (F.col("ds") <= self.ds))

    def acts(self) -> DataFrame:
        """(user_id, item_id) of everything in train, repeated."""
        return inputs.acted_items(self.train, inputs.action_weights(self.solution))

    def made(self, name: str) -> DataFrame:
        return self.tables[name]

    def forget(self) -> None:
        for table in (self.train, *self.tables.values()):
            table.unpersist()


def with_windows(solution: Solution, days: int) -> Solution:
    """The solution with every personal and item-to-item recall looking back so many days; hot lists stay as recent as
    they are."""

    def line_with(line: RecallParams) -> RecallParams:
        if inputs.contract_of(line) in ("recall_hot", "recall_fallback"):
            return line
        return line.model_copy(update={key: days for key in WINDOWS if key in type(line).model_fields})

    publish = solution.publish.model_copy(update={"active_days": days, "seen_days": days})
    changed = solution.model_copy(
        update={"recalls": [line_with(line) for line in solution.recalls], "publish": publish}
    )
    changed._path = solution.path
    return changed


def longest_window(solution: Solution) -> int:
    return max((getattr(line, key, 0) for line in solution.recalls for key in WINDOWS), default=0)


def recalled(solution: Solution, split: Split) -> HeldOutDay:
    """Every recall line of the solution, made from the train part."""
    day = HeldOutDay(solution, split.ds, split.actions().persist())
    for line in solution.recalls:
        started = time.monotonic()
        made = line.module.recalled(day, line).persist()
        rows = made.count()
        day.tables[line.name] = made
        log.info("%s: %s rows in %.1f s", line.name, f"{rows:,}", time.monotonic() - started)
    return day
