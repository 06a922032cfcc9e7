"""Checks of a contract judged: Great Expectations holds the figures of each ds against the limits."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from jobs.lib import partitions, quality_results
from jobs.lib.checks import Check
from jobs.lib.contracts import Contract
from jobs.lib.days import add_days, window
from jobs.lib.errors import QualityError
from jobs.lib.figures import Figures
from jobs.lib.observations import Observation, observe
from jobs.lib.quality_results import Bounds, Result

log = logging.getLogger("recflow")

_judging = threading.Lock()  # nodes at a time share one context of Great Expectations


def judge(
    table: str, contract: Contract, measured: Mapping[str, Figures], past: Mapping[str, Figures] | None = None
) -> list[Result]:
    """Each check of each ds, with its level. past: figures of earlier days that are not among the measured ones.

    A check that blocks and that an operator overrode says by whom and why.
    """
    if not contract.checks or not measured:
        return []
    seen = {(ds, c.name): observe(c, ds, measured, past or {}) for ds in measured for c in contract.checks}
    with _judging:
        beyond = _beyond_limits(contract, list(measured), seen)
    results = []
    for ds in measured:
        for check in contract.checks:
            observation = seen[ds, check.name]
            result = Result(
                ds=ds,
                name=check.name,
                kind=check.kind,
                severity=check.severity,
                level=_level(ds, check, observation, beyond),
                observed=observation.observed,
                of=observation.of,
                value=observation.value if math.isfinite(observation.value) else None,
                limits=check.limits,
                orange=check.limit_text("orange"),
                red=check.limit_text("red"),
                note=observation.note,
            )
            if result.blocks:
                result = replace(result, override=quality_results.override_of(table, ds, check.name))
            results.append(result)
    return results


def keep(writer: str, table: str, contract: Contract, measured: Mapping[str, Figures], results: list[Result]) -> None:
    """Keep what was judged, whether or not it blocks."""
    for ds, figure in measured.items():
        kept = {"results": [r.as_dict() for r in results if r.ds == ds], "history": history_of(figure)}
        quality_results.keep(writer, table, contract.table, contract.content_id, ds, kept)


def refuse_blocked(table: str, results: Iterable[Result], what: str = "was not written") -> None:
    """Log what is orange, red or overridden. Raises QualityError naming table, ds, check and what was observed."""
    broken = [result for result in results if not result.passed]
    blocking = [result for result in broken if result.blocks]
    for result in broken:
        if result.override is not None:
            who, why = result.override["who"], result.override["why"]
            log.warning("%s ds=%s: check %s: %s; %s lets it pass: %s", table, result.ds, result.name, result, who, why)
        elif not result.blocks:
            log.warning("%s ds=%s: check %s: %s (%s)", table, result.ds, result.name, result, result.level)
    if blocking:
        shown = "; ".join(f"ds={r.ds} check {r.name} ({r.kind}): {r}" for r in blocking[:5])
        more = f" and {len(blocking) - 5} more" if len(blocking) > 5 else ""
        raise QualityError(f"{table} {what}: {shown}{more}")


def history_of(figure: Figures) -> dict[str, Any]:
    """What later days compare themselves with: small, and kept with each ds."""
    return {"rows": figure.rows, "histograms": figure.histograms}


def days_before(contract: Contract, days: list[str]) -> list[str]:
    """The days before `days` that the contract compares with."""
    reach = {d for check in contract.checks if check.days for ds in days for d in window(add_days(ds, -1), check.days)}
    return sorted(reach - set(days))


def written_before(table: str, contract: Contract, days: list[str]) -> dict[str, Figures]:
    """Figures of earlier days of a table that recflow writes, from the records of its partitions."""
    records = {ds: partitions.record(table, ds) for ds in days_before(contract, days)}
    return {ds: Figures(r["rows"], histograms=r.get("histograms", {})) for ds, r in records.items() if r is not None}


def _level(ds: str, check: Check, observation: Observation, beyond: set[tuple[str, str, str]]) -> str:
    if math.isnan(observation.value):
        return "no_history"
    return next((level for level in ("red", "orange") if (ds, check.name, level) in beyond), "green")


def _beyond_limits(
    contract: Contract, days: list[str], seen: Mapping[tuple[str, str], Observation]
) -> set[tuple[str, str, str]]:
    """(ds, check, level) of each limit that does not hold. Great Expectations over a small frame, one row per ds: no
    Spark job, observed values kept."""
    import pandas as pd

    figures_of_days = _batch_definition()  # first of all: a suite looks for the context that this opens
    frame = pd.DataFrame([{c.name: float(seen[ds, c.name].value) for c in contract.checks} for ds in days])
    batch = figures_of_days.get_batch({"dataframe": frame})
    beyond = set()
    suite = suite_of(contract.table, [(c.name, c.severity, c.limits, {}) for c in contract.checks])
    for outcome in batch.validate(suite, result_format="COMPLETE").results:
        name, level = outcome.expectation_config.kwargs["column"], outcome.expectation_config.meta["level"]
        if outcome.exception_info.get("raised_exception"):
            raise QualityError(f"check {name} of {contract.table}: {outcome.exception_info.get('exception_message')}")
        beyond |= {(days[index], name, level) for index in outcome.result.get("unexpected_index_list") or []}
    return beyond


def suite_of(name: str, checks: Iterable[tuple[str, str, Mapping[str, Bounds], dict[str, Any]]]) -> Any:
    """Expectations on a frame with a column per check: one for each limit.

    checks: name, severity, limits and further `meta` of each.
    """
    import great_expectations as gx

    suite = gx.ExpectationSuite(name=name)
    for column, severity, limits, meta in checks:
        for level, (low, high) in limits.items():
            blocks_or_warns = "critical" if severity == "fail" else "warning"
            suite.add_expectation(
                gx.expectations.ExpectColumnValuesToBeBetween(
                    column=column,
                    min_value=low,
                    max_value=high,
                    severity=blocks_or_warns if level == "red" else "info",
                    meta={"level": level, **meta},
                )
            )
    return suite


@cache
def _batch_definition() -> Any:
    """One context for the process: each one leaves a temporary folder behind until the process ends."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("figures").add_dataframe_asset("days")
    return asset.add_batch_definition_whole_dataframe("all")
