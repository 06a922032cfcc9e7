"""Session item-to-item recall: items acted on in one sitting.

Grain: one row per (trigger_item_id, item_id). Score: the cosine of two items over sessions, as of rows of length 1 (the
L2-normalised output of the PAI-Rec tutorial's collaborative metric learning, which links items clicked in one session):
sessions with both, over the root of the product of the sessions with each. Computed by jobs/recall/etrec_i2i.py with
sessions in place of users; sessions with fewer than min_session_items or more than max_session_items items are left
out of every figure, and logged.

A session is a user's acts in order of time, cut where more than session_gap_minutes (30, the convention of web
analytics) pass between two of them; it may run past midnight. An act is any event with a weight above 0, or the `event`
that the line names. Of a user, an item and an event a day has one act, at its last time: who comes back to an item in
the evening has it in the evening's session alone. That loses some pairs of the morning, invents none, and needs no
second reading of the events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution
from jobs.lib.solution_params import RecallParams
from jobs.lib.spark import F, Window
from jobs.recall import etrec_i2i as etrec
from jobs.recall import inputs

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CONTRACT = "recall_i2i"
SETTINGS = ()


class Params(RecallParams):
    window_days: int = Field(30, ge=1, le=400)
    session_gap_minutes: int = Field(30, ge=1, le=24 * 60)
    min_session_items: int = Field(2, ge=1)
    max_session_items: int = Field(100, ge=2)
    top_n: int = Field(200, ge=1, le=10_000)
    event: str | None = None  # default: every event with a weight above 0

    @model_validator(mode="after")
    def _some_sessions_remain(self) -> Params:
        if self.min_session_items > self.max_session_items:
            raise ValueError(f"min_session_items {self.min_session_items} is above max_session_items")
        return self

    @property
    def events_named(self) -> list[str]:
        """The events that this line refers to; each must be declared in the solution."""
        return [self.event] if self.event else []


def session_i2i(acts: DataFrame, params: Params) -> DataFrame:
    """(trigger_item_id, item_id, score, rank) from the (user_id, item_id, last_time) rows of the window."""
    by_session = etrec.Params(
        name=params.name,
        job="etrec_i2i",
        similarity="cosine",
        top_n=params.top_n,
        min_user_behavior=params.min_session_items,
        max_user_behavior=params.max_session_items,
    )
    return etrec.etrec_i2i(sessions(acts, params.session_gap_minutes), by_session)


def sessions(acts: DataFrame, gap_minutes: int) -> DataFrame:
    """(user_id, item_id) with the session in place of the user: `<user_id>/<number of the session>`."""
    in_order = Window.partitionBy("user_id").orderBy("last_time")
    gap = F.col("last_time") - F.lag("last_time").over(in_order)
    begun = acts.withColumn("begins", F.when(gap > 60 * gap_minutes, 1).otherwise(0))
    number = F.sum("begins").over(in_order)  # acts of one second are peers of this order: of one session
    return begun.select(F.concat_ws("/", "user_id", number.cast("string")).alias("user_id"), "item_id")


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return inputs.reads_of(solution, ds, node.params.window_days, offered=False)


def recalled(at: inputs.Day, params: Params) -> DataFrame:
    events = [params.event] if params.event else list(inputs.action_weights(at.solution))
    return session_i2i(at.actions(params.window_days).where(F.col("event").isin(events)), params)


def main(days: list[str], solution: Solution, node: Node) -> None:
    inputs.make(recalled, days, solution, node)
