"""The input tables of a day as they are: columns, duplicates, and rows that do not count.

Areas `column` (subject `<kind>.<column>`, kind being user, item or behavior) and `table` (subject the kind).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.diagnostics.figure import Figure, share
from jobs.lib import roles
from jobs.lib.solution import Solution
from jobs.lib.sources import unix_seconds
from jobs.lib.spark import F

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")
NESTED = ("array", "map", "struct", "variant")


def column_figures(rows: DataFrame, kind: str) -> list[Figure]:
    """One aggregation over all columns but ds.

    missing_share (NULL, NaN or an empty text), zero_share (numbers), distinct (HyperLogLog, so about 5 % off),
    is_constant (1: no two values differ; missing ones are no values).
    """
    types = [(name, kind_of) for name, kind_of in rows.dtypes if name != "ds"]
    asked = [F.count(F.lit(1)).alias("rows")]
    for number, (name, kind_of) in enumerate(types):
        column = F.col(f"`{name}`")
        missing = _is_missing(column, kind_of)
        asked.append(F.count_if(missing).alias(f"missing_{number}"))
        if not kind_of.startswith(NESTED):
            given = F.when(~missing, column)
            asked.append(F.approx_count_distinct(given).alias(f"distinct_{number}"))
            asked.append(F.min(given).eqNullSafe(F.max(given)).alias(f"constant_{number}"))
        if kind_of.startswith(NUMBERS):
            asked.append(F.count_if(column == 0).alias(f"zero_{number}"))
    counted = rows.agg(*asked).first().asDict()
    n, figures = counted["rows"], []
    for number, (name, _) in enumerate(types):
        shares = {"missing_share": f"missing_{number}", "zero_share": f"zero_{number}"}
        figures += [
            Figure("column", f"{kind}.{name}", measure, share(counted[alias], n), n)
            for measure, alias in shares.items()
            if alias in counted
        ]
        if f"distinct_{number}" in counted and n:
            figures.append(Figure("column", f"{kind}.{name}", "distinct", float(counted[f"distinct_{number}"]), n))
            figures.append(Figure("column", f"{kind}.{name}", "is_constant", float(counted[f"constant_{number}"]), n))
    return figures


def _is_missing(column: Column, kind_of: str) -> Column:
    if kind_of in ("float", "double"):
        return column.isNull() | F.isnan(column)
    return column.isNull() | (F.trim(column) == "") if kind_of == "string" else column.isNull()


def behavior_figures(behavior: DataFrame, solution: Solution) -> list[Figure]:
    """Of the raw rows of one day: exact duplicates, and shares that no feature will see."""
    config = solution.tables.behavior
    by_role, time_format = config.roles, config.source.time_format if config.source else "unix_s"
    event_time = unix_seconds(behavior, by_role.event_time, time_format)
    day = F.date_format(roles.local_time(event_time, solution), "yyyyMMdd")
    asked = {
        "without_id_share": F.col(by_role.user_id).isNull() | F.col(by_role.item_id).isNull(),
        "other_event_share": ~F.col(by_role.event).isin(solution.events) | F.col(by_role.event).isNull(),
        "other_day_share": (day != F.col("ds")) | event_time.isNull(),
    }
    if by_role.scene and solution.scenes:
        scene = F.col(by_role.scene).cast("string")
        asked["other_scene_share"] = ~scene.isin(solution.scenes) | scene.isNull()
    counts = [F.count_if(condition).alias(name) for name, condition in asked.items()]
    counted = behavior.agg(F.count(F.lit(1)).alias("rows"), *counts).first()
    n = counted["rows"]
    repeated = n - behavior.distinct().count()
    figures = [Figure("table", "behavior", name, share(counted[name], n), n) for name in asked]
    return [
        Figure("table", "behavior", "rows", float(n), n),
        Figure("table", "behavior", "duplicate_share", share(repeated, n), n),
        *figures,
    ]


def snapshot_figures(snapshot: DataFrame, kind: str) -> list[Figure]:
    """snapshot: a user or item table through its roles. Rows beyond the first of each id are duplicates."""
    counted = snapshot.agg(F.count(F.lit(1)).alias("rows"), F.countDistinct(f"{kind}_id").alias("ids")).first()
    n = counted["rows"]
    return [
        Figure("table", kind, "rows", float(n), n),
        Figure("table", kind, "duplicate_share", share(n - counted["ids"], n), n),
    ]
