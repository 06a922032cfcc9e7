"""Which published bundles name a user. Free of Spark."""

from __future__ import annotations

from collections.abc import Collection

from jobs.data.user_places import SIDED, columns_of_users
from jobs.lib.object_store import Store
from jobs.publish.versions import Version, all_versions
from jobs.serve.published import Bundle


def versions_naming(store: Store, users: Collection[str]) -> list[Version]:
    """Newest first. Every published table is looked at; the other forms hold the same rows."""
    complete = [version for version in all_versions(store) if version.published is not None]
    return [version for version in complete if _names(f"{store.root}/{version.folder}", users)]


def _names(address: str, users: Collection[str]) -> bool:
    with Bundle(address) as bundle:
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
