"""Hot items of a group of users: hot's formula, counted within those who share some attributes.

Grain: one row per (group_key, item_id). Source: the PAI-Rec tutorial's grouped hot; keys in pairec's form: the values
joined by `_`, `NULL` for a missing one, buckets `<=18`, `18-25`, `>60` (an equal value stays in the lower bucket; a
number with a fraction counts by its whole part, as pairec reads numbers). Who is not in the user table has no values.

- One grouping: the plain key, `f_18-25`. Several in one line: the key begins with the grouping, `[gender+age]_f_18-25`,
  since a missing gender and a missing city are two groups. In pairec, let the first of `Triggers` be a TriggerKey that
  no user has, with that text as its DefaultValue. In the candidates a user has the list of the first grouping.
- Values that contain `_` can give two users one key: pairec would look up the same list, so they are one group.
- '-1' is everyone, as in hot. A value written `-1`, alone in its grouping, reads that list too.

Every group gets a full list, users without values too. A group in which fewer than min_users (20, ours) have the event
has no say of its own. What a group's own items leave open, everyone's fill, below them: the best stands 1 below the
group's last, the others in their own distances (in a group without own items, at everyone's scores).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from jobs.lib.columns import rank_within
from jobs.lib.errors import RecflowError
from jobs.lib.reads import Reads
from jobs.lib.solution import Node, Solution
from jobs.lib.spark import F, Window
from jobs.recall import hot, inputs
from jobs.recall.pairec import EVERYONE
from jobs.recall.popularity import FINITE, count_column, figures_of, per_key, per_user, scored

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

CONTRACT = "recall_hot"
SETTINGS = ()
MAX_GROUPS = 100_000
MAX_VALUES = 1_000  # of a field that groups are made of without being asked for

log = logging.getLogger("recflow")

Grouping = Annotated[list[str], Field(min_length=1)]
Limits = Annotated[list[int], Field(min_length=1, max_length=1000)]


class Params(hot.Params):
    groups: Annotated[list[Grouping], Field(min_length=1)] | None = None  # default: every categorical field alone
    buckets: dict[str, Limits] = {}  # the limits of a number's buckets, ascending
    min_users: int = Field(20, ge=1)
    top_n: int = Field(200, ge=1, le=1000)

    @model_validator(mode="after")
    def _groups_and_buckets_fit(self) -> Params:
        for field, limits in self.buckets.items():
            if limits != sorted(set(limits)):
                raise ValueError(f"buckets: the limits of {field!r} do not ascend: {limits}")
            if field not in sum(self.groups or [], []):
                raise ValueError(f"buckets: {field!r} is in none of the groups")
        for grouping in self.groups or []:
            if len(set(grouping)) < len(grouping) or self.groups.count(grouping) > 1:
                raise ValueError(f"groups: {grouping} is there twice, or names a field twice")
        return self

    def problem_in(self, solution: Solution) -> str | None:
        """A field of the groups that the solution's user table does not have, or has as something else."""
        if solution.tables.user is None:
            return "groups: the solution has no tables.user"
        roles = solution.tables.user.roles
        fields = sum(groupings(solution, self), [])
        for field in fields:
            kind = "numerical" if field in self.buckets else "categorical"
            if field not in getattr(roles, kind):
                advice = "; a number needs `buckets`" if field in roles.numerical else ""
                known = ", ".join(getattr(roles, kind)) or "none"
                return f"groups: {field!r} is not among tables.user.roles.{kind}; allowed: {known}{advice}"
        return None if fields else "groups: tables.user.roles has no categorical field; give groups of buckets"


def with_groups(users: DataFrame, solution: Solution, params: Params) -> Params:
    """The line with its groups. Without any of its own: every categorical user field of at most MAX_VALUES values, each
    alone; if all have more, the one with the fewest."""
    if params.groups:
        return params
    fields = [field for [field] in groupings(solution, params)]
    values = users.agg(*[F.approx_count_distinct(field).alias(field) for field in fields]).first()
    kept = [field for field in fields if values[field] <= MAX_VALUES] or [min(fields, key=lambda f: (values[f], f))]
    if left_out := [f"{field} ({values[field]:,})" for field in fields if field not in kept]:
        log.info("%s: no groups by fields of more than %d values: %s", params.name, MAX_VALUES, ", ".join(left_out))
    return params.model_copy(update={"groups": [[field] for field in kept]})


def groupings(solution: Solution, params: Params) -> list[list[str]]:
    """The groupings of the line: its own, or every categorical user field alone."""
    return params.groups or [[field] for field in solution.tables.user.roles.categorical]


def group_keys(ids: DataFrame, users: DataFrame, solution: Solution, params: Params) -> DataFrame:
    """(user_id, group_key, place INT): the groups of some users, place 1 being the first grouping of the line.

    ids: (user_id), duplicates welcome; users: the user snapshot.
    """
    described = ids.select("user_id").distinct().join(_fields(users, solution, params), on="user_id", how="left")
    return described.select("user_id", F.inline(_keys(solution, params)).alias("group_key", "place"))


