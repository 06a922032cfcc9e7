"""`recflow demo`: planted data, the days before filled in one pass, the last day run by Airflow, and what came out."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from functools import partial

from jobs.flow.status import yesterday
from jobs.lib import driver, partitions, platform
from jobs.lib.days import window
from jobs.lib.errors import Skipped
from jobs.lib.settings import settings
from jobs.lib.solution import Solution, load_solution
from jobs.publish.summary import print_summary

log = logging.getLogger("recflow")

LIST_LENGTH = 10


def run_demo(days: int, port: int = 8080) -> None:
    """Everything a newcomer wants to see; safe to stop and to run again. Raises RecflowError when the run fails."""
    started = time.monotonic()
    solution = load_solution()
    last = yesterday(solution)
    log.info("demo: %s days of planted data up to ds=%s, everything under %s", days, last, settings().home)
    best_auc = fill(solution, window(last, days))
    platform.ensure_started(port)
    platform.unpause("rec_sln_demo_data")  # tomorrow's data come by themselves, and home_page waits for them
    log.info("demo: running %s for ds=%s through the scheduler", solution.scenario, last)
    platform.run_day(solution.scenario, last, solution.timezone)
    print_summary(solution, last, best_auc)
    _print_true_rates(solution, last)
    name, password = platform.credentials()
    print(f"\nAirflow: {platform.address()}   login: {name} / {password}   (stop it with `make stop`)")
    log.info("demo: done in %.0f s", time.monotonic() - started)


def fill(solution: Solution, days: list[str]) -> float:
    """Make the data, and what the last day needs from the days before it. Returns the best AUC on the last day.

    The day before the last gets lists and a model, because the last day's evaluation is about them. It is done in the
    driver that Airflow's nodes will find warm.
    """
    from jobs.data.create_data import best_auc

    run = partial(driver.run, solution_path=solution.path, log=log.info)
    run("create_data", days)
    before = days[:-1]
    run("input_checks", before)
    for node in solution.nodes():
        if node.stage in ("features", "recall", "ranking") and node.name not in ("input_checks", "evaluation"):
            with suppress(Skipped):  # run again the day after, it has a model that serves
                run(node.name, before[-1:])  # and, before it, what its windows lack
    return best_auc(days[-1:], solution)[0]


def _print_true_rates(solution: Solution, ds: str) -> None:
    """What the lists are worth, as only planted data can tell. Hit rates count just what the world happened to show."""
    from jobs.data.create_data import true_click_rate

    lists = partitions.read_arrow(solution.table("recommendations"), ds, ["user_id", "item_id", "rank"]).to_pylist()
    users = sorted({row["user_id"] for row in lists})
    print("\nTrue click probability of the first ten items, known because the data are planted")
    hot = partitions.read_arrow(solution.table("hot"), ds, ["item_id", "rank"]).to_pylist()
    best = [row["item_id"] for row in hot if row["rank"] <= LIST_LENGTH]
    shown = {
        "the hot list for everyone": [(user, item) for user in users for item in best],
        "the published list": [(row["user_id"], row["item_id"]) for row in lists if row["rank"] <= LIST_LENGTH],
    }
    for name, pairs in shown.items():
        rate = true_click_rate(solution, [user for user, _ in pairs], [item for _, item in pairs])
        print(f"  {name:<26} {rate:.4f}")
