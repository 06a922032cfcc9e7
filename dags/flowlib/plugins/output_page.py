"""Pages behind the `Output` links of the nodes: a partition's record, checks and first rows, and published files.

An Airflow plugin (airflow.cfg names its folder), served by the API server under /recflow to whoever is signed in there.
"""

from __future__ import annotations

import html
import json
import mimetypes
from typing import Any

from airflow.plugins_manager import AirflowPlugin
from fastapi import HTTPException
from fastapi.responses import HTMLResponse, Response

from flowlib.pages import STYLE, Ds, Name, pages
from jobs.lib import partitions, quality_results, runs
from jobs.lib.object_store import StoreError, open_store
from jobs.lib.settings import settings

ROWS_SHOWN = 20

app = pages("recflow")


@app.get("/published/{key:path}")
def published_file(key: str) -> Response:
    """One object of a published bundle. Sandboxed: a report is a page, but not one of Airflow's."""
    return _file(settings().publish_root, key)


@app.get("/data_docs/{key:path}")
def data_docs_file(key: str) -> Response:
    """One page of the Data Docs that `quality_result` built."""
    return _file(f"{settings().warehouse_root}/_data_docs", key)


@app.get("/{table}/{ds}", response_class=HTMLResponse)
def partition(table: Name, ds: Ds) -> str:
    """What is known about one partition of a table, or about what a publish node published for one day."""
    if table.endswith("_publish"):
        return _page(f"Published for ds={ds}", _published(table.removesuffix("_publish"), ds))
    record = partitions.record(table, ds)
    if record is None:
        facts = "<p>No record: not written yet, or filled by another system.</p>"
    else:
        facts = _table([{"": key, " ": value} for key, value in record.items() if key not in ("checks", "histograms")])
    facts += _last_run(table, ds)
    address = f"<p>{html.escape(partitions.table_path(table))}</p>"
    checks = f"<h3>Checks</h3>{_checks(table, ds)}<p>{_data_docs_links(table, ds)}</p>"
    return _page(f"{table} ds={ds}", f"{address}{facts}{checks}<h3>First rows</h3>{_first_rows(table, ds)}")


def _file(root: str, key: str) -> Response:
    try:
        content = open_store(root).get(key)
    except StoreError:
        raise HTTPException(404, f"there is no {key}") from None
    kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
    return Response(content, media_type=kind, headers={"Content-Security-Policy": "sandbox allow-scripts"})


def _checks(table: str, ds: str) -> str:
    """What was judged of the table, or by the node of this name; also when that blocked the write."""
    judged = [day for day in quality_results.of_day(ds) if table in (day["table"], day["writer"])]
    rows = [
        {
            "table": day["table"],
            "check": result["name"],
            "severity": result["severity"],
            "level": result["level"] + (", blocks" if result["blocks"] else ""),
            "observed": quality_results.described(result),
            "orange": result["orange"] or "",
            "red": result["red"] or "",
            "let pass by": result["override"] or "",
        }
        for day in judged
        for result in day["results"]
    ]
    return _table(rows)


def _last_run(table: str, ds: str) -> str:
    """How the node of this name ended for ds, and what it was made from."""
    run = runs.run_of(table, ds)
    if run is None:
        return ""
    origin, _ = run.pop("origin", {"inputs": {}}), run.pop("made", None)
    inputs = [
        {"made from": name, "ds": f"{min(days)}..{max(days)}" if len(days) > 1 else min(days),
         "not there": ", ".join(sorted(ds for ds, content in days.items() if content is None))}
        for name, days in sorted(origin["inputs"].items())
    ]  # fmt: skip
    return f"<h3>Last run</h3>{_table([{'': key, ' ': value} for key, value in run.items()])}{_table(inputs)}"


def _data_docs_links(table: str, ds: str) -> str:
    """Of every scenario its index, and the pages about this table."""
    keys = open_store(f"{settings().warehouse_root}/_data_docs").list(f"{ds}/")
    sites = [html.escape(key) for key in keys if key.count("/") == 2 and key.endswith("/index.html")]
    links = [f'<a href="../data_docs/{site}">Data Docs: {site.split("/")[1]}</a>' for site in sites]
    for page in (html.escape(key) for key in keys if f"/validations/{table}__" in key):
        links.append(f'<a href="../data_docs/{page}">{page.split("/")[3]}</a>')
    return " · ".join(links)


def _published(scenario: str, ds: str) -> str:
    store = open_store(settings().publish_root)
    keys = store.list(f"{scenario}/ds={ds}/")
    keys = sorted(keys, key=lambda key: not key.endswith("report/index.html"))
    links = "".join(f'<li><a href="../published/{html.escape(key)}">{html.escape(key)}</a></li>' for key in keys)
    return f"<p>{html.escape(store.url(scenario))}</p><ul>{links or '<li>nothing yet</li>'}</ul>"


def _first_rows(table: str, ds: str) -> str:
    try:
        delta = partitions.delta_table(table)
        rows = delta.to_pyarrow_dataset(partitions=[("ds", "=", ds)]).head(ROWS_SHOWN).to_pylist() if delta else []
        return _table(rows)
    except Exception as error:  # a page with the record but without rows is still of use
        return f"<p>cannot be shown: {html.escape(str(error))}</p>"


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "<p>none</p>"
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in rows[0])
    lines = ("".join(f"<td>{_cell(value)}</td>" for value in row.values()) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return html.escape(text[:300])


def _page(title: str, body: str) -> str:
    title = html.escape(title)
    return f"<!doctype html><title>{title}</title><style>{STYLE}</style><h2>{title}</h2>{body}"


class RecflowPlugin(AirflowPlugin):
    name = "recflow"
    fastapi_apps = [{"app": app, "url_prefix": "/recflow", "name": "recflow"}]