def grouped_hot(
    actions: DataFrame, users: DataFrame, items: DataFrame | None, ds: str, solution: Solution, params: Params
) -> DataFrame:
    """(group_key, item_id, score, rank) from actions_daily of the window and the user and item snapshots of ds."""
    figures = figures_of(params, solution)
    counts = per_user(actions, figures, solution)
    fields = _fields(users, solution, params)
    nobody = fields.sparkSession.range(1).select(*[F.lit(None).cast(kind).alias(name) for name, kind in fields.dtypes])
    groups = _groups(fields.unionByName(nobody), ds, solution, params)
    described = counts.join(fields, on="user_id", how="left")
    by_group = described.select(*counts.columns, F.inline(_keys(solution, params)).alias("group_key", "place"))
    had_the_event = counts.where(F.col(count_column(figures["target_cnt"], solution)) > 0)
    members = group_keys(had_the_event, users, solution, params)
    sizes = members.groupBy("group_key").agg(F.count(F.lit(1)).alias("users"))
    heard = sizes.where((F.col("users") >= params.min_users) & (F.col("group_key") != EVERYONE))

    def best(rows: DataFrame) -> DataFrame:
        counted = per_key(rows, ["group_key", "item_id"], figures, solution)
        listed = scored(counted, items, ds, solution, params, params.constants).select("group_key", "item_id", "score")
        return rank_within(listed, ["group_key"], "score", "item_id", params.top_n)

    everyones = best(counts.withColumn("group_key", F.lit(EVERYONE)))
    own = best(by_group).join(heard, on="group_key", how="semi").drop("rank")
    return everyones.unionByName(filled_up(own, groups, everyones, params.top_n))


def for_users(at: inputs.Day, params: Params, ids: DataFrame | None = None) -> DataFrame:
    """(user_id, item_id, score, rank): the list of each user's group in the line's first grouping.

    ids: (user_id) of the users, by default those active in publish.active_days, who get candidates.
    """
    wanted = at.actions(at.solution.publish.active_days) if ids is None else ids
    users = at.users()
    keys = group_keys(wanted, users, at.solution, with_groups(users, at.solution, params)).where("place = 1")
    lists = at.made(params.name).select("group_key", "item_id", "score", "rank")
    return keys.join(lists, on="group_key").select("user_id", "item_id", "score", "rank")


def filled_up(own: DataFrame, groups: DataFrame, everyones: DataFrame, top_n: int) -> DataFrame:
    """The lists of all groups, ranked: their own (group_key, item_id, score), then items of everyone's list."""
    shared = everyones.select("item_id", F.col("score").alias("everyones"))
    offered = groups.crossJoin(F.broadcast(shared)).withColumn("own", F.lit(None).cast("double"))
    had = own.select("group_key", "item_id", F.lit(None).cast("double").alias("everyones"), F.col("score").alias("own"))
    rows = had.unionByName(offered).groupBy("group_key", "item_id")
    scores = rows.agg(F.max("own").alias("own"), F.max("everyones").alias("everyones"))
    of_group = Window.partitionBy("group_key")
    best_left = F.max(F.when(F.col("own").isNull(), F.col("everyones"))).over(of_group)
    below = F.min("own").over(of_group) - 1 - (best_left - F.col("everyones"))
    filled = scores.select("group_key", "item_id", F.coalesce("own", below, "everyones").alias("score")).where(FINITE)
    return rank_within(filled, ["group_key"], "score", "item_id", top_n)


def _fields(users: DataFrame, solution: Solution, params: Params) -> DataFrame:
    """The users with the fields that the groupings are made of."""
    return users.select("user_id", *sorted({field for grouping in groupings(solution, params) for field in grouping}))


def _keys(solution: Solution, params: Params) -> Column:
    """The keys of a user with these fields, an array of (group_key, place)."""
    chosen = groupings(solution, params)

    def value(field: str) -> Column:
        found = _bucket(field, params.buckets[field]) if field in params.buckets else F.col(field)
        return F.coalesce(found, F.lit("NULL"))

    def key(grouping: list[str]) -> Column:
        mark = [F.lit(f"[{'+'.join(grouping)}]")] if len(chosen) > 1 else []
        return F.concat_ws("_", *mark, *[value(field) for field in grouping])

    return F.array(*[F.struct(key(grouping), F.lit(place)) for place, grouping in enumerate(chosen, 1)])


def _groups(fields: DataFrame, ds: str, solution: Solution, params: Params) -> DataFrame:
    """(group_key) of every group but everyone. Raises RecflowError when there are more than could be meant."""
    keys = fields.select(F.inline(_keys(solution, params)).alias("group_key", "place"))
    groups = keys.where(F.col("group_key") != EVERYONE).select("group_key").distinct()
    if (count := groups.count()) > MAX_GROUPS:
        raise RecflowError(
            f"recalls ({params.name}) ds={ds}: {count:,} groups, at most {MAX_GROUPS:,}: group by fewer fields or by "
            "fields of fewer values, give numbers fewer buckets, or part the groupings into lines of their own"
        )
    return groups


def _bucket(field: str, limits: list[int]) -> Column:
    """pairec's name of a number's bucket; NULL for none. A whole part is at most n when the number is below n + 1."""
    value = F.col(field)
    label = F.when(value.isNull() | F.isnan(value), None)
    for lower, limit in zip([None, *limits], limits, strict=False):
        is_within = value < limit + 1 if limit >= 0 else value <= limit
        label = label.when(is_within, f"<={limit}" if lower is None else f"{lower}-{limit}")
    return label.otherwise(f">{limits[-1]}")


def reads(ds: str, solution: Solution, node: Node) -> Reads:
    return inputs.reads_of(solution, ds, node.params.window_days, users=True)


def recalled(at: inputs.Day, params: Params) -> DataFrame:
    users = at.users()
    chosen = with_groups(users, at.solution, params)
    return grouped_hot(at.actions(params.window_days), users, at.items(), at.ds, at.solution, chosen)


def main(days: list[str], solution: Solution, node: Node) -> None:
    inputs.make(recalled, days, solution, node)
