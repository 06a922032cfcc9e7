"""What a reader must know before believing a figure: notes for manifest and report."""

from __future__ import annotations

from jobs.flow.lineage import reads_of
from jobs.lib import partitions, tables
from jobs.lib.solution import Solution
from jobs.publish.figures import Model
from jobs.publish.report_figures import Measures
from jobs.ranking import candidates, recommendations
from jobs.ranking.filtered import removals
from jobs.recall.inputs import Day


def notes_of(solution: Solution, ds: str, model: Model, measures: Measures) -> list[str]:
    """All that there is to say about the day, in sentences."""
    said = []
    is_held_back = model.newest is not None and not model.newest["accepted"]
    if not model.boosters:
        said.append(model.reason)
    elif is_held_back and model.newest["ds"] > model.ds:
        said.append(
            f"The model trained on {model.newest['ds']} was held back: {model.newest['reason']}. "
            f"The one of {model.ds} serves."
        )
    elif model.ds != ds:
        every = solution.cadence.rank_model
        said.append(
            f"Lists are ordered by the model of {model.ds}, the newest one trained on data up to this day: "
            f"one is trained every {every} days."
        )
    if solution.impression is None:
        said.append(
            "Impressions are not recorded: negatives were sampled from what was on offer, so ranking figures tell "
            f"{solution.target}s from random items, and predicted rates are not click-through rates."
        )
    if not any(subject == "list" for subject, *_ in measures):
        said.append("The lists of the day before could not be judged: there were none, or nobody acted on this day.")
    lists = (*_removed(solution, ds), *of_pins(solution, ds), *_short_lists(solution, ds))
    return [*said, *lists, *short_windows(solution, ds)]


def _removed(solution: Solution, ds: str) -> list[str]:
    """What each filter removed."""
    if not solution.publish.has_filters or ds not in partitions.present_days(solution.table("filtered")):
        return []
    return [
        f"The filter {filter_} removed {pairs:,} candidates: {items:,} items, for {users:,} users."
        for filter_, pairs, users, items in removals(solution, ds)
    ]


def of_pins(solution: Solution, ds: str) -> list[str]:
    """What became of the pinned items."""
    if not solution.publish.rerank.pinned:
        return []
    lists, said = tables.read_days(solution.table("recommendations"), [ds]), []
    for pin in recommendations.pin_counts(lists, Day(solution, ds)):
        if pin.lists:
            said.append(f"The pinned item {pin.item} is in {pin.lists:,} lists.")
        elif pin.is_offered:
            said.append(f"The pinned item {pin.item} is in no list: filters or its own condition leave it to nobody.")
        else:
            said.append(f"The pinned item {pin.item} is in no list: it is not on offer.")
    return said


def _short_lists(solution: Solution, ds: str) -> list[str]:
    """Users with fewer candidates or items in their list than wanted: only where nothing more is on offer to them."""
    if ds not in partitions.present_days(solution.table("candidates")):
        return []  # lists may outlive what they were chosen from
    publish, short = solution.publish, candidates.short_lists(solution, ds)
    said = [
        f"{users:,} users have fewer than {publish.candidates:,} candidates (the fewest: {length:,}): nothing more is "
        "on offer that they have not acted on."
        for length, users in short
    ]
    if short or publish.has_filters or publish.candidates < publish.top_n:  # else nobody can be short of a list
        left = "that they have not acted on" + (" and that the filters leave them." if publish.has_filters else ".")
        said += [
            f"{users:,} users have fewer than {publish.top_n:,} items in their list (the fewest: {length:,}): nothing "
            f"more is on offer {left}"
            for length, users in recommendations.short_lists(solution, ds)
        ]
    return said


def short_windows(solution: Solution, ds: str) -> list[str]:
    """Which nodes of the day looked back on fewer days than they are meant to."""
    said = []
    for node in solution.nodes():
        if node.stage != "publish":
            wanted: dict[str, list[str]] = {}
            for table, day in reads_of(ds, solution, node).wanted:
                wanted.setdefault(table, []).append(day)
            for table, days in wanted.items():
                if missing := len(set(days) - set(partitions.present_days(table))):
                    said.append(f"Short history: {node.name} lacks {missing} of {len(days)} days of {table}.")
    return said
