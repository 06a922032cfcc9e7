"""Great Expectations' Data Docs of one day: a static site of what was judged, kept in the warehouse. Free of Spark.

`_data_docs/<ds>/<scenario>/index.html` and the pages behind it, one per table and contract. The pages take their style
from public web addresses; pictures and fonts of the package are left out, for they weigh 4 MB a day.
"""

from __future__ import annotations

import math
import tempfile
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from jobs.lib.days import to_date
from jobs.lib.object_store import Store, open_store
from jobs.lib.quality import suite_of
from jobs.lib.quality_results import described
from jobs.lib.settings import settings


def folder(scenario: str, ds: str) -> str:
    return f"_data_docs/{ds}/{scenario}"


def write_data_docs(scenario: str, ds: str, judged: list[dict[str, Any]]) -> str:
    """Build the site of a day in place of an earlier one; returns the address of its index."""
    store: Store = open_store(settings().warehouse_root)
    before = set(store.list(f"{folder(scenario, ds)}/"))
    with tempfile.TemporaryDirectory() as site:
        _build(Path(site), ds, judged)
        for file in sorted(Path(site).rglob("*.html")):
            key = f"{folder(scenario, ds)}/{file.relative_to(site).as_posix()}"
            is_index = file.parent == Path(site) and file.name == "index.html"
            store.put(key, _with_plain_list(file, site) if is_index else file.read_bytes())
            before.discard(key)
    for key in before:
        store.delete(key)
    return store.url(f"{folder(scenario, ds)}/index.html")


def _with_plain_list(index: Path, site: str) -> bytes:
    """The index with a list of its pages: its own is drawn by scripts from public addresses, out of reach for many."""
    pages = sorted(file.relative_to(site).as_posix() for file in Path(site).glob("validations/**/*.html"))
    links = "".join(f'<li><a href="{escape(page)}">{escape(page.split("/")[1])}</a></li>' for page in pages)
    return index.read_bytes().replace(b"</body>", f"<ul>{links}</ul></body>".encode(), 1)


def _build(site: Path, ds: str, judged: list[dict[str, Any]]) -> None:
    """The figures that were kept, validated once more: the site shows validations, and nothing else keeps them."""
    import great_expectations as gx
    import pandas as pd
    from great_expectations.core.run_identifier import RunIdentifier

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site)}
    context.add_data_docs_site(
        "day", {"class_name": "SiteBuilder", "store_backend": backend, "show_how_to_buttons": False}
    )
    asset = context.data_sources.add_pandas("figures").add_dataframe_asset("figures")
    run = RunIdentifier(run_name=ds, run_time=datetime.combine(to_date(ds), datetime.min.time(), UTC))
    for table in judged:
        name = f"{table['table']}__{table['contract']}"
        checks = [(r["name"], r["severity"], r["limits"], _notes(r)) for r in table["results"]]
        suite = context.suites.add(suite_of(name, checks))
        batch = asset.add_batch_definition_whole_dataframe(name)
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        figures = pd.DataFrame([{r["name"]: _value(r) for r in table["results"]}])
        context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": figures}, run_id=run, result_format="COMPLETE"
        )
    context.build_data_docs()


def _value(result: dict[str, Any]) -> float:
    """What was held against the limits: NaN without history, infinite where nothing was there to be fresh."""
    missing = math.nan if result["level"] == "no_history" else math.inf
    return missing if result["value"] is None else float(result["value"])


def _notes(result: dict[str, Any]) -> dict[str, Any]:
    lines = [f"{result['severity']}, {result['level']}: {described(result)}"]
    if result["override"]:
        lines.append(f"{result['override']['who']} let it pass: {result['override']['why']}")
    return {"notes": {"format": "markdown", "content": lines}}
