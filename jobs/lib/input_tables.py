"""Input tables by role: which of a team's columns plays which part."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from jobs.lib.yaml_model import Strict


class Roles(Strict):
    """Which column plays which part. Roles that a table lacks stay unset."""

    user_id: str | None = None
    item_id: str | None = None
    request_id: str | None = None
    event: str | None = None
    event_time: str | None = None
    value: str | None = None
    scene: str | None = None
    author: str | None = None
    title: str | None = None
    registration_time: str | None = None
    listing_time: str | None = None
    tags: str | None = None
    categorical: list[str] = []
    numerical: list[str] = []


class TableConfig(Strict):
    """One input table. `daily` snapshots have a partition per ds; `once` has one, read for every ds."""

    table: str
    roles: Roles
    snapshot: Literal["daily", "once"] = "daily"
    complete: bool = True  # items: is everything on offer listed, or may shown items lack a row?
    impressions: bool = True  # behaviors: are impressions recorded, or positives only?


class Tables(Strict):
    behavior: TableConfig
    item: TableConfig | None = None
    user: TableConfig | None = None

    @model_validator(mode="after")
    def _keys_are_mapped(self) -> Tables:
        needed = {"behavior": ("user_id", "item_id", "event", "event_time"), "item": ("item_id",), "user": ("user_id",)}
        for kind, roles in needed.items():
            config = getattr(self, kind)
            missing = [role for role in roles if config is not None and getattr(config.roles, role) is None]
            if missing:
                raise ValueError(f"{kind}.roles lacks {', '.join(missing)}")
        return self
