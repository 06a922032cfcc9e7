"""Checks of a contract: one Spark aggregation computes the figures, Great Expectations judges them."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from jobs.lib.contracts import Check, Contract
from jobs.lib.errors import ContractError, QualityError
from jobs.lib.spark import F

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

log = logging.getLogger("recflow")


@dataclass(frozen=True)
class Result:
    """One judged check of one ds. `observed` counts offending rows (row_count: the rows themselves)."""

    ds: str
    name: str
    kind: str
    severity: str
    observed: int
    passed: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def figures(rows: DataFrame, contract: Contract, days: list[str]) -> dict[str, dict[str, int]]:
    """Per ds: rows, an order-independent content hash, and for each check the number of offending rows.

    One aggregation over the rows, and one more per uniqueness check. A ds without rows gets zeros.
    """
    values = [c for c in rows.columns if c != "ds"]
    summed = [F.count(F.lit(1)).alias("rows"), _content_hash(rows, values).alias("content")]
    countable = [check for check in contract.checks if check.kind not in ("unique", "row_count")]
    summed += [F.count_if(_offends(check, rows)).alias(check.name) for check in countable]
    by_day = {row["ds"]: row.asDict() for row in rows.groupBy("ds").agg(*summed).collect()}
    if others := sorted(str(ds) for ds in set(by_day) - set(days)):
        found = ", ".join(others[:5])
        raise ContractError(f"{contract.table}: rows of ds={found} among the rows for {days[0]}..{days[-1]}")
    empty = {"rows": 0, "content": 0} | {check.name: 0 for check in countable}
    result = {ds: {k: int(v) for k, v in (by_day.get(ds) or empty).items() if k != "ds"} for ds in days}
    for check in (c for c in contract.checks if c.kind == "unique"):
        keys = list(dict.fromkeys(["ds", *check.columns]))
        doubles = rows.groupBy(*keys).count().where("count > 1").groupBy("ds").agg(F.sum(F.col("count") - 1).alias("n"))
        found = {row["ds"]: int(row["n"]) for row in doubles.collect()}
        for ds in days:
            result[ds][check.name] = found.get(ds, 0)
    for check in (c for c in contract.checks if c.kind == "row_count"):
        for ds in days:
            result[ds][check.name] = result[ds]["rows"]
    return result


def judge(table: str, contract: Contract, measured: dict[str, dict[str, int]]) -> list[Result]:
    """Each check of each ds, judged. Raises QualityError naming table, ds, check and what was observed."""
    if not contract.checks or not measured:
        return []
    passed = _expectations_met(contract, measured)
    results = [
        Result(ds, check.name, check.kind, check.severity, figure[check.name], passed[ds, check.name])
        for ds, figure in measured.items()
        for check in contract.checks
    ]
    broken = [r for r in results if not r.passed]
    for result in broken:
        if result.severity == "warn":
            log.warning("%s ds=%s: check %s: %s", table, result.ds, result.name, _observed(result))
    if blocking := [r for r in broken if r.severity == "fail"]:
        shown = "; ".join(f"ds={r.ds} check {r.name} ({r.kind}): {_observed(r)}" for r in blocking[:5])
        more = f" and {len(blocking) - 5} more" if len(blocking) > 5 else ""
        raise QualityError(f"{table} was not written: {shown}{more}")
    return results


def _observed(result: Result) -> str:
    return f"{result.observed} rows" if result.kind == "row_count" else f"{result.observed} offending rows"


def _expectations_met(contract: Contract, measured: dict[str, dict[str, int]]) -> dict[tuple[str, str], bool]:
    """Great Expectations over a small frame of figures, one row per ds: no Spark job, observed values kept."""
    import great_expectations as gx
    import pandas as pd

    days = list(measured)
    figures_of_days = _batch_definition()  # first of all: a suite looks for the context that this opens
    suite = gx.ExpectationSuite(name=contract.table)
    for check in contract.checks:
        low, high = (check.min, check.max) if check.kind == "row_count" else (0, 0)
        suite.add_expectation(
            gx.expectations.ExpectColumnValuesToBeBetween(column=check.name, min_value=low, max_value=high)
        )
    batch = figures_of_days.get_batch({"dataframe": pd.DataFrame([measured[ds] for ds in days])})
    met = {}
    for outcome in batch.validate(suite, result_format="COMPLETE").results:
        name = outcome.expectation_config.kwargs["column"]
        if outcome.exception_info.get("raised_exception"):
            raise QualityError(f"check {name} of {contract.table}: {outcome.exception_info.get('exception_message')}")
        wrong = set(outcome.result.get("unexpected_index_list") or [])
        met |= {(ds, name): index not in wrong for index, ds in enumerate(days)}
    return met


@cache
def _batch_definition() -> Any:
    """One context for the process: each one leaves a temporary folder behind until the process ends."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("figures").add_dataframe_asset("days")
    return asset.add_batch_definition_whole_dataframe("all")


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


def _content_hash(rows: DataFrame, columns: list[str]) -> Column:
    """A sum of row hashes: the same for the same rows in any order and partitioning. Kept in 96 bits by decimals."""
    return F.coalesce(F.sum(F.xxhash64(*[F.col(c) for c in columns]).cast("decimal(20,0)")), F.lit(0))
