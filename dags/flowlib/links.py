"""The link of a node to what it wrote."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperatorLink


def output_url(table: str, ds: str) -> str:
    """The page about one partition (flowlib/plugins/output_page.py), relative to the UI's own address."""
    return f"/recflow/{table}/{ds}"


class OutputLink(BaseOperatorLink):
    """A button on the task: the partition's record, checks and first rows, or the published report."""

    name = "Output"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """`output` is set by the operator when it runs, because only then is the day known."""
        return operator.output
