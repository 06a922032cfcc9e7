"""What `explain` found, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def explain_text(about: dict[str, Any]) -> str:
    return "\n".join([*_head(about), *_recalls(about), *_score(about), *_after(about)])


def _named(item: str, title: str | None) -> str:
    return f"{item} ({title})" if title else item


def _head(about: dict[str, Any]) -> Iterator[str]:
    item, place = _named(about["itemId"], about["title"]), about["list"]
    yield about["bundle"]
    if place is None:
        yield f"item {item} is not on the list of user {about['userId']}: {about['why_not']}"
    else:
        by = "recall order" if place["scored_by"] == "recall" else f"the model of {place['scored_by']}"
        yield (
            f"item {item} is {place['rank']} of {place['of']} on the list of user {about['userId']}, "
            f"score {place['score']:.6g} by {by}"
        )


def _recalls(about: dict[str, Any]) -> Iterator[str]:
    yield "brought by" if about["recalls"] else "brought by no published recall"
    for one in about["recalls"]:
        yield f"  {one['recall']}: rank {one['rank']}, score {one['score']:.6g}"
        for trigger in one.get("triggers", ()):
            named, similarity = _named(trigger["itemId"], trigger["title"]), f"{trigger['similarity']:.6g}"
            yield f"    like {named}, last on {trigger['last']}: similarity {similarity} ({one['source']})"
        if one.get("triggers") == []:
            yield f"    none of the user's last items that the bundle keeps is linked to it by {one['source']}"


def _score(about: dict[str, Any]) -> Iterator[str]:
    if (score := about["score"]) is None:
        yield "no model: lists are in recall order"
        return
    yield f"score {score['value']:.6g} = {score['expression']}, by the model of {score['model']}"
    for label, of in score["targets"].items():
        yield f"  {label}: {of['prediction']:.6g}, from the raw output {of['output']:+.4f} (log-odds of a probability)"
        rows = [("every row starts from", "", of["bias"])]
        rows += [(part["feature"], _value(part["value"]), part["contribution"]) for part in of["top"]]
        rows.append(("all other features", "", of["others"]))
        width, wide = (max(len(row[n]) for row in rows) for n in (0, 1))
        for name, value, contribution in rows:
            yield f"    {name:<{width}}  {value:>{wide}}  {contribution:+.4f}"


def _after(about: dict[str, Any]) -> Iterator[str]:
    place = about["list"] or {}
    if (before := place.get("model_rank")) is not None:
        moves = ", ".join(place.get("moves") or ())
        said = "did not move it" if before == place["rank"] else f"moved it from {before} to {place['rank']}"
        yield f"re-rank {said}" + (f": {moves}" if moves else "")
    if about["removed_by"] is not None:
        removed = f"removed by {', '.join(about['removed_by'])}" if about["removed_by"] else "none removes it"
        yield f"filters: {removed}" + (
            ", and yet it is on the list, which other filters made: run filtered, recommendations and publish again"
            if about["removed_by"] and place
            else ""
        )
    offered = {True: "yes", False: "no", None: "the bundle does not say"}[about["is_offered"]]
    last = about["last"] or "not among their last items that the bundle keeps"
    yield f"on offer: {offered}; the user's last event with it: {last}"


def _value(value: float | str | None) -> str:
    return "not known" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
