"""A recflow command that is killed in the middle: `python -m tests.faults.victim <what> <when> <nth> <arguments>`.

what: a function as module:name; when: before or after it; nth: which of its calls. Then the process group dies of
SIGKILL, Spark's JVM with it, as by the kernel's out-of-memory killer or a pulled plug.
"""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import sys
from functools import reduce


def die_at(what: str, when: str, nth: int) -> None:
    module, _, path = what.partition(":")
    *owners, name = path.split(".")
    owner = reduce(getattr, owners, importlib.import_module(module))
    function, calls = getattr(owner, name), itertools.count(1)

    def dying(*arguments, **options):
        is_due = next(calls) == nth
        if is_due and when == "before":
            os.killpg(0, signal.SIGKILL)
        result = function(*arguments, **options)
        if is_due:
            os.killpg(0, signal.SIGKILL)
        return result

    setattr(owner, name, dying)


if __name__ == "__main__":
    die_at(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    from jobs.lib.cli import main

    sys.exit(main(sys.argv[4:]))
