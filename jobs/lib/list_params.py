"""What becomes of candidates on their way into a list: the filters and the re-rank of `publish`. Free of Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from jobs.lib.expression import parsed
from jobs.lib.expression_tree import COUNT, DAYS_SINCE, NUMBER, TAGS, TEXT, Expression, Leaf, Names
from jobs.lib.yaml_model import Strict

if TYPE_CHECKING:
    from jobs.lib.input_tables import TableConfig
    from jobs.lib.solution import Solution

BANNED = "banned"  # the filter that the banned items are
AGES = {"user": "registered_days", "item": "listed_days"}


class Filter(Strict):
    """What a user is not to be shown: where `exclude` is true, or where `only` is false.

    A pair that an expression cannot tell of, because a value is missing, stays.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
    exclude: str | None = None
    only: str | None = None

    @model_validator(mode="after")
    def _one_expression(self) -> Filter:
        if (self.exclude is None) == (self.only is None):
            raise ValueError("give either `exclude` or `only`")
        return self


class Diversity(Strict):
    """mmr: a place costs an item `weight` where one of its kind is among the last window - 1 places. window: at most
    `most` items of a kind within any `window` neighbouring places."""

    by: str  # author, or a categorical column of the item table
    method: Literal["mmr", "window"] = "window"
    weight: float = Field(0.3, ge=0, le=1)
    window: int = Field(5, ge=2, le=1000)
    most: int = Field(2, ge=1, le=1000)


class Freshness(Strict):
    """An item listed d days ago gains weight * 2^(-d / half_life_days); a user's best score counts 1, their worst 0."""

    weight: float = Field(ge=0, le=10)
    half_life_days: float = Field(7.0, gt=0, le=10_000)


class NewItems(Strict):
    """Of the first k places at least floor(k * share) go to items listed within the `days` up to ds."""

    share: float = Field(ge=0, le=1)
    days: int = Field(7, ge=1, le=400)


class Pinned(Strict):
    """An item that has its place, for the users that an expression is true of (default: everyone)."""

    item: str
    place: int = Field(ge=1, le=1000)
    users: str | None = None


class Rerank(Strict):
    """What happens to the first `pool` items of a list in the order of their scores."""

    pool: int = Field(100, ge=1, le=10_000)
    diversity: Diversity | None = None
    freshness: Freshness | None = None
    new_items: NewItems | None = None
    pinned: list[Pinned] = Field([], max_length=100)
    banned: list[str] = Field([], max_length=100_000)

    @property
    def is_on(self) -> bool:
        """Can it change an order?"""
        return bool(self.diversity or self.freshness or self.new_items or self.pinned)


class Rule(NamedTuple):
    """A filter as one condition: a pair for which it is true is removed."""

    name: str
    condition: Expression

    @property
    def is_about_items(self) -> bool:
        """Is it the same for every user?"""
        return all(leaf.side in ("item", "context") for leaf in self.condition.leaves())


def rules(solution: Solution) -> list[Rule]:
    """The filters of a solution, the banned items last. Raises ValueError naming path and column."""
    return rules_of(solution.publish.filters, solution.publish.rerank.banned, names_of(solution))


def rules_of(filters: list[Filter], banned: list[str], names: Names) -> list[Rule]:
    found = []
    for number, line in enumerate(filters):
        text = line.exclude if line.exclude is not None else line.only
        condition = _parsed(text, names, f"publish.filters[{number}] ({line.name})")
        found.append(Rule(line.name, condition if line.exclude is not None else _not(condition)))
    if banned:
        item = Expression("leaf", TEXT, value=Leaf("item", "item_id"))
        listed = Expression("list", "a list of text", value=sorted(set(banned)))
        found.append(Rule(BANNED, Expression("in", "true or false", (item, listed))))
    return found


