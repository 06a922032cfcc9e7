"""YAML files read into strict models: every error names the file, the path in it and what is allowed there."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Annotated, Any, TypeVar
from zoneinfo import available_timezones

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from jobs.lib.errors import SolutionError

Model = TypeVar("Model", bound=BaseModel)
MOST_CHARACTERS, MOST_VALUES = 1_000_000, 100_000


def _existing_zone(zone: str) -> str:
    if zone not in available_timezones():
        raise ValueError(f"{zone!r} is not a time zone of the IANA database, for example Asia/Shanghai")
    return zone


Zone = Annotated[str, AfterValidator(_existing_zone)]


class Strict(BaseModel):
    """Unknown keys are errors: a misspelt key must not become a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_yaml(file: Path) -> dict:
    """A YAML file whose top level is a mapping. Raises SolutionError naming the file (and the line)."""
    try:
        raw = _loaded(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SolutionError(f"{file}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise SolutionError(f"{file}: is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise SolutionError(f"{file}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise SolutionError(f"{file}: a mapping is expected at the top level")
    return raw


def _loaded(text: str) -> Any:
    """Plain values alone. Raises ValueError where aliases (`*name`) would make a short text a huge or endless one."""
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"{len(text):,} characters; allowed: {MOST_CHARACTERS:,}")
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if (size := _size(node, {})) > MOST_VALUES:
            raise ValueError(f"{size:,} values with what its aliases repeat; allowed: {MOST_VALUES:,}")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Values in a tree, what is repeated counted as often as it stands there."""
    if id(node) not in known:
        known[id(node)] = None  # under way
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        inner = [part for entry in parts for part in (entry if isinstance(entry, tuple) else (entry,))]
        known[id(node)] = 1 + sum(_size(part, known) for part in inner)
    if (size := known[id(node)]) is None:
        raise ValueError(f"an alias at line {node.start_mark.line + 1} stands within what it names")
    return size


def validated(model: type[Model], raw: dict, file: Path) -> Model:
    """Build a model from a file's content. Raises SolutionError with one line per problem."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise SolutionError("\n".join(f"{file}: {line}" for line in problem_lines(model, error))) from None


def problem_lines(model: type[BaseModel], error: ValidationError) -> list[str]:
    """`path: what is wrong (allowed: …)` for each problem of a validation."""
    return [_line(model, problem) for problem in error.errors(include_url=False)]


def _line(model: type[BaseModel], problem: Any) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        owner = _model_at(model, problem["loc"][:-1])
        allowed = f"; allowed: {', '.join(sorted(owner.model_fields))}" if owner else ""
        return f"{path}: unknown key{allowed}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] in ("missing", "value_error"):
        return f"{path}: {message}" if path and not message.startswith(path) else message
    return f"{path}: {message}, not {problem['input']!r}"


def _model_at(model: Any, path: tuple) -> type[BaseModel] | None:
    for part in path:
        if isinstance(part, int):
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return None
        model = next((m for m in _unwrapped(field.annotation) if _is_model(m)), None)
    return model if _is_model(model) else None


def _unwrapped(annotation: Any) -> list[Any]:
    parts = typing.get_args(annotation)
    return [annotation] if not parts else [inner for part in parts for inner in _unwrapped(part)]


def _is_model(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)
