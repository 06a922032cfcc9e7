"""User ids as pseudonyms: HMAC-SHA-256 of the id under a secret key. Free of Spark.

The same key gives the same pseudonym, over files, imports and readers; without it no id can be told from its pseudonym,
nor guessed by trying. The key is in the environment alone: it is never written, logged, or part of an error.
"""

from __future__ import annotations

import hmac
import os

from jobs.lib.errors import SettingError

KEY = "RECFLOW_USER_KEY"  # where readers look for it, and imports by default
LENGTH = 32  # hex digits: 128 bits, enough for billions of users
SHORTEST = 16  # bytes of a key


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
