"""Demo data: users, items and behavior of a made-up feed, with something to learn (planted) or nothing (random).

Grain: user table (ds, user_id), item table (ds, item_id), both full daily snapshots; behavior one row per event.
The world (tastes, exposure, click probability) is in demo_world.py and demo_day.py, its rows in demo_rows.py; here they
become tables. Columns are those of the PAI-Rec tutorial's rec_sln_demo_* tables.

Every row is a function of (params, ds): nothing is read back. Item click_count and praise_count are the clicks and
praises since publication that the generator itself makes, found by replaying the (at most 90) days an item has been on
offer; so they agree with the behavior table wherever that table has the days.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from jobs.data import demo_day, demo_rows, demo_world
from jobs.lib.days import day_number
from jobs.lib.demo_params import DemoParams, from_environment
from jobs.lib.forgotten import left_out
from jobs.lib.reads import Reads
from jobs.lib.spark import F, Window

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from jobs.lib.solution import Node, Solution

USER_TABLE = "rec_sln_demo_user_table_v1"
ITEM_TABLE = "rec_sln_demo_item_table_v1"
BEHAVIOR_TABLE = "rec_sln_demo_behavior_table_v1"
SETTINGS = ("demo",)


def behavior(session: SparkSession, params: DemoParams, days: list[str], timezone: str) -> DataFrame:
    """The events of these days. playtime (seconds) is on clicks; expr and praise rows have 0."""
    schema = (
        "request_id string, user_id string, exp_id string, page string, net_type string, event_time bigint, "
        "item_id string, event string, playtime double, ds string"
    )

    def batch(day: int, chunk: int) -> pa.RecordBatch:
        return demo_rows.events_batch(params, day, chunk, timezone)

    return _by_chunk(session, params, sorted(map(day_number, days)), batch, schema)


def items(session: SparkSession, params: DemoParams, days: list[str], timezone: str) -> DataFrame:
    """The items on offer at the end of each day, with their clicks and praises up to and including that day."""
    numbers = sorted(map(day_number, days))
    oldest = demo_world.items_of(params, demo_world.items_alive(params, numbers[0])[:1])
    replayed = list(range(int(oldest.joined[0]), numbers[-1] + 1))

    def batch(day: int, chunk: int) -> pa.RecordBatch:
        ids, clicks, praises = demo_day.click_totals(params, day, chunk)
        return demo_rows.record_batch(id=ids, day=np.full(len(ids), day), first=clicks, second=praises)

    totals = _by_chunk(session, params, replayed, batch, "id bigint, day bigint, first bigint, second bigint")
    alive = _grid(session, numbers, [demo_world.items_alive(params, day) for day in numbers])
    schema = (
        "item_id bigint, duration double, title string, category string, author bigint, click_count bigint, "
        "praise_count bigint, pub_time bigint, ds string"
    )

    def described(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return (demo_rows.items_batch(params, batch, timezone) for batch in batches)

    return _running(alive, totals).mapInArrow(described, schema)


def users(session: SparkSession, params: DemoParams, days: list[str], timezone: str) -> DataFrame:
    """The accounts there are at the end of each day; item_cnt counts what they published up to and including it."""
    numbers = sorted(map(day_number, days))
    first = demo_world.items_alive(params, numbers[0] - demo_world.USER_DAYS)[0]
    last = demo_world.items_alive(params, numbers[-1])[-1]

    def authored(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            made = demo_world.items_of(params, batch["id"].to_numpy())
            one = np.ones(len(made.ids), dtype=np.int64)
            yield demo_rows.record_batch(id=made.author, day=made.joined, first=one, second=one)

    made = session.range(int(first), int(last) + 1)
    totals = made.mapInArrow(authored, "id bigint, day bigint, first bigint, second bigint")
    alive = _grid(session, numbers, [demo_world.users_alive(params, day) for day in numbers])
    schema = (
        "user_id bigint, gender string, age bigint, city string, item_cnt bigint, follow_cnt bigint, "
        "follower_cnt bigint, register_time bigint, tags string, ds string"
    )

    def described(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return (demo_rows.users_batch(params, batch, timezone) for batch in batches)

    return _running(alive, totals).mapInArrow(described, schema)


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return Reads()


def main(days: list[str], solution: Solution, node: Node | None = None) -> None:
    """Write the three demo tables for these days, in one Spark pass each."""
    from jobs.lib.session import spark
    from jobs.lib.tables import write_days

    params = params_of(solution, node)
    demo_world.check_days(params, days)
    session = spark()
    tables = {c.table: c for c in (solution.tables.user, solution.tables.item, solution.tables.behavior) if c}
    for make, table in ((users, USER_TABLE), (items, ITEM_TABLE), (behavior, BEHAVIOR_TABLE)):
        made = make(session, params, days, solution.timezone)
        write_days(left_out(made, tables[table]) if table in tables else made, table, days, contract=table)


def params_of(solution: Solution, node: Node | None = None) -> DemoParams:
    """Defaults, then the solution's `demo:` block, then the environment, then flags (given as the node's params)."""
    base = solution.demo or DemoParams()
    return base.overridden(from_environment(), (node.params if node else None) or {})


def best_auc(days: list[str], solution: Solution, node: Node | None = None) -> tuple[float, int]:
    """The best AUC that any model can be expected to reach on these days' impressions, and their number."""
    return demo_day.best_auc(params_of(solution, node), days)


