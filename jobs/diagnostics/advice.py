"""What the figures of a day's data call for, in sentences with the figures behind them. Pure and free of Spark.

The terminal and the report share it. Limits are ours, set so that a healthy day hears little; each stands beside the
rule that uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from jobs.diagnostics.figure import Figure, Figures
from jobs.diagnostics.window_figures import SPARSE_WINDOW
from jobs.lib.input_tables import TableConfig
from jobs.lib.solution import Solution

NAMED = 5  # of many columns or features, so many are named
UNLIKE = 0.25  # the usual reading of a PSI


def advice(figures: Figures, solution: Solution) -> list[str]:
    """One sentence or two per finding, the ones about wrong data first; empty when nothing stands out."""
    rules: Sequence[Callable[[Figures, Solution], Iterator[str]]] = (
        _rows_that_do_not_count, _joins, _columns, _funnel, _windows, _heads, _cold, _skew, _suspicious,
    )  # fmt: skip
    return [said for rule in rules for said in rule(figures, solution)]


def not_measured(figures: Figures) -> list[str]:
    """Parts that could not be measured yet, with what they wait for."""
    said = []
    if not figures.has("skew"):
        said.append("Skew between training and scoring: there is no trained model with candidates of this day yet.")
    if (days := figures.value("window", "history", "days")) is not None and days < SPARSE_WINDOW:
        said.append(f"Windows longer than {days:.0f} days, and what is new: the history before this day is too short.")
    return said


def _rows_that_do_not_count(f: Figures, solution: Solution) -> Iterator[str]:
    """Beyond 1 % of the rows, and any repeated id of a snapshot."""
    behavior = solution.tables.behavior.table
    reasons = {
        "without_id_share": "have no user or item id and are dropped",
        "other_event_share": f"are of events that `events` does not list ({', '.join(solution.events)}): dropped",
        "other_scene_share": f"are of scenes that `scenes` does not list ({', '.join(solution.scenes)}): dropped",
        "other_day_share": f"happened on another day than their ds in {solution.timezone}: is `timezone` right?",
        "duplicate_share": "repeat another row exactly and count once: is something logged or loaded twice?",
    }
    for measure, said in reasons.items():
        if (found := f.get("table", "behavior", measure)) and found.value > 0.01:
            yield f"{behavior}: {_percent(found)} of {found.n:,} rows {said}."
    for side in ("user", "item"):
        if (found := f.get("table", side, "duplicate_share")) and found.value > 0:
            table = _config(solution, side).table
            yield f"{table}: {found.value * found.n:,.0f} of {found.n:,} rows repeat an id; an id has one row a day."


def _joins(f: Figures, solution: Solution) -> Iterator[str]:
    """When less than 95 % of the day's events find their user or item."""
    for side in ("user", "item"):
        events, ids = f.get("join", side, "events_found_share"), f.get("join", side, "ids_found_share")
        if events and ids and events.value < 0.95:
            config = _config(solution, side)
            hint = "are ids written alike in both tables, and is the snapshot complete?"
            if not config.complete:
                hint = "the table is declared incomplete, so these items have features but no attributes."
            yield (
                f"{config.table}: only {_percent(events)} of the day's events, and {_percent(ids)} of its {ids.n:,} "
                f"{side}s, find their {side} there: {hint}"
            )


