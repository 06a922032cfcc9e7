"""`recflow evaluate`: how good recalls and the ranking are, on events held out."""

from __future__ import annotations

import argparse
from pathlib import Path

from jobs.lib.errors import RecflowError
from jobs.lib.settings import settings
from jobs.lib.solution import Solution, load_solution


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        choices=["recall", "split", "ranking"],
        help="recall: every recall line, and the lists blended from them; split: write the two parts for others; "
        "ranking: a model learned from the samples before the cut",
    )
    parser.add_argument(
        "--by", choices=["temporal", "user"], default="temporal", help="cut by time, or each user's last"
    )
    parser.add_argument("--train", type=float, default=0.9, metavar="SHARE", help="of the acts (default 0.9)")
    parser.add_argument("--windows", type=int, metavar="DAYS", help="let every recall line look back so far (1 to 400)")
    parser.add_argument(
        "--lists", action="append", default=[], metavar="NAME=PARQUET", help="judge these too: user_id, item_id, score"
    )
    parser.add_argument(
        "--out", help="folder for figures.parquet and report.html, of a ranking card.md (default: in the home folder)"
    )
    parser.add_argument("--solution", help="solution file or registration (default as for the other commands)")


def run(arguments: argparse.Namespace) -> None:
    from jobs.evaluate.held_out import with_windows
    from jobs.evaluate.recall import evaluate, write_split
    from jobs.evaluate.shown import html, text

    if not 0 < arguments.train < 1:
        raise RecflowError(f"--train is {arguments.train}; a share between 0 and 1 is needed")
    given = {}
    for pair in arguments.lists:
        name, is_there, path = pair.partition("=")
        if not (name and is_there and path):
            raise RecflowError(f"--lists {pair}: NAME=PARQUET is expected")
        given[name] = path
    solution = load_solution(arguments.solution)
    if arguments.windows is not None:
        if not 1 <= arguments.windows <= 400:
            raise RecflowError(f"--windows is {arguments.windows}; 1 to 400 days are possible")
        solution = with_windows(solution, arguments.windows)
    if taken := [
        name for name in given if name in {line.name for line in solution.recalls} | {"fused", "popularity", "random"}
    ]:
        raise RecflowError(f"--lists {taken[0]}=: this name is taken")
    out = Path(arguments.out or settings().home / "evaluation" / solution.scenario)
    if arguments.what == "ranking":
        _ranking(arguments, solution, out if arguments.out else out / "ranking")
        return
    if arguments.what == "split":
        write_split(solution, arguments.by, arguments.train, out)
        print(f"written: {out / 'train'}, {out / 'test'}")
        return
    evaluation = evaluate(solution, arguments.by, arguments.train, given, out)
    (out / "report.html").write_text(html(evaluation, solution.scenario), encoding="utf-8")
    print(text(evaluation))
    print(f"\nwritten: {out / 'figures.parquet'}, {out / 'report.html'}")


def _ranking(arguments: argparse.Namespace, solution: Solution, out: Path) -> None:
    from jobs.evaluate.ranking import evaluate_ranking, text

    not_taken = {"--by user": arguments.by == "user", "--lists": arguments.lists, "--windows": arguments.windows}
    for name, is_given in not_taken.items():
        if is_given:
            raise RecflowError(f"{name}: a ranking is judged by time, beside the item's own rate and popularity")
    print(text(evaluate_ranking(solution, arguments.train, out)))
    print(f"\nwritten: {out / 'figures.parquet'}, {out / 'card.md'}")
