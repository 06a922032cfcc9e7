"""What one day came to: rows, times, quality, gate and bundle, out of the records that runs leave. Free of Spark.

Nothing is measured here. Durations are of run records (`_runs/`), rows of partition records, levels of `_quality/`, the
gate of the model's own row, lists and coverage of the published manifest.
"""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from jobs.flow import alerts
from jobs.flow.late import late
from jobs.flow.lineage import Ledger, outputs, run_name
from jobs.flow.shown import aligned
from jobs.flow.status import yesterday
from jobs.lib import partitions, quality_results, runs
from jobs.lib.errors import NodeError
from jobs.lib.object_store import MissingObject, open_store
from jobs.lib.settings import PROJECT_ROOT, settings
from jobs.lib.solution import DEPLOYED_SOLUTION, Node, Solution, load_solution, solution_file
from jobs.lib.yaml_model import read_yaml

LEVELS = ("green", "orange", "red", "no_history")
MEASURES = (("list", "coverage"), ("list", "hit_rate"), ("list", "ndcg"), ("ranking", "auc"), ("ranking", "gauc"))


@dataclass(frozen=True)
class NodeMetrics:
    """One node on one ds. started and ended: unix seconds; seconds: of this ds alone; usual_seconds: the median of the
    runs before. None where it is not known."""

    node: str
    stage: str
    state: str
    why: str
    rows: int | None
    started: float | None
    ended: float | None
    seconds: float | None
    usual_seconds: float | None