def _columns(f: Figures, solution: Solution) -> Iterator[str]:
    """Columns that play a role: dead ones, half missing, almost all zero (95 %), and categories that are ids."""
    roles = {f"{side}.{c}" for side in ("user", "item", "behavior") for c in _columns_with_role(solution, side)}
    dead = [c for c in sorted(roles) if f.value("column", c, "is_constant") == 1.0]
    if dead:
        yield f"Columns that hold nothing to learn from (one value, or none at all): {_named(dead)}."
    missing = [x for x in f.of("column", "missing_share") if x.subject in roles - set(dead) and x.value >= 0.5]
    if missing:
        yield f"Columns that are mostly missing: {_named([f'{x.subject} ({_percent(x)})' for x in missing])}."
    numbers = {f"{side}.{c}" for side in ("user", "item") for c in _config_roles(solution, side, "numerical")}
    zero = [x for x in f.of("column", "zero_share") if x.subject in numbers - set(dead) and x.value >= 0.95]
    if zero:
        yield f"Numbers that are almost always zero: {_named([f'{x.subject} ({_percent(x)})' for x in zero])}."
    categories = {f"{s}.{c}" for s in ("user", "item", "behavior") for c in _config_roles(solution, s, "categorical")}
    like_ids = [
        x for x in f.of("column", "distinct")
        if x.subject in categories and (x.value > 10_000 or (x.value > 100 and x.value > x.n / 2))
    ]  # fmt: skip
    if like_ids:
        named = _named([f"{x.subject} (about {x.value:,.0f})" for x in like_ids])
        yield f"Categories with too many values to learn from: {named}. Group them, or leave them out of the roles."


def _funnel(f: Figures, solution: Solution) -> Iterator[str]:
    """An event that did not happen, more of a later one than of the impression, and a day half or twice the usual."""
    for event in solution.events:
        count = f.get("funnel", event, "events")
        if count and count.value == 0:
            yield f"No {event} at all on this day."
        rate = f.get("funnel", event, "rate")
        if rate and solution.impression == solution.events[0] and event == solution.events[1] and rate.value > 1:
            yield f"More {event}s than impressions ({rate.value:.2f} each): impressions are missing."
        usual = f.get("funnel", event, "of_usual_day")
        if usual and count and count.value and not 0.5 <= usual.value <= 2:
            yield (
                f"{count.value:,.0f} {event}s are {usual.value:.0%} of a usual day's: is the day complete, and nothing "
                "loaded twice?"
            )


def _windows(f: Figures, solution: Solution) -> Iterator[str]:
    """Sparse: the longest window leaves out 30 % of the active users, and 21 days reach at least 5 points more."""
    target, longest = solution.target, max(solution.features.windows)
    own, sparse = f.get("window", f"{longest}d", "reached_share"), f.get("window", f"{SPARSE_WINDOW}d", "reached_share")
    mean = f.value("window", "user", "target_cnt_mean")
    if own and sparse and longest < SPARSE_WINDOW and own.value < 0.7 and sparse.value - own.value >= 0.05:
        yield (
            f"Sparse data: {_percent(own)} of {own.n:,} active users have a {target} in the last {longest} days, "
            f"{_percent(sparse)} in {SPARSE_WINDOW}: add {SPARSE_WINDOW} to features.windows (and consider "
            "preference.window)."
        )
    elif own and own.value < 0.3:
        yield (
            f"Sparse data: only {_percent(own)} of {own.n:,} active users have a {target} in the longest window "
            f"({longest} days): most lists rest on what is popular."
        )
    elif mean is not None and mean < 1:
        yield f"Sparse data: active users have {mean:.2f} {target}s each: etrec and preferences have little to go by."
    shortest, first = (
        min(solution.features.windows),
        f.value("window", f"{min(solution.features.windows)}d", "reached_share"),
    )
    if first is not None and own and longest > shortest and own.value - first < 0.01:
        yield (
            f"Windows beyond {shortest} days add no users ({first:.1%} against {_percent(own)}): shorter ones would do."
        )


def _heads(f: Figures, solution: Solution) -> Iterator[str]:
    """When 1 % of the items hold half of the target events, or 1 % of the users a third."""
    for side, limit, hint in (
        ("item", 0.5, "the popular lists are a strong baseline here, and coverage needs watching"),
        ("user", 1 / 3, "a few users decide what is recommended to all: are they people?"),
    ):
        top = f.get("head", side, "top_1_percent")
        if top and top.value > limit and top.n >= 100:
            yield f"Head-heavy: 1% of {top.n:,} {side}s hold {_percent(top)} of the {solution.target}s; {hint}."


