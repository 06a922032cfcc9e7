"""`recflow recommend`, `related`, `explain` and `batch`: what a published bundle says. They read nothing else."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.lib.days import check_ds
from jobs.lib.errors import RecflowError
from jobs.lib.scenarios import add_solution_flag
from jobs.lib.settings import settings
from jobs.lib.solution import load_solution

if TYPE_CHECKING:
    from jobs.serve.published import Bundle

SOME_FAILED = 3  # exit status of `batch` when it wrote lines with an error
SHAPES = ("users-to-items", "related", "rank", "users")


def add_recommend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", required=True)
    _add_common(parser)


def add_related(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--item", required=True)
    parser.add_argument("--recall", help="an item-to-item recall (default: the one whose user lists weigh most)")
    _add_common(parser)


def add_explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", required=True)
    parser.add_argument("--item", required=True)
    _add_common(parser, has_size=False)


def add_batch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--shape", choices=SHAPES, help="what lines ask for (default: by the first good one; itemId: related)"
    )
    parser.add_argument(
        "--in", dest="given", required=True, metavar="FILE", help="JSON Lines; an empty line is one with an error"
    )
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="JSON Lines, one for each; replaced when all are done"
    )
    parser.add_argument("--recall", help="for related: an item-to-item recall")
    _add_common(parser, has_json=False)


def _add_common(parser: argparse.ArgumentParser, has_size: bool = True, has_json: bool = True) -> None:
    if has_size:
        parser.add_argument("--size", type=int, default=20, help="how many at most (default 20)")
    if has_json:
        parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument(
        "--bundle", metavar="ADDRESS", help="a bundle, or a scenario's published folder (then its latest)"
    )
    parser.add_argument("--ds", help="the solution's bundle of this day (default: its latest)")
    add_solution_flag(parser)


def run_recommend(arguments: argparse.Namespace) -> None:
    from jobs.serve.lists import lists_of_users
    from jobs.serve.user_ids import id_in

    with _opened(arguments) as bundle:
        user = id_in(bundle, arguments.user)
        [found] = lists_of_users(bundle, [user]).of([user], _size(arguments))
        if found is None:
            raise RecflowError(f"{bundle.address} has no list for user {arguments.user!r}")
        _print_list(bundle, arguments, {"userId": arguments.user}, *found)


def run_related(arguments: argparse.Namespace) -> None:
    from jobs.serve.filtering import Filtering
    from jobs.serve.lists import i2i_of, related_items

    with _opened(arguments) as bundle:
        recall, filtering = i2i_of(bundle, arguments.recall), Filtering(bundle)
        [found] = related_items(bundle, filtering, recall, [arguments.item]).of([arguments.item], _size(arguments))
        if found is None:
            raise RecflowError(f"{bundle.address}: {recall} relates nothing to item {arguments.item!r}")
        _print_list(bundle, arguments, {"itemId": arguments.item, "recall": recall}, *found, left=filtering.about_users)


def run_explain(arguments: argparse.Namespace) -> None:
    from jobs.serve.explain import explain
    from jobs.serve.explain_text import explain_text
    from jobs.serve.user_ids import id_in

    with _opened(arguments) as bundle:
        about = explain(bundle, id_in(bundle, arguments.user), arguments.item) | {"userId": arguments.user}
    print(json.dumps(about, ensure_ascii=False) if arguments.json else explain_text(about))


def run_batch(arguments: argparse.Namespace) -> int:
    """Exit status 0: every line was served; 3: some have an error; 1: nothing was written."""
    from jobs.serve.batch import batch

    with _opened(arguments) as bundle:
        lines, failed = batch(
            bundle, Path(arguments.given), Path(arguments.out), arguments.shape, _size(arguments), arguments.recall
        )
        print(f"{arguments.out}: {lines:,} lines, {failed:,} of them with an error, from {bundle.address}")
    return SOME_FAILED if failed else 0


def _opened(arguments: argparse.Namespace) -> Bundle:
    from jobs.serve.published import Bundle, of_day

    for name in ("user", "item"):
        try:
            getattr(arguments, name, "").encode()
        except UnicodeEncodeError as error:
            raise RecflowError(f"--{name} {getattr(arguments, name)!r} is no text in UTF-8") from error
    if arguments.bundle:
        if arguments.ds or arguments.solution:
            raise RecflowError("give either --bundle, or --ds and --solution")
        return Bundle(arguments.bundle)
    root = f"{settings().publish_root}/{load_solution(arguments.solution).scenario}"
    return Bundle(of_day(root, check_ds(arguments.ds)) if arguments.ds else root)


def _size(arguments: argparse.Namespace) -> int:
    if arguments.size < 1:
        raise RecflowError(f"--size is {arguments.size}; at least 1 is needed")
    return arguments.size


def _print_list(
    bundle: Bundle,
    arguments: argparse.Namespace,
    given: dict[str, str],
    items: list[str],
    scores: list[float],
    left: Sequence[str] = (),
) -> None:
    """left: filters that were not applied, because they ask for a user."""
    from jobs.serve.explain import titles_of

    if arguments.json:
        output = {"recommendedItems": items, "scores": scores} | ({"filtersNotApplied": [*left]} if left else {})
        print(json.dumps({"input": given, "output": output, "error": None}, ensure_ascii=False))
        return
    titles = titles_of(bundle, items)
    print(bundle.address + "".join(f"\n{name}: {value}" for name, value in given.items()))
    if left:
        print(f"not applied, as they ask for a user: the filters {', '.join(left)}")
    if not items:
        print("the filters leave nothing")
    width = max((len(item) for item in items), default=0)
    for rank, (item, score) in enumerate(zip(items, scores, strict=True), start=1):
        print(f"{rank:>4}  {item:<{width}}  {score:<10.6g}  {titles.get(item, '')}".rstrip())
