"""A day is published with the filters that its lists were made by, or not at all."""

from __future__ import annotations

import pytest

from jobs.flow.lineage import config_id
from jobs.lib import partitions, runs
from jobs.lib.errors import RecflowError
from jobs.publish.filters_agree import check_filters
from jobs.publish.publish import publish
from tests.publish.builders import DS, FILTERS, solution, write_table

FILTERED, LISTS = "home_page_filtered", "home_page_recommendations"
OTHER = [{**FILTERS[0], "exclude": "count(click, 7) > 1"}, *FILTERS[1:]]


def with_publish(**changes):
    made = solution()
    return solution(publish={**made.publish.model_dump(mode="json", exclude_none=True), **changes})


def made(of, removed: str | None = None) -> None:
    """As if both were run: filtered by a solution, the lists from a content of filtered."""
    node = next(node for node in of.nodes() if node.name == "filtered")
    runs.done(FILTERED, DS, {"code": "", "config": config_id(of, node), "inputs": {}}, {}, 1.0)
    inputs = {FILTERED: {DS: removed}} if removed else {}
    runs.done(LISTS, DS, {"code": "", "config": "", "inputs": inputs}, {}, 1.0)


@pytest.fixture
def content(warehouse) -> str:
    """Of the partition of what filters removed."""
    write_table(FILTERED)
    return partitions.record(FILTERED, DS)["content"]


def test_filters_that_made_the_lists_are_published(content):
    check_filters(solution(), DS)  # nothing is known of the runs
    made(solution(), removed=content)
    check_filters(solution(), DS)
    check_filters(with_publish(active_days=7), DS)  # no filter looks at it


def test_filters_that_changed_since_are_refused(content):
    made(solution(), removed=content)
    said = f"{FILTERED} ds={DS} was made by other filters, or by other settings .*: run filtered and recommendations"
    for changed in (with_publish(filters=OTHER), with_publish(rerank={"banned": ["1"]})):
        with pytest.raises(RecflowError, match=said):
            publish(changed, DS)


def test_lists_that_other_filters_made_are_refused(content):
    for solved, removed in ((solution(), "before"), (solution(), None), (with_publish(filters=[], rerank={}), content)):
        made(solution(), removed=removed)
        with pytest.raises(RecflowError, match=f"{LISTS} ds={DS} was made by other filters: run recommendations again"):
            check_filters(solved, DS)
