"""A guessed registration as YAML: each line with the reason beside it. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from jobs.data.registered_files import ROLE_NAMES, column_name
from jobs.register.dialect import Guess
from jobs.register.names import ENGLISH
from jobs.register.roles import FileGuess


class Notes(list):
    """Lines that are comments only."""


def file_tree(guess: FileGuess, kind: str) -> dict[str, Any]:
    """The entry of one file. Columns without names get names here: of the role, where they have one."""
    sample = guess.table.sample
    tree: dict[str, Any] = {"file": Guess(sample.file, sample.described()), **sample.said}
    names = {} if sample.has_names else _new_names(guess)
    if names:
        why = "the names are made up here" if kind else ""
        tree["columns"] = Guess([names[column] for column in guess.table.columns], why)
    tree["roles"] = {role: _renamed(found, names) for role, found in guess.roles.items()}
    for attributes in ("categorical", "numerical"):
        listed = [_renamed(found, names) for found in getattr(guess, attributes)]
        tree["roles"] |= {attributes: listed} if listed else {}
    _rename_attributes(tree["roles"])
    tree |= guess.more
    if guess.event is not None:
        tree["event"] = _renamed_tree(guess.event.event, names)
        tree["impressions"] = guess.event.impressions
    elif kind == "behavior":
        missing = f"no column of {sample.file} could be told to be an event, a label or a rating"
        tree["event"] = Guess("TODO", missing=f"{missing}; considered: {', '.join(guess.table.columns)}")
        tree["impressions"] = Guess(False, doubt="is there a row for every item that was shown?")
    unused = Notes(f"not used: {names.get(column, column)}: {why}" for column, why in guess.unused.items())
    unused += [f"not used: {name}: {why}" if name else f"not used: {why}" for name, why in sample.unusable.items()]
    return tree | ({"unused": unused} if unused else {})


def _new_names(guess: FileGuess) -> dict[str, str]:
    names = {found.value: role for role, found in guess.roles.items() if not found.missing}
    if guess.event is not None and guess.event.columns:
        kind = {"column": "event", "impression_list": "impressions"}.get(guess.event.kind, guess.event.kind)
        names[guess.event.columns[0]] = kind
    return {column: names.get(column, column) for column in guess.table.columns}


def _renamed(guess: Guess, names: dict[str, str]) -> Guess:
    return Guess(names.get(guess.value, guess.value), guess.why, guess.doubt, guess.missing)


def _renamed_tree(tree: dict, names: dict[str, str]) -> dict:
    """Only `column` entries name columns of the file."""
    renamed = {}
    for key, value in tree.items():
        if isinstance(value, dict) and key != "names":
            renamed[key] = _renamed_tree(value, names)
        else:
            renamed[key] = _renamed(value, names) if key == "column" else value
    return renamed


def _rename_attributes(roles: dict[str, Any]) -> None:
    """Attributes as {name in the table: column}, where the column's own name will not do."""
    used = set(ROLE_NAMES)
    for attributes in ("categorical", "numerical"):
        named: dict[str, Guess] = {}
        for guess in roles.get(attributes, []):
            plain = column_name(guess.value)
            base = ENGLISH.get(guess.value, plain if plain != "c_" else "attribute")
            options = [base, *(f"{base}_{n}" for n in range(2, 1000))]
            name = next(option for option in options if option == column_name(option) and option not in used)
            used.add(name)
            named[name] = guess
        if any(name != column_name(guess.value) for name, guess in named.items()):
            roles[attributes] = named


def values_of(tree: Any) -> Any:
    """The values alone, as the registration has them."""
    if isinstance(tree, Guess):
        return tree.value
    if isinstance(tree, dict):
        return {key: values_of(value) for key, value in tree.items() if not isinstance(value, Notes)}
    return [values_of(value) for value in tree]


def rendered(tree: dict[str, Any]) -> str:
    return "\n".join(_lines(tree, "")) + "\n"


def guesses_of(tree: Any, path: str = "") -> Iterator[tuple[str, Guess]]:
    """Every guess with its path."""
    if isinstance(tree, Guess):
        yield path, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from guesses_of(value, f"{path}.{key}" if path else key)
    elif not isinstance(tree, Notes):
        for value in tree:
            yield from guesses_of(value, path)


def _lines(tree: dict[str, Any], indent: str) -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, Notes):
            yield from (f"{indent}# {line}" for line in value)
            continue
        shown = f"{indent}{_scalar(key)}:"
        if isinstance(value, Guess):
            yield _with_reason(f"{shown} {_scalar(value.value)}", value)
        elif isinstance(value, dict):
            yield shown
            yield from _lines(value, indent + "  ")
        else:
            yield shown
            yield from (_with_reason(f"{indent}  - {_scalar(guess.value)}", guess) for guess in value)


def _with_reason(line: str, guess: Guess) -> str:
    told = [
        f"CHECK: {guess.doubt}" if guess.doubt else "",
        f"TODO: {guess.missing}" if guess.missing else "",
        guess.why,
    ]
    comment = " -- ".join(text for text in told if text)
    clean = "".join(c if c.isprintable() else " " for c in comment)
    return f"{line}  # {clean}" if clean else line


def _scalar(value: Any) -> str:
    shown = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=float("inf"))
    return shown.removesuffix("\n").removesuffix("\n...")