def true_click_rate(solution: Solution, user_ids: list[str], item_ids: list[str]) -> float:
    """The mean true click probability of (user, item) pairs: only planted data know it."""
    return demo_day.true_click_rate(params_of(solution), user_ids, item_ids)


def _by_chunk(session: SparkSession, params: DemoParams, numbers: list[int], batch, schema: str) -> DataFrame:
    """One Arrow batch per (day, chunk), made where the task runs: memory holds one chunk, not one day."""
    per_day = max(demo_day.chunks_on(params, day) for day in numbers)

    def made(keys: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for part in keys:
            for key in part["id"].to_pylist():
                day, chunk = numbers[key // per_day], key % per_day
                if chunk < demo_day.chunks_on(params, day):
                    yield batch(day, chunk)

    n = len(numbers) * per_day
    slices = min(n, 4 * session.sparkContext.defaultParallelism)
    return session.range(0, n, 1, slices).mapInArrow(made, schema)


def _grid(session: SparkSession, numbers: list[int], alive: list[np.ndarray]) -> DataFrame:
    """One row per (day, id) of what is alive on each day: ids are consecutive."""
    spans = [(day, int(ids[0]), int(ids[-1])) for day, ids in zip(numbers, alive, strict=True)]
    frame = session.createDataFrame(spans, "day bigint, low bigint, high bigint")
    return frame.select("day", F.explode(F.sequence("low", "high")).alias("id"))


def _running(alive: DataFrame, totals: DataFrame) -> DataFrame:
    """For each (id, day) that is alive: the sums of `first` and `second` over all days up to and including it."""
    zero = F.lit(0).cast("bigint")
    asked = alive.select("id", "day", zero.alias("first"), zero.alias("second"), F.lit(True).alias("is_asked"))
    added = totals.groupBy("id", "day").agg(F.sum("first").alias("first"), F.sum("second").alias("second"))
    added = added.select("id", "day", "first", "second", F.lit(False).alias("is_asked"))
    # RANGE, so that the order of rows within a day does not matter.
    up_to = Window.partitionBy("id").orderBy("day").rangeBetween(Window.unboundedPreceding, Window.currentRow)
    summed = asked.unionByName(added).select(
        "id", "day", "is_asked", F.sum("first").over(up_to).alias("first"), F.sum("second").over(up_to).alias("second")
    )
    return summed.where("is_asked").select("id", "day", "first", "second")
