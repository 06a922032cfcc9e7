"""What the checks of a table are judged by: one Spark aggregation per table, and one more for its keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

from jobs.lib.checks import Check
from jobs.lib.contracts import Contract
from jobs.lib.errors import ContractError
from jobs.lib.spark import F
from jobs.lib.unique_keys import may_repeat

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

HASH_BUCKETS = 16
MANY_ROWS = 500_000  # from here on keys are hashed first: below, grouping them is faster than a Python worker
BY_ROW = ("not_null", "range", "allowed_values", "regex", "expression")

Related = Callable[[str], "DataFrame"]


@dataclass(frozen=True)
class Figures:
    """What was measured of one ds. Keys are names of checks; histograms are kept under `Check.histogram_id`."""

    rows: int
    content: int = 0  # hash of the rows, the same in any order
    offending: dict[str, int] = field(default_factory=dict)
    of: dict[str, int] = field(default_factory=dict)  # what offending is a part of, where that is not the rows
    stale_sec: dict[str, int | None] = field(default_factory=dict)  # None: no row has a time
    age_days: int = 0  # from the snapshot that was read to ds
    histograms: dict[str, list[int]] = field(default_factory=dict)


def figures(
    rows: DataFrame,
    contract: Contract,
    days: list[str],
    related: Related | None = None,
    content: dict[str, int] | None = None,
) -> dict[str, Figures]:
    """The figures of each ds; a ds without rows gets zeros. `related` gives the table that a reference names, `content`
    the hash of the rows of each ds where their writer has taken it: reading every column for it is what costs most.

    A related table with a column ds is looked up day by day, one without serves every day. Raises ContractError for
    rows of other days.
    """
    buckets = {c.histogram_id: _bucket(c) for c in contract.checks if c.kind == "distribution_change"}
    by_row = [check for check in contract.checks if check.kind in BY_ROW]
    timed = [check for check in contract.checks if check.kind == "freshness" and check.column]
    values = [F.col(name) for name in rows.columns if name != "ds"] if content is None else []
    marked = rows.select(
        "*",
        (F.xxhash64(*values) if values else F.lit(0)).alias("_hash"),
        *[bucket.alias(f"_{name}") for name, (bucket, _) in buckets.items()],
    )
    # The sum of the hashes in two halves: sums of BIGINT cost half of what sums of DECIMAL do.
    summed = [
        F.count(F.lit(1)).alias("rows"),
        F.sum(F.shiftright("_hash", 32)).alias("high"),
        F.sum(F.col("_hash").bitwiseAND(F.lit(0xFFFFFFFF))).alias("low"),
        *[F.count_if(_offends(check, rows)).alias(f"offending {check.name}") for check in by_row],
        *[F.min(_stale_sec(check)).alias(f"stale {check.name}") for check in timed],
        *[
            F.count_if(F.col(f"`_{name}`") == number).alias(f"{name} {number}")
            for name, (_, count) in buckets.items()
            for number in range(count)
        ],
    ]
    by_day = {row["ds"]: row.asDict() for row in marked.groupBy("ds").agg(*summed).collect()}
    if others := sorted(str(ds) for ds in set(by_day) - set(days)):
        found = ", ".join(others[:5])
        raise ContractError(f"{contract.table}: rows of ds={found} among the rows for {days[0]}..{days[-1]}")
    keys = _key_figures(rows, contract, sum(day["rows"] for day in by_day.values()), related)
    measured = {}
    for ds in days:
        found = by_day.get(ds, {})
        measured[ds] = Figures(
            rows=found.get("rows", 0),
            content=((found.get("high") or 0) << 32) + (found.get("low") or 0)
            if content is None
            else content.get(ds, 0),
            offending={check.name: found.get(f"offending {check.name}", 0) for check in by_row}
            | {name: keys.get((ds, name), (0, 0))[0] for name in _key_checks(contract)},
            of={
                name: keys.get((ds, name), (0, 0))[1]
                for name, kind in _key_checks(contract).items()
                if kind != "unique"
            },
            stale_sec={check.name: found.get(f"stale {check.name}") for check in timed},
            histograms={
                name: [found.get(f"{name} {number}", 0) for number in range(count)]
                for name, (_, count) in buckets.items()
            },
        )
    return measured


def _key_checks(contract: Contract) -> dict[str, str]:
    return {c.name: c.kind for c in contract.checks if c.kind in ("unique", "referential", "event_order")}


def _key_figures(
    rows: DataFrame, contract: Contract, n_rows: int, related: Related | None
) -> dict[tuple[str, str], tuple[int, int]]:
    """(ds, check) -> offending, and of how many; in one job for all of them. What is missing is 0 of 0."""
    unique = {c.name: list(dict.fromkeys(["ds", *c.columns])) for c in contract.checks if c.kind == "unique"}
    suspected = may_repeat(rows, unique) if unique and n_rows >= MANY_ROWS else set(unique)
    counted = [_repeats(rows, name, unique[name]) for name in unique if name in suspected]
    for check in contract.checks:
        if check.kind == "referential":
            counted.append(_unmatched(rows, check, related(check.references.table)))
        elif check.kind == "event_order":
            counted.append(_out_of_order(rows, check))
    if not counted:
        return {}
    found = reduce(lambda left, right: left.unionByName(right), counted).collect()
    return {(row["ds"], row["name"]): (int(row["n"]), int(row["of"])) for row in found}


def _repeats(rows: DataFrame, name: str, keys: list[str]) -> DataFrame:
    repeated = rows.groupBy(*keys).count().where("count > 1").groupBy("ds")
    return repeated.agg(F.lit(name).alias("name"), F.sum(F.col("count") - 1).alias("n"), F.sum("count").alias("of"))


def _unmatched(rows: DataFrame, check: Check, related: DataFrame) -> DataFrame:
    """Rows are counted per key before they meet the other table: many rows share few keys."""
    key = check.column
    days = ["ds"] if "ds" in related.columns else []
    there = (
        related.select(*days, F.col(check.references.column).alias(key)).distinct().withColumn("is_there", F.lit(True))
    )
    counted = rows.where(F.col(key).isNotNull()).groupBy("ds", key).count()
    return _counted(
        counted.join(there, on=[*days, key], how="left").groupBy("ds"),
        check,
        F.sum(F.when(F.col("is_there").isNull(), F.col("count")).otherwise(0)),
        F.sum("count"),
    )


def _out_of_order(rows: DataFrame, check: Check) -> DataFrame:
    is_first = F.col(check.column) == check.first
    keys = list(dict.fromkeys(["ds", *check.columns]))
    times = rows.groupBy(*keys).agg(
        F.min(F.when(is_first, F.col(check.time))).alias("_shown"),
        F.min(F.when(~is_first, F.col(check.time))).alias("_acted"),
    )
    acted = times.where(F.col("_acted").isNotNull())
    late = F.col("_shown").isNull() | (F.col("_shown") > F.col("_acted"))
    return _counted(acted.groupBy("ds"), check, F.count_if(late), F.count(F.lit(1)))


def _counted(by_day: Any, check: Check, n: Column, of: Column) -> DataFrame:
    return by_day.agg(F.lit(check.name).alias("name"), n.alias("n"), of.alias("of"))


def _offends(check: Check, rows: DataFrame) -> Column:
    """True for a row that breaks the check. NULLs offend not_null only; the other kinds are about values."""
    if check.kind == "not_null":
        offending = F.lit(False)
        for name in check.columns:
            offending = offending | F.col(name).isNull()
        return offending
    if check.kind == "expression":
        return ~F.coalesce(F.expr(check.expression), F.lit(True))
    column = F.col(check.column)
    if check.kind == "range":
        is_double = dict(rows.dtypes)[check.column] in ("double", "float")
        outside = F.isnan(column) if is_double else F.lit(False)
        if check.min is not None:
            outside = outside | (column < check.min)
        if check.max is not None:
            outside = outside | (column > check.max)
        return outside
    if check.kind == "allowed_values":
        return ~column.isin(*check.values)
    return ~column.rlike(f"^(?:{check.pattern})$")


def _stale_sec(check: Check) -> Column:
    """Seconds from a time to the end of its ds; NULL for times after that, which would hide how old the others are."""
    midnight = F.to_timestamp(F.date_add(F.to_date("ds", "yyyyMMdd"), 1))
    end = F.unix_seconds(F.to_utc_timestamp(midnight, check.timezone))
    return F.when(F.col(check.column) < end, end - F.col(check.column))


def _bucket(check: Check) -> tuple[Column, int]:
    """The number of a value's bucket, and how many there are; bucket 0 is NULL."""
    column = F.col(check.column)
    if check.bins:
        bucket = F.when(column.isNull(), 0)
        for number, edge in enumerate(check.bins, start=1):
            bucket = bucket.when(column < edge, number)
        return bucket.otherwise(len(check.bins) + 1), len(check.bins) + 2
    if check.values:
        bucket = F.when(column.isNull(), 0)
        for number, value in enumerate(check.values, start=1):
            bucket = bucket.when(column == value, number)
        return bucket.otherwise(len(check.values) + 1), len(check.values) + 2
    hashed = F.pmod(F.xxhash64(column.cast("string")), F.lit(HASH_BUCKETS)) + 1
    return F.when(column.isNull(), 0).otherwise(hashed), HASH_BUCKETS + 1
