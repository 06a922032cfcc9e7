"""Why an item is not on a user's published list, as far as the bundle tells. Free of Spark.

Candidates are not published, so what kept an item from them is told from what is: filters and what they look up, what
is on offer, the user's last items, and the score that the item would have had.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.lib.days import day_number
from jobs.recall.pairec import EVERYONE
from jobs.serve.described import offered
from jobs.serve.filtering import FILTERED, Filtering, names_by_place
from jobs.serve.lists import RECALLS
from jobs.serve.published import Bundle


def known_of(bundle: Bundle, user: str, item: str, recent: dict[str, str], mine: list[dict]) -> dict[str, Any]:
    """What can keep an item from a user. None stands for what the bundle does not say.

    removed_by: filters; is_offered; last: ds of the user's last event with it, where it is among their last items;
    is_seen: is it left out because of that?; was_candidate: was it chosen for the user, and then removed?
    group_lists: recall -> on how many groups' lists it stands.
    """
    filtering = Filtering(bundle, [user], [item])
    removed = names_by_place(filtering.removed(pa.array([user]), pa.array([item])), 1)[0]
    settings, last = bundle.about.get("lists", {}), recent.get(item)
    ago = None if last is None else day_number(bundle.ds) - day_number(last)
    is_seen = ago is not None and settings.get("exclude_seen", False) and ago < settings["seen_days"]
    return {
        "removed_by": removed if filtering.filters else None,
        "was_candidate": _was_candidate(bundle, user, item) if removed else None,
        "is_offered": None if (there := offered(bundle, [item])) is None else item in there.to_pylist(),
        "last": last,
        "is_seen": is_seen,
        "group_lists": {} if any(row["item_id"] == item for row in mine) else _group_lists(bundle, item),
    }


def place_by_score(item: str, score: dict[str, Any] | None, mine: list[dict]) -> int | None:
    """Where the item would stand by the score of the model that ordered the list; None where another one did, or
    none."""
    if score is None or any(row["scored_by"] != score["model"] for row in mine):
        return None
    own = (-score["value"], item.encode())
    return 1 + sum((-row["score"], row["item_id"].encode()) < own for row in mine)


def why_not(bundle: Bundle, mine: list[dict], brought: list[dict], known: dict[str, Any], place: int | None) -> str:
    """In a sentence, the first that is certain; where nothing is, all that is possible."""
    settings = bundle.about.get("lists", {})
    if not mine:
        active = f" in {settings['active_days']} days" if settings else ""
        return f"the user has no list: they had no event{active} up to {bundle.ds}, or nothing was left for them"
    if known["removed_by"]:
        names = ", ".join(known["removed_by"])
        was = "it was a candidate" if known["was_candidate"] else "it was no candidate, and would not be left"
        return f"removed by the filter {names}: {was}"
    if known["is_offered"] is False:
        return f"not on offer: the item table of {bundle.ds} does not list it"
    if known["is_seen"]:
        return f"left out as seen: they acted on it on {known['last']}, within {settings['seen_days']} days"
    by_score = "" if place is None else f"; by its score it would be {place} of {len(mine) + 1}"
    if not brought:
        groups = ", ".join(f"{n:,} of {recall}" for recall, n in known["group_lists"].items())
        if groups:
            maybe = f"it is on lists of groups ({groups}), and the bundle does not say who is in them"
            return f"no published recall brought it for the user or for everyone; {maybe}{by_score}"
        return f"no published recall brought it, for the user or for everyone{by_score}"
    if place is not None and place > len(mine):
        return f"ranked below{by_score}, the list ends before"
    most = f" the {settings['candidates']:,}" if settings else ""
    possible = {
        "others of the list came first": place is None,
        f"it was not among{most} candidates": True,
        "re-rank left it out": any(row.get("moves") for row in mine),
    }
    return (
        f"it was brought{by_score}: {', '.join(reason for reason, is_so in possible.items() if is_so)} "
        "or they acted on it in a way that the bundle does not keep"
    )


def _was_candidate(bundle: Bundle, user: str, item: str) -> bool:
    return bundle.rows(FILTERED, ["filter"], [user], [("item_id", "=", item)]).num_rows > 0


def _group_lists(bundle: Bundle, item: str) -> dict[str, int]:
    found = {}
    for line in bundle.about.get("recalls", []):
        if line["kind"] == "recall_hot":
            rows = bundle.rows(f"{RECALLS}/{line['name']}", ["group_key"], where=[("item_id", "=", item)])
            found[line["name"]] = pc.sum(pc.not_equal(rows.column("group_key"), EVERYONE)).as_py() or 0
    return {name: groups for name, groups in found.items() if groups}