def _cold(f: Figures, solution: Solution) -> Iterator[str]:
    """Beyond 30 % new ids among the active ones, or 70 % of the listed items without a target event."""
    for side, hint in (
        ("user", "they get what is popular, so look at hot lists by group"),
        ("item", "recalls by behavior cannot bring them up"),
    ):
        new, events = f.get("cold", side, "new_share"), f.get("cold", side, "new_events_share")
        if new and events and new.value > 0.3:
            yield (
                f"{_percent(new)} of the day's {new.n:,} active {side}s, with {_percent(events)} of the events, were "
                f"never seen in the days before: {hint}."
            )
    if (idle := f.get("cold", "item", "idle_share")) and idle.value > 0.7:
        yield f"{_percent(idle)} of {idle.n:,} items on offer had no {solution.target} in the window: they are cold."


def _skew(f: Figures, solution: Solution) -> Iterator[str]:
    """Features that moved; features that lead the model and are scored on other values; one-sided missing values.

    Leading: 2 % of the gain. One-sided: missing in 10 points more of the rows than on the other side.
    """
    moved = [f"{x.subject} ({x.value:.2f})" for x in f.of("skew", "psi_shown") if x.value > UNLIKE]
    if moved:
        yield (
            f"{len(moved)} features of what was shown on this day are unlike those of the training days (PSI above "
            f"{UNLIKE}): {_named(moved)}. Did a source change, or is the history still growing?"
        )
    leading = [x for x in f.of("skew", "gain") if x.value >= 0.02]
    unlike = [(x, psi) for x in leading if (psi := f.value("skew", x.subject, "psi") or 0.0) > UNLIKE]
    if unlike:
        named = _named([f"{x.subject} (PSI {psi:.2f}, {x.value:.0%} of the gain)" for x, psi in unlike])
        yield (
            f"{len(unlike)} of the {len(leading)} features that lead the model are unlike in what it scores and what "
            f"it learned from: {named}. Candidates are wider than what was shown; scores far from it are guesses."
        )
    lopsided = []
    for training in f.of("skew", "missing_training"):
        scoring = f.get("skew", training.subject, "missing_scoring")
        if scoring and abs(scoring.value - training.value) > 0.1:
            lopsided.append((abs(scoring.value - training.value), training, scoring))
    if lopsided:
        lopsided.sort(key=lambda found: (-found[0], found[1].subject))
        named = _named([f"{t.subject} ({t.value:.0%} in training, {s.value:.0%} in scoring)" for _, t, s in lopsided])
        yield f"Features that are missing more often on one side: {named}."
    constant = sorted(x.subject for x in f.of("skew", "is_constant") if x.value == 1.0)
    if dead := [name for name in constant if not name.endswith("__history_days")]:  # the same for all, once it is long
        yield f"Features with one value or none in all training rows: {_named(dead)}."


def _suspicious(f: Figures, solution: Solution) -> Iterator[str]:
    flagged, events = f.of("suspicious", "users"), f.get("suspicious", "all", "events_share")
    if flagged and events:
        by_reason = ", ".join(f"{x.value:,.0f} for {x.subject}" for x in flagged)
        what = "training leaves them out"
        if not solution.ranking.exclude_suspicious_users:
            what = "ranking.exclude_suspicious_users would keep them out of training"
        yield f"Suspicious users: {by_reason}, with {_percent(events)} of the day's events; {what}."


def _config(solution: Solution, side: str) -> TableConfig:
    return getattr(solution.tables, side)


def _columns_with_role(solution: Solution, side: str) -> list[str]:
    """Of the columns that a table maps, those that something can be learned from; ids, event and scene may be few."""
    config = _config(solution, side)
    if config is None:
        return []
    single = [getattr(config.roles, role) for role in ("value", "author", "registration_time", "listing_time", "tags")]
    return [c for c in (*single, *config.roles.categorical, *config.roles.numerical) if c]


def _config_roles(solution: Solution, side: str, role: str) -> list[str]:
    config = _config(solution, side)
    return getattr(config.roles, role) if config is not None else []


def _percent(figure: Figure) -> str:
    return f"{figure.value:.1%}"


def _named(found: Sequence[str]) -> str:
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(found[:NAMED]) + more
