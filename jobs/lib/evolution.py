"""How the columns of a table may change: a new column is compatible, anything else is refused with what to do."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.lib.contracts import Contract
from jobs.lib.errors import ContractError


def refuse_incompatible(
    table: str, contract: Contract, before: Mapping[str, str], now: Mapping[str, str], where: str
) -> None:
    """before, now: column -> type, of the table and of the rows; where: the table's address.

    Columns that the contract calls optional, and those of a family (`pattern`), may come and go: what a family holds
    follows from the solution. Raises ContractError naming each column and what to do.
    """
    start_again = f"or remove {where} and its records, and backfill"
    added = sorted(set(now) - set(before))
    problems = []
    for column, kind in before.items():
        spec = contract.spec(column)
        if column in now:
            if now[column] != kind:
                problems.append(
                    f"column {column} is {kind} in the table and {now[column]} in the rows: "
                    f"add it under a new name, {start_again}"
                )
        elif spec is None or not (spec.pattern or spec.optional):
            renamed = f" (renamed to {' or '.join(added)}?)" if added else ""
            problems.append(
                f"column {column} is in the table and not in the rows{renamed}: "
                f"keep it, as `optional: true` if it has no values any more, {start_again}"
            )
    if problems:
        raise ContractError(f"{table} cannot change like this: {'; '.join(problems)}")
