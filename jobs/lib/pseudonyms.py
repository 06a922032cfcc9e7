"""User ids as pseudonyms: HMAC-SHA-256 of the id under a secret key. Free of Spark.

The same key gives the same pseudonym, over files, imports and readers; without it no id can be told from its pseudonym,
nor guessed by trying. The key is in the environment alone: it is never written, logged, or part of an error.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Collection

from jobs.lib.errors import SettingError
from jobs.lib.object_store import open_store
from jobs.lib.settings import settings

KEY = "RECFLOW_USER_KEY"  # where readers look for it, and imports by default
LENGTH = 32  # hex digits: 128 bits, enough for billions of users
SHORTEST = 16  # bytes of a key
FOLDER = "_pseudonymised"  # /<table>/<variable> in the warehouse: whose key an import took; never the key


def pseudonym(user_id: str, key: bytes) -> str:
    """LENGTH hex digits."""
    return hmac.digest(key, user_id.encode(), "sha256").hex()[:LENGTH]


def user_key(variable: str = KEY) -> bytes:
    """The key in an environment variable. Raises SettingError where there is none, or one that could be guessed."""
    key = os.environ.get(variable, "").encode()
    if not key:
        raise SettingError(f"{variable} is not set: user ids are pseudonymised with the secret key in it")
    if len(key) < SHORTEST:
        raise SettingError(f"{variable} is too short a key: {SHORTEST} bytes or more are needed, best random ones")
    return key


def key_if_set(variable: str = KEY) -> bytes | None:
    """None where nothing is pseudonymised."""
    return user_key(variable) if os.environ.get(variable) else None


def note(table: str, variable: str) -> None:
    """Keep that user ids of a table are pseudonyms, with the key in this variable."""
    open_store(settings().warehouse_root).put(f"{FOLDER}/{table}/{variable}", b"")


def pseudonyms_of(user: str, tables: Collection[str]) -> set[str]:
    """Of a user in these tables, and with the default key. Raises SettingError where a table's key is not set, unless
    the user is given by a pseudonym."""
    found = {KEY: key} if (key := key_if_set()) is not None else {}
    for place in open_store(settings().warehouse_root).list(f"{FOLDER}/"):
        _, table, variable = place.split("/")
        if table not in tables or variable in found:
            continue
        if os.environ.get(variable):
            found[variable] = user_key(variable)
        elif not re.fullmatch(f"[0-9a-f]{{{LENGTH}}}", user):
            raise SettingError(f"{table}: user ids are pseudonyms, and {variable}, with their key, is not set")
    return {pseudonym(user, key) for key in found.values()}
