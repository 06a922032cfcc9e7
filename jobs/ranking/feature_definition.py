"""A feature list as JSON and back, so that a bundle alone says how pairs are described. Free of Spark."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from pydantic import TypeAdapter

from jobs.features.windows import Windows
from jobs.lib.feature_operators import AnyOperator
from jobs.ranking.feature_list import FeatureList


def definition_of(features: FeatureList) -> dict[str, Any]:
    """Plain values; `features_from` makes the same list of them."""
    plain = {f.name: getattr(features, f.name) for f in fields(features)}
    operators = [operator.model_dump(mode="json") for operator in features.operators]
    return plain | {"windows": asdict(features.windows), "operators": operators}


def features_from(definition: dict[str, Any]) -> FeatureList:
    """Raises TypeError, KeyError or pydantic's ValidationError (a ValueError) where it is no definition."""
    values = {name: _tuples(value) for name, value in definition.items()}
    values["windows"] = Windows(**{name: _tuples(value) for name, value in definition["windows"].items()})
    values["operators"] = tuple(TypeAdapter(list[AnyOperator]).validate_python(definition["operators"]))
    return FeatureList(**values)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list | tuple) else value
