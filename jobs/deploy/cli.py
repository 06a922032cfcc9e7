"""`recflow plan`, `deploy`, `deployments` and `rollback`: which version of code and solution is the one that runs."""

from __future__ import annotations

import argparse
import getpass
import socket

from jobs.lib.scenarios import add_solution_flag

CHANGES = 2  # exit status of `plan` when a deployment would change something


def add_plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--days", type=int, default=60, help="of how many days stale partitions are told (default 60)")
    add_solution_flag(parser)


def add_deploy(parser: argparse.ArgumentParser) -> None:
    add_solution_flag(parser)
    _add_who(parser)


def add_rollback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", nargs="?", help="as `recflow deployments` names it (default: the one before)")
    _add_who(parser)


def _add_who(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--who", help="kept with the deployment (default: user@host)")


def show_plan(arguments: argparse.Namespace) -> int:
    """0 when nothing would change, else 2."""
    from jobs.deploy.plan import changes
    from jobs.lib.errors import RecflowError

    if arguments.days < 1:
        raise RecflowError(f"--days is {arguments.days}; at least 1 is needed")
    found = changes(arguments.solution, arguments.days)
    print(found or "nothing would change: this code and solution are deployed")
    return CHANGES if found else 0


def run_deploy(arguments: argparse.Namespace) -> None:
    from jobs.deploy.deploy import deploy

    done = deploy(arguments.solution, _who(arguments))
    print(f"deployment {done.number}: {done.version} is active; the next run uses it ({done.what})")


def run_rollback(arguments: argparse.Namespace) -> None:
    from jobs.deploy.deploy import rollback

    done = rollback(arguments.version, _who(arguments))
    print(f"deployment {done.number}: {done.version} is active again; the next run uses it ({done.what})")


def show_deployments(arguments: argparse.Namespace) -> None:
    from jobs.deploy.deploy import listed

    records, active = listed()
    newest = max((r.number for r in records if r.version == active and r.outcome == "done"), default=None)
    for record in records:
        is_active = "  active" if record.number == newest else ""
        line = f"{record.number:>4}  {record.when}  {record.who}  {record.action} {record.version or '?'}"
        said = (record.error or record.what).partition("\n")[0]
        print(f"{line}  {record.outcome}{is_active}" + (f"\n      {said}" if said else ""))
    if not records:
        print("nothing was deployed: what runs is the code of the installation")


def _who(arguments: argparse.Namespace) -> str:
    return arguments.who or f"{getpass.getuser()}@{socket.gethostname()}"
