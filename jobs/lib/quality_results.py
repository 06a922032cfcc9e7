"""Judged checks as they are kept, and overrides of what blocks. Free of Spark and of Great Expectations.

Results of a day: `_quality/<ds>/<writer>/<contract>.json` in the warehouse, also when the write was blocked. The writer
is the table itself, or the node `input_checks` of a scenario. An override: `_overrides/<table>/<ds>/<check>.json`;
once used it moves to `_overrides_used`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from jobs.lib.errors import RecflowError
from jobs.lib.object_store import MissingObject, Store, open_store
from jobs.lib.settings import settings

if TYPE_CHECKING:
    from jobs.lib.solution import Solution

Bounds = tuple[float | None, float | None]


@dataclass(frozen=True)
class Result:
    """One judged check of one ds.

    level: green, orange, red, or no_history (a change that had too few days to be held against). observed: offending
    rows out of `of`, or rows, hours, days, change. value: what was held against the limits; limits: the smallest and
    largest value that is not yet orange, or red. override: {who, why} of whoever let it pass.
    """

    ds: str
    name: str
    kind: str
    severity: str
    level: str
    observed: float | None
    of: int | None = None
    value: float | None = None
    limits: dict[str, Bounds] = field(default_factory=dict)
    orange: str | None = None
    red: str | None = None
    note: str = ""
    override: dict[str, str] | None = None

    @property
    def passed(self) -> bool:
        return self.level not in ("orange", "red")

    @property
    def blocks(self) -> bool:
        return self.severity == "fail" and self.level == "red" and self.override is None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"passed": self.passed, "blocks": self.blocks}

    def __str__(self) -> str:
        return described(self.as_dict())


def described(result: dict[str, Any]) -> str:
    """What was observed, in words."""
    observed, kind = result["observed"], result["kind"]
    if observed is None:
        return result["note"]
    if kind == "row_count":
        return f"{observed:,} rows"
    if kind == "freshness":
        return (
            f"{observed:.1f} hours before the end of the day" if isinstance(observed, float) else f"{observed} days old"
        )
    if kind == "volume_change":
        return f"{observed:+.1%} rows {result['note']}"
    if kind == "distribution_change":
        return f"stability index {observed:.3f} {result['note']}"
    share = f" of {result['of']:,} ({observed / result['of']:.2%})" if result["of"] else ""
    return f"{observed:,} offending rows{share}"


def keep(writer: str, table: str, contract: str, contract_id: str, ds: str, kept: dict[str, Any]) -> None:
    """Keep what was judged of one table and ds; kept: results, and the figures that later days need."""
    about = {"ds": ds, "writer": writer, "table": table, "contract": contract, "contract_id": contract_id}
    text = json.dumps(about | kept, sort_keys=True, indent=1)
    _store().put(f"_quality/{ds}/{writer}/{contract}.json", text.encode())


def kept(writer: str, contract: str, ds: str) -> dict[str, Any] | None:
    """What was kept of one ds, or None."""
    return _json(f"_quality/{ds}/{writer}/{contract}.json")


def of_day(ds: str, writers: Collection[str] | None = None) -> list[dict[str, Any]]:
    """Everything that was judged of a day, by these writers (None: by all)."""
    found = (key for key in _store().list(f"_quality/{ds}/") if writers is None or key.split("/")[2] in writers)
    return [json.loads(_store().get(key)) for key in found]


def writers(solution: Solution) -> set[str]:
    """Whose results are about this solution: its nodes, and its input tables where recflow writes them."""
    tables = (solution.tables.behavior, solution.tables.item, solution.tables.user)
    inputs = {config.table for config in tables if config is not None}
    return inputs | {solution.table(node.name) for node in solution.nodes()}


def blocking(days: Iterable[dict[str, Any]]) -> list[str]:
    """Names of the checks that block, of what `of_day` gives."""
    return [result["name"] for day in days for result in day["results"] if result["blocks"]]


def override(table: str, ds: str, check: str, who: str, why: str) -> None:
    """Let the next write of this table and ds pass one check that blocks it. Raises RecflowError if none does."""
    if not who.strip() or not why.strip():
        raise RecflowError("an override says who lets the check pass, and why")
    blocked = blocking(day for day in of_day(ds) if day["table"] == table)
    if check not in blocked:
        shown = ", ".join(blocked) or "nothing"
        raise RecflowError(f"{table} ds={ds}: check {check} blocks nothing that could pass; what blocks: {shown}")
    text = json.dumps({"table": table, "ds": ds, "check": check, "who": who, "why": why}, sort_keys=True)
    _store().put(f"_overrides/{table}/{ds}/{check}.json", text.encode())


def override_of(table: str, ds: str, check: str) -> dict[str, str] | None:
    """Who lets this check of this table and ds pass, and why: {who, why}."""
    found = _json(f"_overrides/{table}/{ds}/{check}.json")
    return found and {"who": found["who"], "why": found["why"]}


def use_overrides(table: str, results: Iterable[Result]) -> None:
    """Overrides that let a write pass are used up by it; they are kept aside."""
    store = _store()
    for result in results:
        key = f"_overrides/{table}/{result.ds}/{result.name}.json"
        if result.override is not None and store.exists(key):  # two contracts may have a check of this name
            used = f"_overrides_used/{table}/{result.ds}/{result.name}"
            store.move(key, f"{used}.{len(store.list(f'{used}.')) + 1}.json")


def _json(key: str) -> dict[str, Any] | None:
    try:
        return json.loads(_store().get(key))
    except MissingObject:
        return None


def _store() -> Store:
    return open_store(settings().warehouse_root)
