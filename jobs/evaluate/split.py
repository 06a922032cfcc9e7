"""Events cut into a part to learn from and a part to be judged by.

Acts (events with a weight above 0) are put in order of time. `temporal`: the cut is the time of row floor(share * n);
what is earlier is learned from, everybody is judged by what comes from then on. `user`: each user's first
floor(share * n) acts are learned from, the rest judges; that lets a recall learn from one user what another did later,
so it is for comparison only. Events that are no acts (impressions) are learned from up to the same moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from jobs.features.actions_daily import actions_daily
from jobs.lib.errors import RecflowError
from jobs.lib.spark import F, Window

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

By = Literal["temporal", "user"]


@dataclass(frozen=True)
class Split:
    """train: events to learn from; test: distinct (user_id, item_id) acted on later; ds: the last day of train."""

    train: DataFrame
    test: DataFrame
    ds: str

    def actions(self) -> DataFrame:
        """The train part as the table actions_daily would hold it."""
        return actions_daily(self.train)


def split(events: DataFrame, weights: dict[str, float], by: By, share: float) -> Split:
    """events: from `roles.events`. Raises RecflowError when a part would be empty."""
    is_act = F.col("event").isin(list(weights))
    acts = events.where(is_act)
    if by == "temporal":
        cut = F.lit(cut_at(acts, share))
        train, test = events.where(F.col("event_time") < cut), acts.where(F.col("event_time") >= cut)
    else:
        train, test = _last_of_each_user(events, is_act, share)
    last = train.where(is_act).agg(F.max("ds")).first()[0]
    if last is None:
        raise RecflowError(
            f"a {by} split at {share} leaves no acts to learn from: more data, or another share, is needed"
        )
    return Split(train, test.select("user_id", "item_id").distinct(), last)


def cut_at(acts: DataFrame, share: float) -> int:
    """The time (unix s) of row floor(share * n) of the acts by time: first its day, then its second."""
    days = acts.groupBy("ds").count().orderBy("ds").collect()
    row = int(share * sum(day["count"] for day in days))
    for day in days:
        if row < day["count"]:
            seconds = acts.where(F.col("ds") == day["ds"]).groupBy("event_time").count().orderBy("event_time").collect()
            for second in seconds:
                if row < second["count"]:
                    return second["event_time"]
                row -= second["count"]
        row -= day["count"]
    raise RecflowError("there are no acts to split: no event with a weight above 0, or for a ranking no impression")


def _last_of_each_user(events: DataFrame, is_act, share: float) -> tuple[DataFrame, DataFrame]:
    of_user = Window.partitionBy("user_id", "is_act")
    in_order = of_user.orderBy("event_time", "item_id", "event")
    numbered = (
        events.withColumn("is_act", is_act)
        .withColumn("row", F.row_number().over(in_order))
        .withColumn("kept", F.floor(F.lit(share) * F.count(F.lit(1)).over(of_user) + F.lit(1e-9)))
        .withColumn("is_test", F.col("is_act") & (F.col("row") > F.col("kept")))
        .withColumn(
            "first_test", F.min(F.when(F.col("is_test"), F.col("event_time"))).over(Window.partitionBy("user_id"))
        )
    )
    is_before = F.col("is_act") | F.col("first_test").isNull() | (F.col("event_time") < F.col("first_test"))
    return numbered.where(~F.col("is_test") & is_before).select(*events.columns), numbered.where("is_test")
