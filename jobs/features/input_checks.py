"""Judges the day's input tables before anything is computed from them, whoever filled them.

Makes no table: what was judged is kept with the day (jobs/lib/quality_results.py). Grain: one judgement per ds, table.
Each table is seen through its roles and held against schemas/input_<kind>.yaml; one that another system fills and that
has a contract of its own, schemas/<table>.yaml, is held against that too. A blocked day stops here.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from jobs.lib import partitions, quality, quality_results, roles
from jobs.lib.checks import Check
from jobs.lib.contracts import Contract, conform, load_contract
from jobs.lib.days import day_number
from jobs.lib.errors import QualityError
from jobs.lib.figures import Figures, figures
from jobs.lib.input_tables import TableConfig
from jobs.lib.reads import Reads, input_of
from jobs.lib.session import at_once
from jobs.lib.settings import SCHEMAS
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F
from jobs.lib.tables import read_days, read_snapshots

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CONTRACT = None
SETTINGS = ()
KINDS = ("behavior", "item", "user")


def views(solution: Solution, days: list[str]) -> dict[str, DataFrame]:
    """Kind -> its table by role. A snapshot that serves every day has no ds."""
    tables, by_role = solution.tables, {"item": roles.items, "user": roles.users}
    found = {"behavior": behavior_view(read_days(tables.behavior, days, "input_checks"), solution)}
    for kind in ("item", "user"):
        if (config := getattr(tables, kind)) is not None:
            found[kind] = by_role[kind](read_snapshots(config, days, "input_checks"), solution)
    return found


def behavior_view(behavior: DataFrame, solution: Solution) -> DataFrame:
    """All rows by role, and whether each is of its ds: is_of_the_day."""
    events = roles.raw_events(behavior, solution)
    day = F.date_format(roles.local_time(F.col("event_time"), solution), "yyyyMMdd")
    return events.withColumn("is_of_the_day", day == F.col("ds"))


def contract_for(kind: str, solution: Solution) -> Contract:
    """schemas/input_<kind>.yaml as it applies to this solution's table."""
    contract = load_contract(f"input_{kind}")
    applying = [_filled(check, solution) for check in contract.checks if _applies(check, kind, solution)]
    return contract.model_copy(update={"checks": applying})


def _applies(check: Check, kind: str, solution: Solution) -> bool:
    """Does the solution have what the check is about?"""
    config: TableConfig = getattr(solution.tables, kind)
    if check.column in type(config.roles).model_fields and getattr(config.roles, check.column) is None:
        return False
    if check.kind == "event_order":
        return config.impressions
    if check.kind == "referential":
        referred = getattr(solution.tables, check.references.table)
        return referred is not None and referred.complete
    return True


def _filled(check: Check, solution: Solution) -> Check:
    """With the solution's own events and zone."""
    filled = {"timezone": solution.timezone}
    if check.column == "event" and check.values:
        filled["values"] = solution.events
    if check.kind == "event_order":
        filled["first"] = solution.impression
    return check.model_copy(update=filled)


def measured_view(
    kind: str, seen: dict[str, DataFrame], solution: Solution, contract: Contract, days: list[str]
) -> dict[str, Figures]:
    """The figures of one table for each ds; a snapshot that serves every day is measured once, and ages day by day."""
    config, view = getattr(solution.tables, kind), seen[kind]
    if "ds" in view.columns:
        measured = figures(view, contract, days, related=seen.__getitem__)
    else:
        (once,) = figures(view.withColumn("ds", F.lit(days[-1])), contract, days[-1:]).values()
        measured = dict.fromkeys(days, once)
    if config.snapshot == "daily":
        return measured
    present = partitions.present_days(config)
    ages = {ds: day_number(ds) - day_number(partitions.as_of_day(config, ds, present)) for ds in days}
    return {ds: replace(figure, age_days=ages[ds]) for ds, figure in measured.items()}


def own_contract(config: TableConfig, days: list[str]) -> Contract | None:
    """The contract of a table that another system fills, where there is one."""
    written_here = any(partitions.record(config.table, ds) for ds in days)
    has_contract = (SCHEMAS / f"{config.table}.yaml").exists()
    return load_contract(config.table) if has_contract and not written_here and config.snapshot == "daily" else None


def own_figures(config: TableConfig, contract: Contract, days: list[str]) -> dict[str, Figures]:
    """What the other system adds without being asked is compatible; what the contract promises must be there."""
    rows = read_days(config, days, "input_checks")
    promised = rows.select(*[name for name in rows.columns if name == "ds" or contract.spec(name)])
    return figures(conform(promised, contract, config.table), contract, days)


def judged_before(writer: str, contract: Contract, days: list[str]) -> dict[str, Figures]:
    """Figures of earlier days that were judged and not blocked."""
    found = {ds: quality_results.kept(writer, contract.table, ds) for ds in quality.days_before(contract, days)}
    return {
        ds: Figures(kept["history"]["rows"], histograms=kept["history"]["histograms"])
        for ds, kept in found.items()
        if kept is not None and not quality_results.blocking([kept])
    }


def contracts(solution: Solution) -> list[Contract]:
    """What the inputs are held against: other checks make what was judged by them stale."""
    return [contract_for(kind, solution) for kind in KINDS if getattr(solution.tables, kind) is not None]


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    tables = solution.tables
    return Reads(needs=tuple(p for config in (tables.behavior, tables.item, tables.user) for p in input_of(config, ds)))


def _measured(
    kind: str, seen: dict[str, DataFrame], solution: Solution, days: list[str]
) -> list[tuple[Contract, dict[str, Figures]]]:
    """A table by each contract that it is held against."""
    config, contract = getattr(solution.tables, kind), contract_for(kind, solution)
    measured = [(contract, measured_view(kind, seen, solution, contract, days))]
    if own := own_contract(config, days):
        measured.append((own, own_figures(config, own, days)))
    return measured


def main(days: list[str], solution: Solution, node: Node) -> None:
    """Judge every table of the days, then refuse all that is blocked at once. Raises QualityError."""
    writer, seen = solution.table("input_checks"), views(solution, days)
    judged, refused = [], []
    measured_kinds = at_once(*[partial(_measured, kind, seen, solution, days) for kind in seen])
    for kind, measured in zip(seen, measured_kinds, strict=True):
        config: TableConfig = getattr(solution.tables, kind)
        for contract, figures_of_days in measured:
            past = judged_before(writer, contract, days)
            results = quality.judge(config.table, contract, figures_of_days, past)
            quality.keep(writer, config.table, contract, figures_of_days, results)
            judged.append((config.table, results))
    for table, results in judged:
        try:
            quality.refuse_blocked(table, results, "is not fit to be read")
        except QualityError as error:
            refused.append(str(error))
    if refused:
        raise QualityError("; ".join(refused))
    for table, results in judged:
        quality_results.use_overrides(table, results)
