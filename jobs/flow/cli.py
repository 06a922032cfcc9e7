"""`recflow backfill` and `recflow status`: the flow over a range of days, and where it stands."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from jobs.lib.days import check_ds
from jobs.lib.errors import RecflowError
from jobs.lib.scenarios import add_solution_flag, scenarios
from jobs.lib.solution import load_solution

if TYPE_CHECKING:
    from jobs.flow.plan import Request


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["plan", "run"], help="plan: say what would run and why; run: do it")
    parser.add_argument("--from", dest="first", metavar="DS", help="first day of the range, yyyymmdd")
    parser.add_argument("--to", dest="last", metavar="DS", help="last day of the range")
    parser.add_argument("--nodes", nargs="+", default=[], metavar="NODE", help="these and all that read them")
    parser.add_argument("--exclude", nargs="+", default=[], metavar="NODE", help="never run these")
    parser.add_argument("--force", action="store_true", help="also what is present")
    parser.add_argument("--publish-every", action="store_true", help="lists and a bundle for every ds")
    parser.add_argument("--set-latest", action="store_true", help="let latest.json move to an older ds")
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="nodes at a time (default 1)")
    parser.add_argument("--continue", dest="goes_on", action="store_true", help="go on with the one that stopped")
    add_solution_flag(parser)


def run(arguments: argparse.Namespace) -> int:
    """0; 1 when something that was asked for waits for its input."""
    from jobs.flow import backfill
    from jobs.flow.plan import plan
    from jobs.flow.shown import reasons, shown

    solution = load_solution(arguments.solution)
    if arguments.goes_on:
        others = ("first", "last", "nodes", "exclude", "force", "publish_every", "set_latest")
        if arguments.action == "plan" or any(getattr(arguments, other) for other in others) or arguments.parallel > 1:
            raise RecflowError("--continue goes with `run` alone: the rest is as the backfill that stopped was asked")
        done = backfill.go_on(solution)
    else:
        request = requested(arguments)
        if arguments.action == "plan":
            print(shown(plan(solution, request), solution))
            return 0
        done = backfill.run(solution, request)
    waiting = done.waiting()
    if waiting:
        print("\n".join(["What could not be made yet", *reasons(waiting)]))
    return 1 if waiting else 0


def add_status_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ds", help="look at the days up to this one (default: the newest that is over)")
    parser.add_argument("--days", type=int, default=60, help="how many days (default 60)")
    add_solution_flag(parser)


def show_status(arguments: argparse.Namespace) -> None:
    from jobs.flow.status import status, yesterday

    if arguments.days < 1:
        raise RecflowError(f"--days is {arguments.days}; at least 1 is needed")
    solution = load_solution(arguments.solution)
    print(status(solution, check_ds(arguments.ds or yesterday(solution)), arguments.days))


def add_metrics_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ds", help="the day (default: the newest that is over)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--prometheus", action="store_true", help="as Prometheus' text format")
    parser.add_argument("--solution", help="solution file (default $RECFLOW_SOLUTION, else dags/home_page.yaml)")


def show_metrics(arguments: argparse.Namespace) -> None:
    import json

    from jobs.flow.metrics import metrics_of, shown
    from jobs.flow.prometheus import exposition
    from jobs.flow.status import yesterday

    if arguments.json and arguments.prometheus:
        raise RecflowError("give either --json or --prometheus")
    solution = load_solution(arguments.solution)
    found = metrics_of(solution, check_ds(arguments.ds or yesterday(solution)))
    if arguments.json:
        print(json.dumps(found.as_dict(), indent=1, sort_keys=True, ensure_ascii=False))
    else:
        print(exposition(found) if arguments.prometheus else shown(found, solution.timezone))


def add_restore_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from", dest="first", metavar="DS", help="first day of the schedule (default: after the last)"
    )
    parser.add_argument("--solution", help="solution file, or the name of a scenario: that one alone (default: all)")


def run_restore(arguments: argparse.Namespace) -> None:
    from jobs.flow.restore import restore

    one = arguments.solution
    print(restore([load_solution(one)] if one else [*scenarios().values()], arguments.first))


def add_alert_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--solution", help="solution file (default $RECFLOW_SOLUTION, else dags/home_page.yaml)")


def send_test_alert(arguments: argparse.Namespace) -> int:
    """0 when it went out, else 1; the log says why."""
    from jobs.flow.alerts import TEST, Alert, send

    scenario = load_solution(arguments.solution).scenario
    return 0 if send(Alert(TEST, scenario, "", "", "sent by `recflow alert`"), say=print) else 1


def requested(arguments: argparse.Namespace) -> Request:
    from jobs.flow.plan import Request

    if not (arguments.first and arguments.last):
        raise RecflowError("which days? give --from 20260922 --to 20261121")
    if arguments.parallel < 1:
        raise RecflowError(f"--parallel is {arguments.parallel}; at least 1 is needed")
    return Request(
        first=arguments.first,
        last=arguments.last,
        nodes=tuple(arguments.nodes),
        exclude=tuple(arguments.exclude),
        force=arguments.force,
        every_ds=arguments.publish_every,
        set_latest=arguments.set_latest,
        parallel=arguments.parallel,
    )
