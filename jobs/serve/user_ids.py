"""Users by their original ids, where a bundle knows them by pseudonyms (jobs/lib/pseudonyms.py).

With RECFLOW_USER_KEY set, an id that a bundle does not know is looked for by its pseudonym. `recommend` and `explain`
name the id that was asked for.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from jobs.lib.pseudonyms import key_if_set, pseudonym
from jobs.serve.described import USERS
from jobs.serve.lists import ROWS
from jobs.serve.published import Bundle


def id_in(bundle: Bundle, user: str) -> str:
    """Under which id the bundle has a user; the given one where it has none."""
    if (key := key_if_set()) is None:
        return user
    both = [user, pseudonym(user, key)]
    for folder in (ROWS, USERS):
        found = set(bundle.rows(folder, ["user_id"], both).column("user_id").to_pylist())
        if found:
            return user if user in found else both[1]
    return user


def ids_among(known: pa.Array, lines: list[dict]) -> list[dict]:
    """Lines with the id under which their user is known, where they name one."""
    if (key := key_if_set()) is None or not any("userId" in line for line in lines):
        return lines
    asked = [line["userId"] for line in lines]
    others = [pseudonym(user, key) for user in asked]
    is_known, is_other = (pc.is_in(pa.array(ids, known.type), value_set=known).to_pylist() for ids in (asked, others))
    found = zip(lines, others, is_known, is_other, strict=True)
    return [line if as_given or not by_other else line | {"userId": other} for line, other, as_given, by_other in found]
