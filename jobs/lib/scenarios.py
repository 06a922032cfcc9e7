"""The scenarios of an installation: every solution file in dags/, beside the one that is the default. Free of Spark.

Scenarios share what they read (input tables, the Spark driver, the writers' pool) and nothing that they write: tables,
DAGs and published bundles have the scenario's name in theirs. A table that two of them would write is refused.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

from jobs.lib.errors import SolutionError
from jobs.lib.input_tables import TableConfig
from jobs.lib.settings import PROJECT_ROOT
from jobs.lib.solution import Solution, load_solution

Scenarios = dict[str, Solution]


def scenarios(path: str | Path | None = None) -> Scenarios:
    """By name, the given solution first (default as for load_solution). Raises SolutionError of a file that does not
    hold."""
    found, problems = those_that_hold(path)
    if problems:
        raise problems[0]
    return found


def those_that_hold(path: str | Path | None = None) -> tuple[Scenarios, list[SolutionError]]:
    """Scenarios, and what is wrong with the files that were left out: one team's mistake must not stop the others.

    The given solution stands for its scenario, so a file in dags/ of that name is not read instead; where it does not
    hold SolutionError is raised.
    """
    chosen = load_solution(path)
    found, problems = {chosen.scenario: chosen}, []
    for file in sorted((PROJECT_ROOT / "dags").glob("*.yaml")):
        try:
            solution = load_solution(file)
            if solution.scenario != chosen.scenario:
                _refuse_shared_names(solution, found)
                found[solution.scenario] = solution
        except SolutionError as problem:
            problems.append(problem)
    return found, problems


def beside(solution: Solution) -> tuple[list[Solution], list[SolutionError]]:
    """The other scenarios, and what is wrong with files that may hold more of them."""
    try:
        found, problems = those_that_hold()
    except SolutionError as problem:  # of the default one
        return [], [problem]
    return [other for other in found.values() if other.scenario != solution.scenario], problems


def input_tables(solutions: Scenarios) -> list[TableConfig]:
    """Each once, by its name: those of users first."""
    found = {config.table: config for solution in solutions.values() for config in _inputs(solution)}
    return [*found.values()]


def add_solution_flag(parser: argparse.ArgumentParser) -> None:
    default = "$RECFLOW_SOLUTION, else dags/home_page.yaml"
    parser.add_argument("--solution", help=f"solution file, or the name of a scenario (default {default})")


def _inputs(solution: Solution) -> Iterator[TableConfig]:
    tables = solution.tables
    return (config for config in (tables.user, tables.item, tables.behavior) if config is not None)


def _refuse_shared_names(solution: Solution, known: Mapping[str, Solution]) -> None:
    for other in known.values():
        if shared := sorted(_names(solution) & _names(other)):
            raise SolutionError(f"{solution.path}: scenario: {other.path} makes {shared[0]} too; give it another name")
        for one, reader in ((solution, other), (other, solution)):
            if written := sorted(set(map(one.table, _nodes(one))) & reader.tables.names()):
                raise SolutionError(f"{solution.path}: tables: {one.path} makes {written[0]} of {reader.path}'s inputs")
        both = {config.table for config in _inputs(solution)} & {config.table for config in _inputs(other)}
        if both and solution.demo and other.demo and solution.demo != other.demo:
            raise SolutionError(f"{solution.path}: demo: {other.path} fills {min(both)} with other data; leave it out")


def _names(solution: Solution) -> set[str]:
    """Of DAGs and tables."""
    return {solution.scenario, *map(solution.table, ("backfill", "deadline", *_nodes(solution)))}


def _nodes(solution: Solution) -> list[str]:
    return [node.name for node in solution.nodes()]
