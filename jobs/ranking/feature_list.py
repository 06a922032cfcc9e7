"""Which columns a model of a solution sees, in model order, and what they are made from. Free of Spark.

Context (hour, weekday, scene, the behavior table's categorical columns, and the item's position, which takes what is
due to it off the other features: candidates are scored as if each stood first); `user__*` and `item__*`: windows'
statistics, snapshot columns, `user__registered_days` and `item__listed_days` (age at the end of the feature day); and
what the operators of `ranking.features` add.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

from jobs.features.windows import Windows, windows_of
from jobs.lib.days import day_number, from_day_number
from jobs.lib.feature_operators import AnyOperator, DaysSince, History, Id, Listed, Lookup, Raw
from jobs.lib.roles import preferred_attributes
from jobs.lib.solution import Solution
from jobs.lib.solution_params import RecallParams

AGES = {"user": ("registration_time", "registered_days"), "item": ("listing_time", "listed_days")}
POSITION = "position"
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

    @cached_property
    def numbers(self) -> list[str]:
        made = [name for operator in self.operators for name in operator.numbers if name not in self._computed]
        return [*self.context_numbers, *self.of_user, *self.of_item, *made]

    @cached_property
    def categories(self) -> list[str]:
        made = [name for operator in self.operators for name in operator.texts]
        return [*self.context, *self.user_categories, *self.item_categories, *made]

    @property
    def _computed(self) -> set[str]:
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
        return {name: o.min_count for name, o in self._operator.items() if isinstance(o, Id)}

    def definition(self, name: str) -> str:
        """8 hex digits over what a column follows from beside its name: a model serves while they stay the same."""
        windows = self.windows
        said: list = [windows.smoothing, windows.longest] if name in self._computed else []
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
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


def feature_list(solution: Solution) -> FeatureList:
    user, item = windows_of(solution, "user"), windows_of(solution, "item")
    return FeatureList(
        windows=user,
        context_numbers=tuple(context_numbers(solution)),
        context=tuple(context_categories(solution)),
        of_user=(*user.numeric_names, *user.share_names, *snapshot_names(solution, "user", "numerical")),
        of_item=(*item.numeric_names, *snapshot_names(solution, "item", "numerical")),
        user_categories=tuple(snapshot_names(solution, "user", "categorical")),
        item_categories=tuple(snapshot_names(solution, "item", "categorical")),
        operators=tuple(operators_of(solution)),
    )


def operators_of(solution: Solution) -> list[AnyOperator]:
    """Those of the solution file; else a lookup for every attribute that preferences are counted by, with rates where
    impressions are counted too, and where the last items are kept, whether this is one of them."""
    if solution.ranking.features is not None:
        return solution.ranking.features
    if solution.tables.item is None:
        return []
    windows = windows_of(solution, "user")
    has_rates = windows.seen_event is not None and any(name == "ctr" for name, *_ in windows.rates)
    stats = ["cnt", "share", *(["seen", "rate", "lift"] if has_rates else [])]
    lookups = [Lookup(op="lookup", of=attribute, stats=stats) for attribute in preferred_attributes(solution)]
    return [*lookups, *([History(op="history")] if windows.recent else [])]


def number_columns(solution: Solution) -> list[str]:
    """Numeric model columns, in model order."""
    return feature_list(solution).numbers


def category_columns(solution: Solution) -> list[str]:
    """String model columns, in model order."""
    return feature_list(solution).categories


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


def problem_of(solution: Solution) -> str | None:
    """What keeps `ranking.features` or `features.preference` from working in the solution, in words, or None."""
    attributes = preferred_attributes(solution) if solution.tables.item is not None else []
    item_roles = solution.tables.item.roles if solution.tables.item is not None else None
    preference = solution.features.preference
    known = [] if item_roles is None else [*item_roles.categorical, *(["author"] if item_roles.author else [])]
    if item_roles is not None:
        known += [name for name, column in (("tags", item_roles.tags), ("title_words", item_roles.title)) if column]
    for name in preference.attributes or []:
        if name not in known:
            return f"features.preference.attributes: {name!r} is none of the item table's: {', '.join(known) or 'none'}"
    features, made = feature_list(solution), set()
    columns = [*features.numbers, *features.categories]
    for number, operator in enumerate(solution.ranking.features or []):
        problem = _problem(operator, features, attributes, known, solution)
        if problem is None and (again := [n for n in (*operator.numbers, *operator.texts) if n in made]):
            problem = f"{again[0]} is made by a line above"
        if problem:
            return f"ranking.features[{number}] ({operator.op}): {problem}"
        made |= {*operator.numbers, *operator.texts}
    if len(columns) != len(set(columns)):
        return f"ranking.features: {next(c for c in columns if columns.count(c) > 1)} is there twice"
    return None


def _lists_items(line: RecallParams) -> bool:
    return line.module.CONTRACT == "recall_i2i"


def _lists_for_users(line: RecallParams) -> bool:
    """For single users or for everyone, not for groups of them."""
    return line.module.CONTRACT == "recall_u2i" or (line.module.CONTRACT == "recall_hot" and not line.is_personal)


def _problem(
    operator: AnyOperator, features: FeatureList, attributes: list[str], known: list[str], solution: Solution
) -> str | None:
    windows = features.windows
    match operator.op:
        case "lookup" | "match" if operator.of not in attributes:
            return f"of: {operator.of!r} is none of features.preference.attributes: {', '.join(attributes) or 'none'}"
        case "lookup" if {"seen", "rate", "lift"} & set(operator.stats) and windows.seen_event is None:
            return "stats: seen, rate and lift need features.preference.rates, and impressions"
        case "lookup" if {"rate", "lift"} & set(operator.stats) and features.own_rate not in features.of_user:
            return "stats: rate and lift need impression and target among features.events"
        case "tag_overlap" if operator.of not in known or solution.tables.user is None:
            return f"of: {operator.of!r} is none of the item table's: {', '.join(known) or 'none'}"
        case "tag_overlap" if solution.tables.user.roles.tags is None:
            return "the user table has no column of role tags"
        case "text_overlap" if "title_words" not in known:
            return "the item table has no column of role title"
        case "text_overlap" | "history" | "similarity" if not windows.recent:
            return "needs features.preference.recent: how many of the user's last items are kept"
        case "text_overlap" | "similarity" if operator.last > windows.recent:
            return f"last: {operator.last} items are asked for, features.preference.recent keeps {windows.recent}"
        case "id" if operator.of == "author" and "author" not in known:
            return "of: the item table has no column of role author"
        case "raw" if operator.of not in [n for n in features.numbers if not n.startswith("raw__")]:
            return f"of: no number {operator.of!r} among the model's columns"
        case "combo":
            of = [n for n in features.categories if not n.startswith("combo__")]
            if unknown := [name for name in operator.of if name not in of]:
                return f"of: no text column {unknown[0]!r}; there are: {', '.join(of)}"
        case "days_since":
            side, _, column = operator.of.partition("__")
            config = getattr(solution.tables, side, None) if side in AGES else None
            if config is None or column not in config.roles.numerical:
                return f"of: {operator.of!r} is no numerical column of the user or item table (user__…, item__…)"
        case "similarity" | "recall_score":
            is_read = _lists_items if operator.op == "similarity" else _lists_for_users
            if operator.of not in (fitting := [line.name for line in solution.recalls if is_read(line)]):
                return (
                    f"of: {operator.of!r} is no recall that can be read so; there are: {', '.join(fitting) or 'none'}"
                )
    return None
