"""`make audit`: known vulnerabilities of the packages of requirements.lock, by pip-audit.

Ends with 0 when there are none but accepted ones, with 1 when there are others, and with 3 when it could not be done:
pip-audit takes a package that its service does not answer for as harmless, so what it left out is counted here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
ACCEPTED = ROOT / "infra" / "accepted_advisories.yaml"
COMMAND = [
    *(sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / "requirements.lock")),
    *("--disable-pip", "--no-deps", "--format", "json", "--progress-spinner", "off", "--timeout", "10"),
]  # the lock names everything, each by hash: nothing is resolved, nothing installed
LONGEST_SEC = 60
FOUND, NOT_DONE = 1, 3


def main() -> int:
    accepted = accepted_advisories(ACCEPTED)
    try:
        done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=LONGEST_SEC)
        told = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        lines, status = [_not_done(f"no answer within {LONGEST_SEC} s")], NOT_DONE
    except (ValueError, KeyError):
        why = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        lines, status = [_not_done(why)], NOT_DONE
    else:
        lines, status = judged(told, accepted)
    print("\n".join(lines))
    return status


def accepted_advisories(file: Path) -> dict[str, dict[str, Any]]:
    """Id -> {id, package, why, since}. Ends the program where an entry says less."""
    entries = yaml.safe_load(file.read_text()) or []
    for entry in entries:
        if set(entry) != {"id", "package", "why", "since"} or not isinstance(entry["since"], date) or not entry["why"]:
            sys.exit(f"audit: error: {file.name}: an entry has id, package, why and since (a date): {entry}")
    return {entry["id"]: entry for entry in entries}


def judged(told: list[dict[str, Any]], accepted: dict[str, dict[str, Any]]) -> tuple[list[str], int]:
    """What to print, and the exit status. told: pip-audit's dependencies."""
    lines, open_ones, seen = [], 0, set()
    for package in told:
        for advisory in package.get("vulns", []):
            names = {advisory["id"], *advisory.get("aliases", [])} & set(accepted)
            seen |= names
            entry = accepted[min(names)] if names else None
            fixed = ", ".join(advisory.get("fix_versions") or []) or "no version"
            what = f"accepted since {entry['since']}: {entry['why']}" if entry else f"fixed in {fixed}"
            lines.append(f"audit: {package['name']} {package['version']}: {advisory['id']}: {what}")
            open_ones += entry is None
    skipped = [package["name"] for package in told if "skip_reason" in package]
    if not skipped:
        lines += [
            f"audit: {name} is accepted and not found any more: take it out" for name in sorted({*accepted} - seen)
        ]
    lines.append(f"audit: {len(told) - len(skipped)} packages looked up, {open_ones} open advisories")
    if open_ones:
        return lines, FOUND
    if skipped or not told:
        shown = ", ".join(skipped[:3]) + (" …" if len(skipped) > 3 else "")
        lines.append(_not_done(f"{len(skipped)} of {len(told)} packages could not be looked up ({shown})"))
        return lines, NOT_DONE
    return lines, 0


def _not_done(why: str) -> str:
    return f"audit: NOT DONE: {why}: whether they have known vulnerabilities is unknown"


if __name__ == "__main__":
    sys.exit(main())
