"""A day's metrics in Prometheus' text format, for the textfile collector of its node exporter."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.flow.metrics import DayMetrics

DONE = ("present", "skipped")
HELP = {
    "ds": "the day that the figures are about, as yyyymmdd",
    "node_done": "has the node come to its end for the day",
    "node_rows": "rows of the node's partition",
    "node_seconds": "how long the node took for the day",
    "node_usual_seconds": "the median of its runs before",
    "node_ended_timestamp_seconds": "when it ended",
    "quality_checks": "judged checks by level",
    "quality_blocking": "checks that block",
    "model_accepted": "did the model trained on the day pass its gate",
    "bundle_bytes": "of all objects of the published bundle",
    "bundle_lists": "users with a list",
    "bundle_published_timestamp_seconds": "when the manifest was written",
    "published": "is the day published",
    "measure": "what was measured of lists and ranking",
}


def exposition(found: DayMetrics) -> str:
    """One sample a line; figures that are not known are left out."""
    lines, seen = [], set()
    for name, labels, value in _samples(found):
        if value is None:
            continue
        if name not in seen:
            lines += [f"# HELP recflow_{name} {HELP[name]}", f"# TYPE recflow_{name} gauge"]
            seen.add(name)
        given = {"scenario": found.scenario, **labels}
        inside = ",".join(f'{key}="{text}"' for key, text in given.items())  # names of nodes and levels: no quotes
        lines.append(f"recflow_{name}{{{inside}}} {float(value):.15g}")
    return "\n".join([*lines, ""])


def _samples(found: DayMetrics) -> Iterator[tuple[str, dict[str, str], float | None]]:
    """(name, labels, value), samples of one name beside each other."""
    yield "ds", {}, int(found.ds)
    yield "published", {}, found.is_published
    for name in ("node_done", "node_rows", "node_seconds", "node_usual_seconds", "node_ended_timestamp_seconds"):
        for node in found.nodes:
            values = {
                "node_done": node.state in DONE,
                "node_rows": node.rows,
                "node_seconds": node.seconds,
                "node_usual_seconds": node.usual_seconds,
                "node_ended_timestamp_seconds": node.ended,
            }
            yield name, {"node": node.node}, values[name]
    for level, count in found.quality.items():
        yield "quality_checks", {"level": level}, count
    yield "quality_blocking", {}, len(found.blocking)
    yield "model_accepted", {}, found.gate and found.gate["status"] == "trained"
    for name, key in (("bytes", "bytes"), ("lists", "lists"), ("published_timestamp_seconds", "published")):
        yield f"bundle_{name}", {}, found.bundle and found.bundle[key]
    for name, value in sorted(found.measures.items()):
        yield "measure", {"measure": name}, value