@dataclass(frozen=True)
class DayMetrics:
    """gate: {status, reason} of the model trained on ds, if one was; bundle: {version, published, bytes, objects,
    lists, is_latest}, if there is one; quality: checks per level, and the names of those that block; late: what the day
    waits for while it is not published, of the newest day that is over and of days that there was an alert about."""

    scenario: str
    ds: str
    nodes: tuple[NodeMetrics, ...]
    quality: dict[str, int]
    blocking: tuple[str, ...]
    gate: dict[str, str] | None
    bundle: dict[str, Any] | None
    measures: dict[str, float]
    is_published: bool
    late: tuple[str, ...]
    alerts: tuple[dict[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def seconds(self) -> float:
        """Of all nodes together: they run one at a time."""
        return sum(node.seconds or 0 for node in self.nodes)


def metrics_of(solution: Solution, ds: str, in_brief: bool = False) -> DayMetrics:
    """in_brief: of a node only how long it took (its state is empty), for pages about many days: everything known is a
    request to the storage, and there are many."""
    ledger = Ledger(solution)
    read = partial(_timed if in_brief else _node, solution, ds, ledger)
    with ThreadPoolExecutor(runs.THREADS) as pool:
        nodes = tuple(pool.map(read, solution.nodes()))
    judged = quality_results.of_day(ds, quality_results.writers(solution))
    levels = Counter(result["level"] for day in judged for result in day["results"])
    bundle, measures = _bundle(solution, ds)
    is_published = ledger.is_there(ds, solution.node("publish"))
    told = tuple(alerts.of_day(solution.scenario, ds))
    # A day made as history is published only where that was asked for.
    is_due = ds == yesterday(solution) or any(about["kind"] != alerts.HELD_BACK for about in told)
    return DayMetrics(
        solution.scenario,
        ds,
        nodes,
        {level: levels[level] for level in LEVELS},
        tuple(quality_results.blocking(judged)),
        alerts.model_of(solution, ds),
        bundle,
        measures,
        is_published,
        tuple(late(solution, ds)) if is_due and not is_published else (),
        told,
    )


def solution_of(scenario: str | None = None) -> Solution:
    """The solution file of a scenario (default: the default one), as deployed, else as installed. Raises NodeError."""
    from jobs.deploy.active import active_version, deployments, unpacked

    store = deployments()
    version = active_version(store)
    root = unpacked(store, version) if version else PROJECT_ROOT
    default = root / DEPLOYED_SOLUTION if version else Path(solution_file())
    if scenario is None:
        return load_solution(default)
    known = {read_yaml(file).get("scenario"): file for file in [*sorted((root / "dags").glob("*.yaml")), default]}
    if scenario not in known:
        raise NodeError(f"no scenario {scenario!r}; there are: {', '.join(map(str, known))}")
    return load_solution(known[scenario])


def days_with_runs(solution: Solution, most: int) -> list[str]:
    """The newest days on which the flow came to anything, newest first."""
    return runs.days_of(solution.table("input_checks"))[::-1][:most]


def _node(solution: Solution, ds: str, ledger: Ledger, node: Node) -> NodeMetrics:
    timed, (state, why) = _timed(solution, ds, ledger, node), ledger.outcome(ds, node)
    [table] = outputs(solution, node)
    record = partitions.record(table, ds)
    rows, usual = record["rows"] if record else None, runs.usual_seconds(timed.node, ds)
    return replace(timed, state=state, why=why, rows=rows, usual_seconds=usual)


def _timed(solution: Solution, ds: str, _: Ledger, node: Node) -> NodeMetrics:
    name = run_name(solution, node)
    run = runs.run_of(name, ds) or {}
    ended, seconds = run.get("ended"), run.get("seconds")
    # seconds is only a share of a pass over several days, which began before
    started = ended - seconds if seconds is not None and run.get("days") == 1 else None
    return NodeMetrics(name, node.stage, "", "", None, started, ended, seconds, None)


def _bundle(solution: Solution, ds: str) -> tuple[dict[str, Any] | None, dict[str, float]]:
    """Of the day's bundle that readers follow, else of its newest."""
    from jobs.publish.versions import all_versions

    store = open_store(f"{settings().publish_root}/{solution.scenario}")
    found = [v for v in all_versions(store) if v.ds == ds and v.published is not None]
    if not found:
        return None, {}
    version = next((v for v in found if v.is_latest), found[0])
    try:
        manifest = json.loads(store.get(f"{version.folder}/manifest.json"))
    except MissingObject:
        return None, {}  # removed just now
    lists = [o["rows"] for o in manifest["objects"] if o["key"].endswith(".jsonl.gz")]
    about = {
        "version": version.version,
        "published": version.published,
        "bytes": version.bytes,
        "objects": len(manifest["objects"]),
        "lists": sum(rows or 0 for rows in lists),
        "is_latest": version.is_latest,
    }
    measures = {
        f"{m['subject']}.{m['measure']}" + (f"@{m['k']}" if m["k"] else ""): m["value"]
        for m in manifest["metrics"]
        if (m["subject"], m["measure"]) in MEASURES and not m["slice"] and m["value"] is not None
    }
    return about, measures


def shown(found: DayMetrics, timezone: str) -> str:
    """As text, for a terminal."""
    rows = [("node", "state", "rows", "started", "took", "usually")]
    for node in found.nodes:
        rows.append((node.node, node.state, *node_cells(node, timezone)))
    checks = ", ".join(f"{count} {level}" for level, count in found.quality.items())
    blocking = f"; blocks: {', '.join(found.blocking)}" if found.blocking else ""
    lines = [f"{found.scenario} ds={found.ds}", "", *aligned(rows), "", f"all nodes: {found.seconds:.0f} s"]
    lines += [f"checks: {checks}{blocking}", f"model: {gate_line(found)}", f"bundle: {bundle_line(found, timezone)}"]
    lines += [f"{name}: {value:.4f}" for name, value in sorted(found.measures.items())]
    lines += [f"late: {reason}" for reason in found.late]
    return "\n".join([*lines, *(f"alert: {about['kind']}: {about['why']}" for about in found.alerts)])


def node_cells(node: NodeMetrics, timezone: str) -> tuple[str, str, str, str]:
    """rows, started, took, usually; blank where it is not known."""
    rows = "" if node.rows is None else f"{node.rows:,}"
    times = (seconds_shown(node.seconds), seconds_shown(node.usual_seconds))
    return rows, "" if node.started is None else moment(node.started, timezone), *times


def gate_line(found: DayMetrics) -> str:
    return f"{found.gate['status']}: {found.gate['reason']}" if found.gate else "none was trained on this day"


def bundle_line(found: DayMetrics, timezone: str) -> str:
    if found.bundle is None:
        return "none"
    about = found.bundle
    said = f"{about['version']}, {about['bytes'] / 1e6:,.1f} MB in {about['objects']} objects, {about['lists']:,} lists"
    return f"{said}, published {moment(about['published'], timezone)}{', latest' if about['is_latest'] else ''}"


def moment(seconds: float, timezone: str) -> str:
    from zoneinfo import ZoneInfo

    return datetime.fromtimestamp(seconds, UTC).astimezone(ZoneInfo(timezone)).strftime("%m-%d %H:%M:%S")


def seconds_shown(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"
