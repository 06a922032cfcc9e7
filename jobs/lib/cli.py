"""The `recflow` command."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from jobs.data import forget_cli
from jobs.deploy import cli as deploy_cli
from jobs.evaluate import cli as evaluate_cli
from jobs.flow import cli as flow_cli
from jobs.lib import quality_cli
from jobs.lib.days import check_ds, day_range
from jobs.lib.demo_params import add_arguments, from_arguments
from jobs.lib.errors import RecflowError
from jobs.lib.scenarios import add_solution_flag, input_tables, those_that_hold
from jobs.lib.solution import is_scenario_name, load_solution
from jobs.publish import bundle_cli
from jobs.serve import cli as serve_cli

log = logging.getLogger("recflow")

DEPLOYED = (
    "run",
    "backfill",
    "status",
    "metrics",
    "diagnose",
    "clean-up",
    "forget",
    "restore",
)  # commands of the version that is deployed, if any


def main(argv: list[str] | None = None) -> int:
    """Run one command. Errors that a user can mend are one line and exit status 1."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    for noisy in ("py4j", "great_expectations", "matplotlib", "botocore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        if arguments.name in DEPLOYED and (not arguments.solution or is_scenario_name(arguments.solution)):
            from jobs.deploy.active import go_on_in_it

            go_on_in_it(argv)
        return arguments.command(arguments) or 0
    except RecflowError as error:
        for line in str(error).splitlines():
            print(f"recflow: error: {line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("recflow: stopped", file=sys.stderr)
        return 130


def _run(arguments: argparse.Namespace) -> None:
    from jobs.flow.running import run_node

    run_node(load_solution(arguments.solution), arguments.node, _days(arguments), from_arguments(arguments))


def _register(arguments: argparse.Namespace) -> int:
    from jobs.register.guess import register

    return register(arguments.guess, arguments.name_of_data, arguments.out)


def _import(arguments: argparse.Namespace) -> None:
    from jobs.data.import_files import import_folder

    days = _days(arguments) if arguments.from_ds or arguments.to_ds else None
    span = (days[0], days[-1]) if days else None
    for report in import_folder(arguments.registration, arguments.folder, span):
        print(report)


def _try(arguments: argparse.Namespace) -> None:
    from jobs.flow.try_folder import try_folder

    if arguments.days < 1:
        raise RecflowError(f"--days is {arguments.days}; at least 1 is needed")
    try_folder(arguments.registration, arguments.folder, arguments.days)


def _diagnose(arguments: argparse.Namespace) -> None:
    from jobs.diagnostics.diagnose import diagnose

    print(diagnose(load_solution(arguments.solution), _days(arguments)))


def _clean_up(arguments: argparse.Namespace) -> None:
    from jobs.data.clean_up import clean_bundles, clean_up

    if not arguments.ds:
        raise RecflowError("as of which day? give --ds 20261121")
    solution = load_solution(arguments.solution)
    for line in (*clean_up(solution, check_ds(arguments.ds)), *clean_bundles(solution)):
        print(line)


def _validate(arguments: argparse.Namespace) -> None:
    solution = load_solution(arguments.solution)
    print(f"{solution.path}: scenario {solution.scenario}, {len(solution.nodes())} nodes: it holds")


def _freeze(arguments: argparse.Namespace) -> None:
    from jobs.lib import partitions

    found, problems = those_that_hold(arguments.solution)
    known = [config.table for config in input_tables(found)]
    if arguments.table not in known:
        there = "; left out: ".join([", ".join(known), *(str(p).splitlines()[0] for p in problems)])
        raise RecflowError(f"{arguments.table} is no input table of a scenario; there are: {there}")
    (partitions.freeze if arguments.name == "freeze" else partitions.unfreeze)(arguments.table)
    print(f"{arguments.table}: {'frozen: its days wait' if arguments.name == 'freeze' else 'not frozen'}")


def _demo(arguments: argparse.Namespace) -> None:
    from jobs.lib.demo import run_demo

    if arguments.days < 3:
        raise RecflowError(f"--days is {arguments.days}; the demo needs at least 3, its last day judges the one before")
    run_demo(arguments.days)


def _ui(arguments: argparse.Namespace) -> None:
    from jobs.lib import platform

    platform.start(arguments.port)


def _stop(arguments: argparse.Namespace) -> None:
    from jobs.lib import platform

    platform.stop()


def _days(arguments: argparse.Namespace) -> list[str]:
    if getattr(arguments, "ds", None):
        if arguments.from_ds or arguments.to_ds:
            raise RecflowError("give either --ds or --from and --to")
        return [check_ds(arguments.ds)]
    if not (arguments.from_ds and arguments.to_ds):
        raise RecflowError("which days? give --ds 20261121, or --from 20261101 --to 20261121")
    return day_range(arguments.from_ds, arguments.to_ds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="recflow", description="A self-hosted recommendation batch platform.")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    def command(name: str, function, text: str, *flags: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=function)
        if "days" in flags:
            added.add_argument("--ds", help="one day, yyyymmdd")
            added.add_argument("--from", dest="from_ds", help="first day of a range")
            added.add_argument("--to", dest="to_ds", help="last day of a range")
        if "solution" in flags:
            add_solution_flag(added)
        return added

    run = command("run", _run, "Run one job for one day or a range of days.", "days", "solution")
    run.add_argument("node", help="a node, table or job name")
    add_arguments(run.add_argument_group("demo data (create_data only)"))
    flow_cli.add_to(command("backfill", flow_cli.run, "Plan or run the flow for a range of days, in this process."))
    flow_cli.add_status_to(command("status", flow_cli.show_status, "What is there, waits, is late, failed or stale."))
    flow_cli.add_metrics_to(command("metrics", flow_cli.show_metrics, "A day's rows, times, quality, gate, bundle."))
    flow_cli.add_restore_to(command("restore", flow_cli.run_restore, "Go on, on an empty machine, from the bucket."))
    flow_cli.add_alert_to(command("alert", flow_cli.send_test_alert, "Send a test alert by RECFLOW_NOTIFIER."))
    deploy_cli.add_plan(command("plan", deploy_cli.show_plan, "What code and solution would change if deployed."))
    deploy_cli.add_deploy(command("deploy", deploy_cli.run_deploy, "Check code and solution; the next run uses them."))
    command("deployments", deploy_cli.show_deployments, "Every deployment: who, when, what, and how it ended.")
    deploy_cli.add_rollback(command("rollback", deploy_cli.run_rollback, "Let the next run use an earlier version."))
    registered = command("register", _register, "Propose a registration from the files of a folder, to be corrected.")
    registered.add_argument(
        "--guess", required=True, metavar="FOLDER", help="the folder or s3:// prefix with the files"
    )
    registered.add_argument("--name", dest="name_of_data", help="of the data set (default: the folder's)")
    registered.add_argument("--out", help="a new file for the registration (default: it is printed)")
    imported = command("import", _import, "Import a folder of files, or tables, described by a registration.")
    imported.add_argument("--from", dest="from_ds", help="only behaviors from this ds (needs --to)")
    imported.add_argument("--to", dest="to_ds", help="only behaviors up to this ds")
    tried = command("try", _try, "Import a folder, run the whole flow on its last days, publish and show the figures.")
    tried.add_argument("--days", type=int, default=2, help="how many days, the last of the data, get lists (default 2)")
    for parser_ in (imported, tried):
        parser_.add_argument("registration", help="registration YAML, see schemas/registrations")
        parser_.add_argument("folder", help="the folder or s3:// prefix with the files")
    command(
        "diagnose", _diagnose, "Measure what a day's data look like, and say what to do about it.", "days", "solution"
    )
    evaluate_cli.add_to(command("evaluate", evaluate_cli.run, "Judge recalls on events held out, beside popularity."))
    cleaning = command("clean-up", _clean_up, "Remove what is older than `retention:` says, as of a day.", "solution")
    cleaning.add_argument("--ds", help="the day that ages are counted from, yyyymmdd")
    forget_cli.add_to(
        command("forget", forget_cli.run, "Remove a user from all tables of all scenarios (or one).", "solution")
    )
    command("validate", _validate, "Check a solution file.", "solution")
    bundle_cli.add_to(command("bundle", bundle_cli.run, "List, verify, pin, remove or go back to published bundles."))
    serve_cli.add_recommend(command("recommend", serve_cli.run_recommend, "Show a user's published list."))
    serve_cli.add_related(command("related", serve_cli.run_related, "Show what is related to an item, as published."))
    serve_cli.add_explain(command("explain", serve_cli.run_explain, "Say why an item is on a user's list, or not."))
    serve_cli.add_batch(command("batch", serve_cli.run_batch, "Batch inference: JSON Lines in and out."))
    quality_cli.add_to(command("quality", quality_cli.run, "What was judged of a day, and letting a block pass once."))
    for name, text in (("freeze", "Hold a table's days at its anchor."), ("unfreeze", "Let them flow again.")):
        command(name, _freeze, text, "solution").add_argument("table")
    demo = command("demo", _demo, "Create data, run the flow through Airflow, publish and show what came out.")
    demo.add_argument("--days", type=int, default=30, help="days of planted data (default 30)")
    ui = command("ui", _ui, "Start Airflow and its UI.")
    ui.add_argument("--port", type=int, default=8080)
    command("stop", _stop, "Stop what `demo` or `ui` started.")
    return parser


def entry_point() -> None:
    """The console script.

    It leaves at once when the work is done: Arrow's and Spark's threads, left to the interpreter's own end, now and
    then abort a command that had succeeded.
    """
    status = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    entry_point()
