"""Triggers: the few items that stand for what a user wants now. Every u2i recall starts from these.

Source: the PAI-Rec tutorial: the user's best items by sum(event_weight * (1 - attenuation)^days_ago), each event
counting, impressions 0. Days are whole, so items of one day tie; the one acted on last comes first, then the lower id.
(On MovieLens, where a user's history is often one sitting, that order is what makes the triggers the latest items.)
Then the trigger of rank r counts r^-rank_discount of its weight (ours; 0.5 was better than 0 on every data set tried).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.lib.columns import exact_sum
from jobs.lib.spark import F, Window

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def triggers(
    actions: DataFrame, ds: str, weights: dict[str, float], attenuation: float, n: int, rank_discount: float = 0.0
) -> DataFrame:
    """(user_id, item_id, weight DOUBLE, rank INT): the n best items of each user.

    actions: actions_daily of the trigger window, which ends at ds; weights: those of `inputs.action_weights`.
    """
    days_ago = F.datediff(F.to_date(F.lit(ds), "yyyyMMdd"), F.to_date("ds", "yyyyMMdd"))
    event_weight = F.coalesce(*[F.when(F.col("event") == event, F.lit(float(w))) for event, w in weights.items()])
    decayed = event_weight * F.col("cnt") * F.pow(F.lit(1.0 - attenuation), days_ago)
    weighed = (
        actions.where(F.col("event").isin(list(weights)))
        .groupBy("user_id", "item_id")
        .agg(exact_sum(decayed).alias("weight"), F.max("last_time").alias("last_time"))
        .where("weight > 0")
    )
    best_first = Window.partitionBy("user_id").orderBy(
        F.col("weight").desc(), F.col("last_time").desc(), F.col("item_id").asc()
    )
    ranked = weighed.withColumn("rank", F.row_number().over(best_first).cast("int"))
    discounted = F.col("weight") * F.pow(F.col("rank"), F.lit(-rank_discount)) if rank_discount else F.col("weight")
    return ranked.where(F.col("rank") <= n).select("user_id", "item_id", discounted.alias("weight"), "rank")
