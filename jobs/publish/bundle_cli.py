"""`recflow bundle`: which bundles there are, whether they hold, which are kept, and which one readers follow."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from jobs.lib.errors import RecflowError
from jobs.lib.object_store import Store, open_store
from jobs.lib.retention import FEWEST_BUNDLES
from jobs.lib.scenarios import add_solution_flag
from jobs.lib.settings import settings
from jobs.lib.solution import load_solution

HEADER = ("ds", "version", "published (UTC)", "MB", "")


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=text, description=text)
        add_solution_flag(added)
        if name != "verify":
            added.add_argument("--address", help="a scenario's published folder (default: the solution's)")
        return added

    action("list", "Show every bundle, newest first, which are pinned and which one latest.json names.")
    verify = action("verify", "Check every object of a bundle against its manifest.")
    verify.add_argument("address", nargs="?", help="a bundle, or a scenario's published folder (then its latest)")
    pin = action("pin", "Keep a bundle for good.")
    pin.add_argument("--why", default="", help="shown by `list`")
    rollback = action("rollback", "Lead readers to an older bundle, or to a given one.")
    gc = action("gc", "Remove all bundles but the newest, the pinned and the one that latest.json names.")
    gc.add_argument("--keep", type=int, help="how many of the newest stay (default: `retention.bundles`)")
    gc.add_argument("--dry-run", action="store_true", help="only show what would go")
    for taking in (pin, action("unpin", "Let a bundle go when its time has come.")):
        taking.add_argument("version", help="its id, ds=…/v=…, or the ds where that has only one")
    rollback.add_argument("version", nargs="?", help="its id or ds (default: the next older one)")


def run(arguments: argparse.Namespace) -> int:
    address = arguments.address or f"{settings().publish_root}/{load_solution(arguments.solution).scenario}"
    if arguments.action == "verify":
        return _verify(address)
    _ACTIONS[arguments.action](open_store(address), arguments)
    return 0


def _verify(address: str) -> int:
    from jobs.publish.bundle import verify

    problems = verify(address)
    for problem in problems:
        print(problem)
    print(f"{address}: {'it holds' if not problems else f'{len(problems)} problems'}")
    return 1 if problems else 0


def _list(store: Store, arguments: argparse.Namespace) -> None:
    from jobs.publish.versions import all_versions, why_pinned

    rows = []
    for v in all_versions(store):
        pinned = f"pinned {why_pinned(store, v)}".rstrip() if v.is_pinned else ""
        remarks = ["latest" if v.is_latest else "", pinned, "" if v.published else "not whole: no manifest"]
        when = datetime.fromtimestamp(v.published, UTC).strftime("%Y-%m-%d %H:%M:%S") if v.published else ""
        rows.append((v.ds, v.version, when, f"{v.bytes / 1e6:,.1f}", ", ".join(filter(None, remarks))))
    if not rows:
        print(f"{store.root}: no bundle")
        return
    widths = [max(len(row[column]) for row in [HEADER, *rows]) for column in range(len(HEADER))]
    print(store.root)
    for row in [HEADER, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _pin(store: Store, arguments: argparse.Namespace) -> None:
    from jobs.publish.versions import pin

    print(f"{store.url(pin(store, arguments.version, arguments.why).folder)}: pinned")


def _unpin(store: Store, arguments: argparse.Namespace) -> None:
    from jobs.publish.versions import unpin

    print(f"{store.url(unpin(store, arguments.version).folder)}: not pinned any more")


def _rollback(store: Store, arguments: argparse.Namespace) -> None:
    from jobs.publish.versions import roll_back

    was, now = roll_back(store, arguments.version)
    print(f"{store.root}: readers follow ds={now.ds} {now.version}; it was ds={was['ds']} {was['version']}")


def _gc(store: Store, arguments: argparse.Namespace) -> None:
    from jobs.publish.versions import collect_garbage

    keep = arguments.keep if arguments.keep is not None else load_solution(arguments.solution).retention.bundles
    if keep < FEWEST_BUNDLES:
        raise RecflowError(f"--keep is {keep}; at least {FEWEST_BUNDLES}: a reader may still be at the one before")
    found = collect_garbage(store, keep, arguments.dry_run)
    for folder in found:
        what = f"kept: {folder.kept}" if folder.kept else "would go" if arguments.dry_run else "removed"
        print(f"{folder.folder}: {what}, {folder.bytes / 1e6:,.1f} MB")
    gone = [folder for folder in found if not folder.kept]
    verb = "would go" if arguments.dry_run else "removed"
    print(f"{store.root}: {len(gone)} {verb}, {sum(folder.bytes for folder in gone) / 1e6:,.1f} MB")


_ACTIONS = {"list": _list, "pin": _pin, "unpin": _unpin, "rollback": _rollback, "gc": _gc}
