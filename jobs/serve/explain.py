"""Why an item stands on a user's published list where it does, or why it does not. Free of Spark.

Everything said is read from the bundle: the list's own row, the recalls' tables, and the score, which is computed anew
with what the bundle knows of user and item.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pyarrow as pa

from jobs.features.windows import RECENT
from jobs.lib.days import from_day_number
from jobs.lib.errors import RecflowError
from jobs.publish.bundle import BundleError
from jobs.recall.pairec import EVERYONE
from jobs.serve.absent import known_of, place_by_score, why_not
from jobs.serve.described import ITEMS, USERS, parsed
from jobs.serve.lists import RECALLS, ROWS
from jobs.serve.published import Bundle
from jobs.serve.scoring import FEATURES, NO_MODEL, Scoring

TOP_FEATURES = 8
TOLERANCE = 1e-3  # of the sum of contributions: XGBoost adds them up in float32


def explain(bundle: Bundle, user: str, item: str) -> dict[str, Any]:
    """Plain values, see `explain_text`. Raises RecflowError for a user or an item that the bundle does not know."""
    mine = bundle.rows(ROWS, keys=[user]).to_pylist()
    row = next((row for row in mine if row["item_id"] == item), None)
    known_user, known_item = bundle.rows(USERS, ["user_id"], [user]), bundle.rows(ITEMS, ["item_id"], [item])
    if not mine and not known_user.num_rows:
        raise RecflowError(f"user {user!r} is not known to {bundle.address}")
    if row is None and not known_item.num_rows:
        raise RecflowError(f"item {item!r} is not known to {bundle.address}")
    recent = recent_items(bundle, user)
    titles = titles_of(bundle, [item, *recent])
    brought = _brought(bundle, user, item, row)
    score = None if bundle.has(NO_MODEL) else _score(bundle, user, item, recent)
    known, place = known_of(bundle, user, item, recent, mine), place_by_score(item, score, mine)
    return {
        "bundle": bundle.address,
        "userId": user,
        "itemId": item,
        "title": titles.get(item),
        "list": None if row is None else _place(row, mine),
        "why_not": None if row is not None else why_not(bundle, mine, brought, known, place),
        "recalls": [one | _triggers(bundle, one["recall"], item, recent, titles) for one in brought],
        "score": score,
        "place_by_score": place if row is None and mine else None,
        **known,
    }


def recent_items(bundle: Bundle, user: str) -> dict[str, str]:
    """The user's last items, newest first, each with the ds of the last event; none where the bundle keeps none."""
    about = bundle.json(FEATURES)["definition"]["windows"] if bundle.has(FEATURES) else {}
    names = [n for n in bundle.columns(USERS) if n.startswith(f"user__{RECENT}_") and "_kv_" in n]
    if about.get("recent") == 0 or not names:
        return {}
    texts = bundle.rows(USERS, names[:1], [user]).column(0).combine_chunks()
    maps = parsed(texts, is_escaped=False).to_pylist()
    return {name: from_day_number(int(day)) for name, day in maps[0]} if maps and maps[0] else {}


def titles_of(bundle: Bundle, items: list[str]) -> dict[str, str]:
    if "title" not in bundle.columns(ITEMS) or not items:
        return {}
    rows = bundle.rows(ITEMS, ["item_id", "title"], items).to_pylist()
    return {row["item_id"]: row["title"] for row in rows if row["title"]}


def _place(row: dict, mine: list[dict]) -> dict[str, Any]:
    """model_rank and moves are there where the lists were ordered anew after scoring."""
    said = {"rank": row["rank"], "of": len(mine), "score": row["score"], "scored_by": row["scored_by"]}
    return said | {name: row[name] for name in ("model_rank", "moves") if name in row}


def _brought(bundle: Bundle, user: str, item: str, row: dict | None) -> list[dict]:
    """{recall, score, rank}: what the list's row says; without one, what the published recalls say."""
    if row is not None:
        return [dict(source) for source in row["sources"]]
    found = []
    for line in bundle.about.get("recalls", []):
        key, folder = {"recall_u2i": user, "recall_hot": EVERYONE}.get(line["kind"]), f"{RECALLS}/{line['name']}"
        if key is not None and not (key == EVERYONE and _has_groups(bundle, folder)):
            rows = bundle.rows(folder, ["score", "rank"], [key], [("item_id", "=", item)])
            found += [{"recall": line["name"], **one} for one in rows.to_pylist()]
    return found


def _has_groups(bundle: Bundle, folder: str) -> bool:
    """Do users get the list of their group from this hot recall? Then nobody gets everyone's."""
    return bundle.rows(folder, ["group_key"], where=[("group_key", "!=", EVERYONE)]).num_rows > 0


def _triggers(bundle: Bundle, recall: str, item: str, recent: dict[str, str], titles: dict[str, str]) -> dict:
    """{source, triggers}: where a recall goes by way of an item-to-item one, the user's last items that the item is
    similar to, most similar first."""
    lines = {line["name"]: line for line in bundle.about.get("recalls", [])}
    source = lines.get(recall, {}).get("source")
    if lines.get(source, {}).get("kind") != "recall_i2i":
        return {}
    columns, is_it = ["trigger_item_id", "score", "rank"], [("item_id", "=", item)]
    rows = bundle.rows(f"{RECALLS}/{source}", columns, list(recent), is_it).to_pylist() if recent else []
    triggers = [
        {
            "itemId": row["trigger_item_id"],
            "title": titles.get(row["trigger_item_id"]),
            "last": recent[row["trigger_item_id"]],
            "similarity": row["score"],
            "rank": row["rank"],
        }
        for row in sorted(rows, key=lambda row: (-row["score"], row["trigger_item_id"]))
    ]
    return {"source": source, "triggers": triggers}


def _score(bundle: Bundle, user: str, item: str, recent: dict[str, str]) -> dict[str, Any]:
    """The score as the bundle's model gives it, each label's prediction, and what its raw output is made up of."""
    scoring = Scoring(bundle, [user], [item, *recent])
    table = scoring.described(pa.array([user]), pa.array([item]))
    score, predictions = scoring.scorer.score(table)
    parts = partial(_parts, scoring.scorer.features, table)
    return {
        "value": float(score[0]),
        "expression": scoring.about["score"],
        "model": scoring.about["ds"],
        "targets": {
            label: {"prediction": float(predictions[label][0]), **parts(contributions[0], float(output[0]))}
            for label, (contributions, output) in scoring.scorer.contributions(table).items()
        },
    }


def _parts(names: list[str], table: pa.Table, contributions: Any, output: float) -> dict[str, Any]:
    """top: by size; others: the sum of the rest; output = bias + top + others."""
    total = float(contributions.sum(dtype="float64"))
    if abs(total - output) > TOLERANCE * max(1.0, abs(output)):
        raise BundleError(f"contributions sum to {total}, the model's output is {output}")
    order = sorted(range(len(names)), key=lambda n: (-abs(float(contributions[n])), names[n]))
    top = [
        {"feature": names[n], "value": table.column(names[n])[0].as_py(), "contribution": float(contributions[n])}
        for n in order[:TOP_FEATURES]
    ]
    bias = float(contributions[-1])
    others = total - bias - sum(one["contribution"] for one in top)
    return {"bias": bias, "top": top, "others": others, "output": output}
