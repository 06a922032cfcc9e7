"""A registration: which files a data set consists of, and which role each column plays. Free of Spark.

`import_files` reads files by it, and the solution of an imported data set is derived from it: `solution_fields`.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from jobs.data.registered_files import Files
from jobs.lib.days import add_days, first_moment
from jobs.lib.input_tables import Day
from jobs.lib.pseudonyms import KEY
from jobs.lib.settings import SCHEMAS
from jobs.lib.yaml_model import Strict, Zone, read_yaml, validated

_SAID_ELSEWHERE = ("scenario", "timezone", "tables", "events", "target")


class UserKey(Strict):
    """key_env: the environment variable that holds the secret key (jobs/lib/pseudonyms.py); readers look for the
    default one."""

    key_env: str = KEY

    @field_validator("key_env")
    @classmethod
    def _names_a_variable(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):  # not shown: somebody may have written the key itself here
            raise ValueError("the name of an environment variable is expected, in capitals, and never the key itself")
        return name


class Pseudonymise(Strict):
    user_id: UserKey


class Registration(Strict):
    """One data set. `events` is the funnel, in order; with impressions its first event is the exposure.

    not_after: the last day that an event can be of (default: a day after the file was written). max_quarantined: the
    share of the rows of a kind that may be refused; above it the import fails and writes nothing. pseudonymise: user
    ids are replaced as soon as they are read; of records refused then, file, line and reason are kept and no values.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)
    comment: str = ""
    timezone: Zone
    events: list[str] = Field(min_length=1)
    target: str
    files: Files
    not_after: Day | None = None
    max_quarantined: float = Field(0.05, ge=0, le=1)
    pseudonymise: Pseudonymise | None = None
    solution: dict[str, Any] = {}

    @model_validator(mode="after")
    def _events_are_declared(self) -> Registration:
        source = self.files.behavior.event
        for event in [self.target, *source.events()]:
            if event not in self.events:
                raise ValueError(f"event {event!r} is not declared in events: {', '.join(self.events)}")
        if source.exposure is not None and source.exposure != self.events[0]:
            raise ValueError(f"the exposure {source.exposure!r} must be the first of events: {', '.join(self.events)}")
        for kind, spec in self.files.by_kind().items():
            checked = [c.name for c in spec.checks if "user_id" in (c.column, *c.columns)]
            if self.pseudonymise and checked:
                raise ValueError(f"files.{kind}.checks: {checked[0]!r} is about user ids, which are pseudonyms by then")
        if taken := [key for key in _SAID_ELSEWHERE if key in self.solution]:
            raise ValueError(f"solution.{taken[0]}: the registration itself says this")
        return self

    @property
    def last_moment(self) -> int | None:
        """Unix seconds of the end of not_after."""
        return first_moment(add_days(self.not_after, 1), self.timezone) - 1 if self.not_after else None

    def key_variable(self, kind: str) -> str | None:
        """Where the key is that this kind's user ids are pseudonymised with; None where they are not."""
        hidden = self.pseudonymise is not None and "user_id" in self.files.by_kind()[kind].single_roles()
        return self.pseudonymise.user_id.key_env if hidden else None

    def table(self, kind: str) -> str:
        return f"{self.name}_{kind}"

    def tables_config(self) -> dict[str, Any]:
        """`tables:` of the solution: the imported tables with their roles (columns are named by role)."""
        config: dict[str, Any] = {}
        for kind, spec in self.files.by_kind().items():
            roles: dict[str, Any] = {role: role for role in spec.single_roles()}
            if kind == "behavior":
                roles |= {"item_id": "item_id", "event": "event", "event_time": "event_time"}
            for attributes in ("categorical", "numerical"):
                if names := list(spec.attributes(attributes)):
                    roles[attributes] = names
            config[kind] = {"table": self.table(kind), "roles": roles}
        config["behavior"]["impressions"] = self.files.behavior.impressions
        for kind in {"item", "user"} & config.keys():
            config[kind]["snapshot"] = "once"
            config[kind]["max_age_days"] = getattr(self.files, kind).max_age_days
        if self.files.item:
            config["item"]["complete"] = self.files.item.complete
        return config


def load_registration(path: str | Path) -> Registration:
    """Read a registration file; a bare name is one of schemas/registrations. Raises SolutionError."""
    file = Path(path)
    named = SCHEMAS / "registrations" / f"{path}.yaml"
    if not file.suffix and not file.exists() and named.exists():
        file = named
    return validated(Registration, read_yaml(file), file)


def solution_fields(raw: dict, file: Path, defaults: dict) -> dict[str, Any]:
    """What a solution file for this registration would say.

    Recalls, ranking, publish and feature settings are those of `defaults` (a solution file's content) without what is
    about its tables and events; the registration's `solution:` block goes on top, mapping by mapping.
    """
    registration = validated(Registration, raw, file)
    general = {k: v for k, v in defaults.items() if k not in (*_SAID_ELSEWHERE, "scenes", "demo")}
    general = copy.deepcopy(general)
    features = general.get("features", {})
    for key in ("events", "value_events"):
        features.pop(key, None)
    for key in ("event", "attributes"):  # its own table has others
        features.get("preference", {}).pop(key, None)
    for key in ("targets", "score", "features", "weights", "monotone"):
        general.get("ranking", {}).pop(key, None)
    general["recalls"] = [
        _without_fields(line) for line in general.get("recalls", []) if _is_possible(line, registration)
    ]
    said = {
        "scenario": registration.name,
        "timezone": registration.timezone,
        "tables": registration.tables_config(),
        "events": registration.events,
        "target": registration.target,
    }
    return _merged(general, registration.solution) | said


def _is_possible(line: dict, registration: Registration) -> bool:
    """Some recalls need a user table with categorical columns, or a user or item table; one may not be there."""
    users, items = registration.files.user, registration.files.item
    if line["job"] == "grouped_hot":
        return users is not None and bool(users.attributes("categorical"))
    return line["job"] != "cold_start" or users is not None or items is not None


def _without_fields(line: dict) -> dict:
    """A recall line without what names columns of another user table: its own default fits any."""
    return {key: value for key, value in line.items() if key not in ("groups", "buckets")}


def _merged(below: dict, above: dict) -> dict:
    """`above` on top of `below`: mappings are merged key by key, anything else is replaced."""
    both = {
        k: _merged(below[k], v) if isinstance(v, dict) and isinstance(below.get(k), dict) else v
        for k, v in above.items()
    }
    return below | both
