"""`recflow forget`: remove a user from all tables of all scenarios, and say what still names them."""

from __future__ import annotations

import argparse
import json

from jobs.lib import partitions
from jobs.lib.object_store import open_store
from jobs.lib.scenarios import scenarios
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

    solutions = [load_solution(arguments.solution)] if arguments.solution else [*scenarios().values()]
    if arguments.lift:
        print(f"{lift(solutions, arguments.user)} input tables may show the user again")
        return 0
    done = forget(solutions, arguments.user, arguments.also)
    for table, days in done.removed.items():
        print(f"{table}: removed from {len(days)} days, ds={days[0]}..{days[-1]}")
    if not done.removed:
        print("no table names the user")
    for table in done.in_place:
        print(f"{table}: not touched, another system fills it; what is read of it leaves the user out from now on")
    still = [f"{table}: names a user of this id and is no scenario's; `--also` takes it" for table in done.others]
    still += [f"{table}: as author; items stay, and with them what is made of them" for table in done.authors]
    for solution in solutions:
        still += [*_models(solution, done.ids), *_bundles(solution, done.ids, arguments.bundles)]
    for line in still:
        print(f"still named: {line}")
    return STILL_NAMED if still else 0


def _bundles(solution: Solution, ids: tuple[str, ...], remove: bool) -> list[str]:
    from jobs.publish.holding import MODEL, ROWS, versions_naming
    from jobs.publish.versions import remains
    from jobs.publish.versions import remove as remove_version

    name, on_demand = solution.scenario, "`--bundles` removes it"
    store, still = open_store(f"{settings().publish_root}/{name}"), []
    for version, why in versions_naming(store, ids).items():
        if why not in (ROWS, MODEL):
            still.append(f"{name}/{version.folder}: {why}")
            continue
        found = remove_version(store, version, dry_run=not remove)
        if remove and found.kept is None:
            print(f"{name}/{version.folder}: removed")
        elif version.is_latest:
            nodes = ("rank_model", "publish") if why == MODEL else ("publish",)
            anew = " and ".join(f"`recflow run {node} --ds {version.ds} --solution {name}`" for node in nodes)
            to_do = f"{anew} leads readers to one without the user, then `--bundles` removes this one"
            still.append(f"{name}/{version.folder}: {found.kept}; {to_do}")
        else:
            still.append(f"{name}/{version.folder}: {found.kept or on_demand}")
    for found in remains(store, dry_run=not remove):
        if remove and found.kept is None:
            print(f"{name}/{found.folder}: removed")
        else:
            still.append(f"{name}/{found.folder}: not published, may name the user: {found.kept or on_demand}")
    return still


def _models(solution: Solution, ids: tuple[str, ...]) -> list[str]:
    from jobs.publish.holding import categories_name

    table, still = solution.table("rank_model"), []
    for ds in partitions.present_days(table):
        for row in partitions.read_arrow(table, ds, ["metadata"]).to_pylist():
            if categories_name(json.loads(row["metadata"] or "{}").get("features", []), ids):
                still.append(f"{table} ds={ds}: the model knows the user's id; train anew, this one goes with its day")
    return still