def pins(solution: Solution) -> list[tuple[Pinned, Expression | None]]:
    """The pinned items, by place, with the condition on the user."""
    names = names_of(solution)
    names = Names({side: names.columns[side] for side in ("user", "context")})
    where = "publish.rerank.pinned[{}].users"
    conditions = [
        None if pin.users is None else _parsed(pin.users, names, where.format(number))
        for number, pin in enumerate(solution.publish.rerank.pinned)
    ]
    paired = zip(solution.publish.rerank.pinned, conditions, strict=True)
    return sorted(paired, key=lambda pair: pair[0].place)


def names_of(solution: Solution) -> Names:
    """What expressions may name: the tables' columns by role."""
    tables, behavior = solution.tables, solution.tables.behavior.roles
    context = [*(["scene"] if behavior.scene else []), *behavior.categorical]
    columns = {
        "item": _columns(tables.item, "item"),
        "user": _columns(tables.user, "user"),
        "context": {"hour": NUMBER, "weekday": NUMBER, **dict.fromkeys(context, TEXT)},
    }
    return Names(columns, tuple(solution.events), solution.publish.seen_days)


def look_back_days(solution: Solution) -> int:
    """Days up to and including ds whose events filters look at; 0: none."""
    leaves = {leaf for rule in rules(solution) for leaf in rule.condition.leaves()}
    reach = {DAYS_SINCE: 1, COUNT: 0}
    return max((leaf.days + reach[leaf.side] for leaf in leaves if leaf.side in reach), default=0)


def problem(solution: Solution) -> str | None:
    """What keeps filters and re-rank from working in a solution, in words, or None."""
    try:
        rules(solution), pins(solution)
    except ValueError as error:
        return str(error)
    publish, rerank, item = solution.publish, solution.publish.rerank, names_of(solution).columns["item"]
    names = [line.name for line in publish.filters]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        return f"publish.filters: the name {doubled!r} is used twice"
    if BANNED in names:
        return f"publish.filters: the name {BANNED!r} is taken by publish.rerank.banned"
    kinds = [name for name, kind in item.items() if kind == TEXT and name not in ("item_id", "title")]
    if rerank.diversity and rerank.diversity.by not in kinds:
        allowed = ", ".join(kinds) or "none, the solution has no item table"
        return f"publish.rerank.diversity.by: {rerank.diversity.by!r} is no kind of item; allowed: {allowed}"
    for part in ("freshness", "new_items"):
        if getattr(rerank, part) and AGES["item"] not in item:
            return f"publish.rerank.{part}: the item table has no role listing_time"
    return _pins_problem(solution)


def _pins_problem(solution: Solution) -> str | None:
    rerank, top_n = solution.publish.rerank, solution.publish.top_n
    for number, pin in enumerate(rerank.pinned):
        where = f"publish.rerank.pinned[{number}]"
        if pin.place > top_n:
            return f"{where}.place: {pin.place} is beyond publish.top_n, {top_n}"
        if pin.item in rerank.banned:
            return f"{where}.item: {pin.item!r} is banned"
        if any(pin.item == other.item for other in rerank.pinned[:number]):
            return f"{where}.item: {pin.item!r} is pinned twice"
    if rerank.is_on and rerank.pool < top_n:
        return f"publish.rerank.pool: {rerank.pool} is below publish.top_n, {top_n}"
    return None


def _columns(config: TableConfig | None, side: str) -> dict[str, str]:
    if config is None:
        return {"item_id": TEXT} if side == "item" else {}
    roles = config.roles
    texts = [f"{side}_id", *(name for name in ("title", "author") if side == "item" and getattr(roles, name))]
    taken = {"title", "author", "tags", "registration_time", "listing_time"}
    columns = dict.fromkeys(texts, TEXT) | {name: TEXT for name in roles.categorical if name not in taken}
    columns |= {name: NUMBER for name in roles.numerical if name not in {*taken, *columns}}
    if roles.tags:
        columns["tags"] = TAGS
    if roles.registration_time if side == "user" else roles.listing_time:
        columns[AGES[side]] = NUMBER
    return columns


def _parsed(text: str | None, names: Names, where: str) -> Expression:
    try:
        return parsed(text or "", names)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _not(condition: Expression) -> Expression:
    return Expression("not", condition.kind, (condition,))
