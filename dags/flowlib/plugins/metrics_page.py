"""The pages of metrics: a line per day, and a day's rows, times, quality, gate and bundle.

Served by the API server under /recflow_metrics to whoever is signed in, and linked from the UI's menu.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from airflow.plugins_manager import AirflowPlugin
from fastapi import HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse

from flowlib.pages import STYLE, Ds, Name, pages
from jobs.flow import metrics
from jobs.flow.metrics import DayMetrics
from jobs.lib.errors import RecflowError
from jobs.lib.solution import Solution

DAYS_SHOWN = 10
DAYS_AT_ONCE = 4  # each reads some records at once, and S3 keeps 32 connections (jobs/lib/s3_client.py)
PREFIX = "/recflow_metrics"
LEVELS = "td.n { text-align: right } .bad { background: #f7d4d0 } .warn { background: #fbeac4 }"
BAD = ("failed", "missing")

app = pages("metrics")


@app.get("/")
def start() -> RedirectResponse:
    return RedirectResponse(f"{PREFIX}/{_solution().scenario}")


@app.get("/{scenario}", response_class=HTMLResponse)
def days(scenario: Name) -> str:
    """The newest days, one line each."""
    solution = _solution(scenario)
    with ThreadPoolExecutor(DAYS_AT_ONCE) as pool:
        read = partial(metrics.metrics_of, solution, in_brief=True)
        found = list(pool.map(read, metrics.days_with_runs(solution, DAYS_SHOWN)))
    measures = sorted({name for day in found for name in day.measures})
    head = ["ds", "published", "late", "all nodes", "green", "orange", "red", "no history", "blocks", "model", "lists"]
    rows = [_day_cells(day, solution, measures) for day in found]
    return _page(f"{scenario}: days", _table([*head, "bundle MB", *measures], rows))


@app.get("/{scenario}/{ds}", response_class=HTMLResponse)
def day(scenario: Name, ds: Ds) -> str:
    """Everything about one day."""
    solution = _solution(scenario)
    found, zone = metrics.metrics_of(solution, ds), solution.timezone
    nodes = [
        [
            (f'<a href="/recflow/{node.node}/{ds}">{node.node}</a>', ""),
            (_text(f"{node.state}: {node.why}" if node.why else node.state), "bad" if node.state in BAD else ""),
            *[(cell, "n") for cell in metrics.node_cells(node, zone)],
        ]
        for node in found.nodes
    ]
    facts = [
        ("published", metrics.bundle_line(found, zone), "bad" if found.late else ""),
        *[("late", reason, "bad") for reason in found.late],
        ("model", metrics.gate_line(found), "warn" if found.gate and found.gate["status"] == "held_back" else ""),
        ("checks", ", ".join(f"{count} {level}" for level, count in found.quality.items()), ""),
        *[("blocks", name, "bad") for name in found.blocking],
        *[(name, f"{value:.4f}", "") for name, value in sorted(found.measures.items())],
        *[("alert", f"{a['kind']}: {a['why']}{'' if a['sent'] else ' (not sent)'}", "warn") for a in found.alerts],
        ("all nodes", f"{found.seconds:.0f} s", ""),
    ]
    summary = _table(["what", "is"], [[(_text(name), ""), (_text(text), level)] for name, text, level in facts])
    head = ["node", "state", "rows", f"started ({_text(zone)})", "took", "usually"]
    back = f'<p><a href="{PREFIX}/{scenario}">all days</a></p>'
    return _page(f"{scenario} ds={ds}", f"{back}{summary}<h3>Nodes</h3>{_table(head, nodes)}")


def _day_cells(day: DayMetrics, solution: Solution, measures: list[str]) -> list[tuple[str, str]]:
    about = day.bundle
    when = metrics.moment(about["published"], solution.timezone) if about else "no"
    quality = [(str(count), "bad" if level == "red" and count else "n") for level, count in day.quality.items()]
    return [
        (f'<a href="{PREFIX}/{day.scenario}/{day.ds}">{day.ds}</a>', ""),
        (when, "bad" if day.late else ""),
        (_text("; ".join(day.late)), "bad" if day.late else ""),
        (f"{day.seconds:.0f} s", "n"),
        *quality,
        (_text(", ".join(day.blocking)), "bad" if day.blocking else ""),
        (day.gate["status"] if day.gate else "", "warn" if day.gate and day.gate["status"] == "held_back" else ""),
        (f"{about['lists']:,}" if about else "", "n"),
        (f"{about['bytes'] / 1e6:,.1f}" if about else "", "n"),
        *[(f"{day.measures[name]:.4f}" if name in day.measures else "", "n") for name in measures],
    ]


def _solution(scenario: str | None = None) -> Solution:
    try:
        return metrics.solution_of(scenario)
    except RecflowError as error:
        raise HTTPException(404, str(error)) from None


def _text(text: str) -> str:
    return html.escape(text)


def _table(head: Iterable[str], rows: list[list[tuple[str, str]]]) -> str:
    """Cells are (HTML, class)."""
    lines = ("".join(f'<td class="{kind}">{cell}</td>' for cell, kind in row) for row in rows)
    names = "".join(f"<th>{name}</th>" for name in head)
    return f"<table><tr>{names}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _page(title: str, body: str) -> str:
    title = _text(title)
    return f"<!doctype html><title>{title}</title><style>{STYLE}{LEVELS}</style><h2>{title}</h2>{body}"


class MetricsPlugin(AirflowPlugin):
    name = "recflow_metrics"
    fastapi_apps = [{"app": app, "url_prefix": PREFIX, "name": "recflow metrics"}]
    external_views = [{"name": "recflow", "href": f"{PREFIX}/", "destination": "nav", "url_route": "recflow"}]
