"""Which published bundles name a user. Free of Spark."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from jobs.data.user_places import SIDED, columns_of_users
from jobs.lib.errors import RecflowError
from jobs.lib.object_store import Store
from jobs.publish.versions import Version, all_versions
from jobs.serve.published import Bundle

FEATURES = "model/features.json"
ROWS, MODEL = "rows", "its model knows the user's id"


def versions_naming(store: Store, users: Collection[str]) -> dict[Version, str]:
    """Version -> MODEL, ROWS (of tables alone), or why it cannot be told; newest first. Every published table is looked
    at; the other forms hold the same rows."""
    found = {version: _naming(store, version, users) for version in all_versions(store)}
    return {version: why for version, why in found.items() if why is not None}


def categories_name(features: Sequence[Mapping[str, Any]], users: Collection[str]) -> bool:
    """Is a user among the categories of a model's features (operators id and combo)?"""
    told = [f["categories"] or [] for f in features if "user_id" in f["name"]]
    return not set(users).isdisjoint(part for values in told for value in values for part in value.split("|"))


def _naming(store: Store, version: Version, users: Collection[str]) -> str | None:
    if version.published is None:
        return None  # no bundle to anyone
    try:
        with Bundle(f"{store.root}/{version.folder}") as bundle:
            features = bundle.json(FEATURES)["columns"] if bundle.has(FEATURES) else []
            if categories_name(features, users):
                return MODEL
            return ROWS if _rows_name(bundle, users) else None
    except (RecflowError, pa.ArrowException, OSError) as error:
        return f"may name the user, it cannot be read: {str(error).splitlines()[0]}"


def _rows_name(bundle: Bundle, users: Collection[str]) -> bool:
    folders = {e["key"].rpartition("/")[0] for e in bundle.about["objects"] if e["key"].endswith(".parquet")}
    for folder in sorted(folders):
        there = bundle.columns(folder)
        if not (columns := columns_of_users(there)):
            continue
        asked = [(columns[-1], "in", list(users)), *([("side", "=", "user")] if columns == SIDED else [])]
        is_by_user = there[0] == columns[0]  # then only the part that can hold the user is opened
        if bundle.rows(folder, list(columns), list(users) if is_by_user else None, asked).num_rows:
            return True
    return False
