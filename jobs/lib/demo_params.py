"""What the demo data are made of: the `demo:` block of a solution, the environment and the flags of `create_data`.

Spark-free, so that the solution loader can import it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from jobs.lib.errors import SettingError
from jobs.lib.yaml_model import Strict, problem_lines

ENVIRONMENT = {
    "users": "RECFLOW_DEMO_USERS",
    "items": "RECFLOW_DEMO_ITEMS",
    "requests_per_day": "RECFLOW_DEMO_REQUESTS",
    "mode": "RECFLOW_DEMO_MODE",
    "seed": "RECFLOW_DEMO_SEED",
    "epoch": "RECFLOW_DEMO_EPOCH",
}


class DemoParams(Strict):
    """Size, mode and seed of the made-up world. The same params and ds always give the same rows."""

    users: int = Field(2000, ge=50, le=5_000_000, description="accounts in the user table of any ds")
    items: int = Field(1000, ge=50, le=1_000_000, description="items on offer, so rows of the item table of any ds")
    requests_per_day: int = Field(
        1500, ge=1, le=10_000_000, description="on an average day; about ten impressions each"
    )
    mode: Literal["planted", "random"] = Field("planted", description="random: clicks are independent of everything")
    seed: int = Field(2026, ge=0, lt=2**63)
    epoch: str = Field("20250101", pattern=r"^\d{8}$", description="first ds there can be; ids are counted from it")

    @field_validator("epoch")
    @classmethod
    def _is_a_day(cls, epoch: str) -> str:
        from datetime import datetime

        datetime.strptime(epoch, "%Y%m%d")
        return epoch

    def overridden(self, *layers: Mapping[str, Any]) -> DemoParams:
        """These params with the given values on top (later layers win; None means not given), validated again."""
        given = {key: value for layer in layers for key, value in layer.items() if value is not None}
        try:
            return DemoParams.model_validate({**self.model_dump(), **given})
        except ValidationError as error:
            raise SettingError("; ".join(f"demo data: {line}" for line in problem_lines(DemoParams, error))) from None


def from_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The demo params that the environment sets (RECFLOW_DEMO_USERS, ..._ITEMS, ..._REQUESTS, ..._MODE, ..._SEED)."""
    environment = os.environ if environment is None else environment
    return {name: environment[variable] for name, variable in ENVIRONMENT.items() if environment.get(variable)}


def add_arguments(parser: argparse._ActionsContainer) -> None:
    """The flags of `recflow run create_data`; values not given stay None."""
    parser.add_argument("--users", type=int, help="accounts (default 2000)")
    parser.add_argument("--items", type=int, help="items on offer (default 1000)")
    parser.add_argument("--requests", type=int, dest="requests_per_day", help="requests per day (default 1500)")
    parser.add_argument("--mode", choices=["planted", "random"], help="random: nothing to learn (default planted)")
    parser.add_argument("--seed", type=int, help="another seed is another world (default 2026)")


def from_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    """The params that flags gave."""
    given = {name: getattr(arguments, name, None) for name in DemoParams.model_fields}
    return {name: value for name, value in given.items() if value is not None}
