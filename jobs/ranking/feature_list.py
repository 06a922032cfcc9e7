"""Which columns a model of a solution sees, in model order, and what they are made from. Free of Spark.

Context (hour, weekday, scene, the behavior table's categorical columns, and the item's position, which takes what is
due to it off the other features: candidates are scored as if each stood first); `user__*` and `item__*`: windows'
statistics, `user__bias_{w}d` and `item__bias_{w}d` (of `features.biases`), snapshot columns, `user__registered_days`
and `item__listed_days` (age at the end of the feature day); and what the operators of `ranking.features` add.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

from jobs.features.windows import Windows, windows_of
from jobs.lib.days import day_number, from_day_number
from jobs.lib.feature_operators import AnyOperator, Combo, DaysSince, History, Id, Listed, Lookup, Raw
from jobs.lib.roles import preferred_attributes
from jobs.lib.solution import Solution

AGES = {"user": ("registration_time", "registered_days"), "item": ("listing_time", "listed_days")}
POSITION = "position"
FIRST = 1.0  # the position that everything is scored at
SUNDAY = 3  # 1970-01-04, as a day number


@dataclass(frozen=True)
class FeatureList:
    """Plain values only, because it travels to Spark's workers. numbers and categories: in model order."""

    windows: Windows  # of users
    context_numbers: tuple[str, ...]
    context: tuple[str, ...]  # categories of the request
    of_user: tuple[str, ...]  # numbers
    of_item: tuple[str, ...]
    user_categories: tuple[str, ...]
    item_categories: tuple[str, ...]
    operators: tuple[AnyOperator, ...]
    biases: tuple[int, float, float, str, str] | None = None  # window, smoothing of users and items, impression, target

    @cached_property
    def numbers(self) -> list[str]:
        made = [name for operator in self.operators for name in operator.numbers if name not in self.of_both]
        return [*self.context_numbers, *self.of_user, *self.of_item, *made]

    @cached_property
    def categories(self) -> list[str]:
        made = [name for operator in self.operators for name in operator.texts]
        return [*self.context, *self.user_categories, *self.item_categories, *made]

    @property
    def of_both(self) -> set[str]:
        """What is a column of the user or the item already."""
        return {*self.of_user, *self.of_item}

    @property
    def own_rate(self) -> str:
        """The user's rate over the longest window: what their rates at single values are smoothed towards."""
        return f"user__ctr_{max(self.windows.windows)}d"

    @cached_property
    def _operator(self) -> dict[str, AnyOperator]:
        return {name: operator for operator in self.operators for name in (*operator.numbers, *operator.texts)}

    @property
    def scaled(self) -> list[str]:
        """Numbers that the model takes as z-scores."""
        return [n for n, o in self._operator.items() if isinstance(o, Raw) and o.transform == "z_score"]

    @property
    def min_counts(self) -> dict[str, int]:
        """Text columns of which a model knows only values with so many training rows."""
        return {name: o.min_count for name, o in self._operator.items() if isinstance(o, Id | Combo)}

    def definition(self, name: str) -> str:
        """8 hex digits over what a column follows from beside its name: a model serves while they stay the same."""
        windows = self.windows
        said: list = [windows.smoothing, windows.longest] if name in self.of_both else []
        said += [list(rate) for rate in windows.rates if name.partition("__")[2].startswith(f"{rate[0]}_")]
        if any(name in bias_names(self.biases, side) for side in AGES):
            said = [self.biases]
        if name in self._operator:
            said = [
                self._operator[name].model_dump(mode="json"),
                windows.preference,
                windows.seen_event,
                windows.recent,
            ]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def id(self) -> str:
        """Names one set of definitions: 12 hex digits over columns, windows and operators."""
        said = {
            "columns": [self.numbers, self.categories],
            "windows": [self.windows.windows, self.windows.preference, self.windows.recent, self.windows.smoothing],
            "operators": [operator.model_dump(mode="json") for operator in self.operators],
            "biases": self.biases,
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


def feature_list(solution: Solution) -> FeatureList:
    user, item, biases = windows_of(solution, "user"), windows_of(solution, "item"), biases_of(solution)
    return FeatureList(
        windows=user,
        context_numbers=tuple(context_numbers(solution)),
        context=tuple(context_categories(solution)),
        of_user=(
            *user.numeric_names,
            *user.share_names,
            *bias_names(biases, "user"),
            *snapshot_names(solution, "user", "numerical"),
        ),
        of_item=(*item.numeric_names, *bias_names(biases, "item"), *snapshot_names(solution, "item", "numerical")),
        user_categories=tuple(snapshot_names(solution, "user", "categorical")),
        item_categories=tuple(snapshot_names(solution, "item", "categorical")),
        operators=tuple(operators_of(solution)),
        biases=biases,
    )


def biases_of(solution: Solution) -> tuple[int, float, float, str, str] | None:
    biases = solution.features.biases
    if biases is None:
        return None
    return biases.window, biases.user_smoothing, biases.item_smoothing, solution.impression or "", solution.target


def bias_names(biases: tuple | None, side: str) -> list[str]:
    return [f"{side}__bias_{biases[0]}d"] if biases else []


def operators_of(solution: Solution) -> list[AnyOperator]:
    """Those of the solution file; else a lookup for every attribute that preferences are counted by, with rates where
    impressions are counted too, and where the last items are kept, whether this is one of them."""
    if solution.ranking.features is not None:
        return solution.ranking.features
    if solution.tables.item is None:
        return []
    windows = windows_of(solution, "user")
    has_rates = windows.seen_event is not None and has_own_rate(solution)
    stats = ["cnt", "share", *(["seen", "rate", "lift"] if has_rates else [])]
    lookups = [Lookup(op="lookup", of=attribute, stats=stats) for attribute in preferred_attributes(solution)]
    return [*lookups, *([History(op="history")] if windows.recent else [])]


def has_own_rate(solution: Solution) -> bool:
    """Are users' counts and their own rate about the same event?"""
    names = [name for name, *_ in windows_of(solution, "user").rates]
    return "ctr" in names and solution.preference_event == solution.target


def number_columns(solution: Solution) -> list[str]:
    """Numeric model columns, in model order."""
    return feature_list(solution).numbers


def category_columns(solution: Solution) -> list[str]:
    """String model columns, in model order."""
    return feature_list(solution).categories


def is_left_out(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def context_numbers(solution: Solution) -> list[str]:
    return ["hour", "weekday", *([POSITION] if solution.tables.behavior.roles.position else [])]


def context_categories(solution: Solution) -> list[str]:
    behavior = solution.tables.behavior.roles
    return [*(["scene"] if behavior.scene else []), *behavior.categorical]


def snapshot_columns(solution: Solution, side: str, kind: str) -> list[str]:
    """The snapshot's own columns of a kind, `numerical` or `categorical`, that are features."""
    config = getattr(solution.tables, side)
    if config is None:
        return []
    return [c for c in getattr(config.roles, kind) if c not in ("author", "tags", "title", AGES[side][0])]


def snapshot_names(solution: Solution, side: str, kind: str) -> list[str]:
    names = [f"{side}__{c}" for c in snapshot_columns(solution, side, kind)]
    if kind == "numerical":
        names += [f"{side}__{AGES[side][1]}"] if has_age(solution, side) else []
        names += [o.numbers[0] for o in days_since(solution) if o.of.startswith(f"{side}__")]
    return names


def has_age(solution: Solution, side: str) -> bool:
    config = getattr(solution.tables, side)
    return config is not None and getattr(config.roles, AGES[side][0]) is not None


def days_since(solution: Solution) -> list[DaysSince]:
    return [o for o in solution.ranking.features or [] if isinstance(o, DaysSince)]


def list_day(feature_ds: str, operator: Listed) -> str:
    """The day whose lists an operator reads for features of feature_ds: never a later one."""
    number = day_number(feature_ds)
    return from_day_number(number - (number - SUNDAY) % operator.every_days)
