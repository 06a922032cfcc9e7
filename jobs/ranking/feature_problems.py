"""What keeps `ranking.features`, `features.preference`, `features.biases` or patterns of features from working.

Free of Spark.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from jobs.features.windows import longest_window
from jobs.lib.feature_operators import AnyOperator, Listed
from jobs.lib.roles import preferred_attributes
from jobs.lib.solution import Solution
from jobs.lib.solution_params import RecallParams
from jobs.ranking.feature_list import AGES, FeatureList, feature_list, has_own_rate, is_left_out


def problem_of(solution: Solution) -> str | None:
    """What does not fit the solution, in words, or None."""
    attributes = preferred_attributes(solution) if solution.tables.item is not None else []
    item_roles = solution.tables.item.roles if solution.tables.item is not None else None
    preference = solution.features.preference
    known = [] if item_roles is None else [*item_roles.categorical, *(["author"] if item_roles.author else [])]
    if item_roles is not None:
        known += [name for name, column in (("tags", item_roles.tags), ("title_words", item_roles.title)) if column]
    for name in preference.attributes or []:
        if name not in known:
            return f"features.preference.attributes: {name!r} is none of the item table's: {', '.join(known) or 'none'}"
        if name in ("recent", "title_words") and name in item_roles.categorical:
            return f"features.preference.attributes: {name!r} is taken; give the column another name"
    if biases := solution.features.biases:
        if solution.impression is None:
            return "features.biases: needs impressions (tables.behavior.impressions)"
        if biases.window > (longest := longest_window(solution)):
            return f"features.biases.window: {biases.window} days are more than the longest window, {longest}"
    if solution.target not in (solution.features.events or solution.events):
        return "features.events must have the target: models are held against an item's own rate"
    features, made = feature_list(solution), set()
    every: dict[str, int] = {}
    columns = [*features.numbers, *features.categories]
    for number, operator in enumerate(solution.ranking.features or []):
        later = {n for o in solution.ranking.features[number:] for n in (*o.numbers, *o.texts)}
        problem = _problem(operator, features, attributes, known, solution)
        of = operator.of if operator.op == "combo" else (operator.of,) if operator.op == "raw" else ()
        if problem is None and (ahead := [name for name in of if name in later and name not in features.of_both]):
            problem = f"of: {ahead[0]} is made by a later line: move it up"
        said = every.setdefault(operator.of, operator.every_days) if isinstance(operator, Listed) else None
        if problem is None and said is not None and said != operator.every_days:
            problem = f"every_days: a line above reads {operator.of} every {said} days"
        if problem is None and (again := [n for n in (*operator.numbers, *operator.texts) if n in made]):
            problem = f"{again[0]} is made by a line above"
        if problem:
            return f"ranking.features[{number}] ({operator.op}): {problem}"
        made |= {*operator.numbers, *operator.texts}
    if len(columns) != len(set(columns)):
        return f"ranking.features: {next(c for c in columns if columns.count(c) > 1)} is there twice"
    return _left_out_problem(solution.ranking.leave_out, columns) or _monotone_problem(
        solution.ranking.monotone, features
    )


def _left_out_problem(patterns: list[str], columns: list[str]) -> str | None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in columns):
            return f"ranking.leave_out: {pattern!r} matches no model column; there are: {', '.join(columns)}"
    if all(is_left_out(name, patterns) for name in columns):
        return "ranking.leave_out: no model column is left"
    return None


def _monotone_problem(monotone: dict[str, int], features: FeatureList) -> str | None:
    """A pattern that no model column matches, that matches a category, or that contradicts another one."""
    signs: dict[str, int] = {}
    columns = [*features.numbers, *features.categories]
    for pattern, sign in monotone.items():
        matched = [name for name in columns if fnmatchcase(name, pattern)]
        if not matched:
            return f"ranking.monotone: {pattern!r} matches no model column; there are: {', '.join(columns)}"
        for name in matched:
            if name in features.categories:
                return f"ranking.monotone: {pattern!r} matches {name}, a category: it has no order"
            if signs.setdefault(name, sign) != sign:
                return f"ranking.monotone: {name} is given {signs[name]} and, by {pattern!r}, {sign}"
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
        case "lookup" if {"rate", "lift"} & set(operator.stats) and not has_own_rate(solution):
            return "stats: rate and lift are about the target, features.preference.event is another event"
        case "match" if operator.top > windows.preference[2]:
            return f"top: {operator.top} values are asked for, features.preference.top keeps {windows.preference[2]}"
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
