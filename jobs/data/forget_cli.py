"""`recflow forget`: remove a user from all tables of a solution, and say what still names them."""

from __future__ import annotations

import argparse
import json

from jobs.lib import partitions
from jobs.lib.object_store import open_store
from jobs.lib.settings import settings
from jobs.lib.solution import Solution, load_solution

STILL_NAMED = 3  # exit status


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", required=True, help="the user's original id")
    parser.add_argument("--bundles", action="store_true", help="also remove published bundles that name the user")
    parser.add_argument("--also", nargs="+", default=[], metavar="TABLE", help="other tables that name the same person")
    parser.add_argument("--lift", action="store_true", help="only let imports and runs show the user again")


def run(arguments: argparse.Namespace) -> int:
    from jobs.data.forget import forget, lift

    solution = load_solution(arguments.solution)
    if arguments.lift:
        print(f"{lift(solution, arguments.user)} input tables may show the user again")
        return 0
    done = forget(solution, arguments.user, arguments.also)
    for table, days in done.removed.items():
        print(f"{table}: removed from {len(days)} days, ds={days[0]}..{days[-1]}")
    if not done.removed:
        print("no table names the user")
    for table in done.in_place:
        print(f"{table}: not touched, another system fills it; what is read of it leaves the user out from now on")
    still = [f"{table}: names a user of this id and is not the solution's; `--also` takes it" for table in done.others]
    still += [*_models(solution, done.ids), *_bundles(solution, done.ids, arguments.bundles)]
    for line in still:
        print(f"still named: {line}")
    return STILL_NAMED if still else 0


def _bundles(solution: Solution, ids: tuple[str, ...], remove: bool) -> list[str]:
    from jobs.publish.holding import versions_naming
    from jobs.publish.versions import remove as remove_version

    store, still = open_store(f"{settings().publish_root}/{solution.scenario}"), []
    for version in versions_naming(store, ids):
        found = remove_version(store, version, dry_run=not remove)
        if remove and found.kept is None:
            print(f"{version.folder}: removed")
        elif version.is_latest:
            publish = f"`recflow run publish --ds {version.ds}` leads readers to one without the user"
            still.append(f"{version.folder}: {found.kept}; {publish}, then `--bundles` removes this one")
        else:
            still.append(f"{version.folder}: {found.kept or '`--bundles` removes it'}")
    return still


def _models(solution: Solution, ids: tuple[str, ...]) -> list[str]:
    """Those with user ids among their categories (operators id and combo)."""
    table, still = solution.table("rank_model"), []
    for ds in partitions.present_days(table):
        for row in partitions.read_arrow(table, ds, ["metadata"]).to_pylist():
            features = json.loads(row["metadata"] or "{}").get("features", [])
            told = [f["categories"] or [] for f in features if "user_id" in f["name"]]
            if set(ids) & {part for values in told for value in values for part in value.split("|")}:
                still.append(f"{table} ds={ds}: the model knows the user's id; train anew, this one goes with its day")
    return still
