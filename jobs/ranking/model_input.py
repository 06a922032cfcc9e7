"""What the ranking model sees: the one definition that training samples and candidates to score both go through.

A pair of user and item is described by the features and snapshots of one day, its `feature_ds`: the day before a
sample's events, and for candidates their own ds. So a list made at T is scored with what a sample of T+1 would see.

Columns: context (hour, weekday, scene, and the behavior table's categorical columns); `user__*` and `item__*` features
and snapshot columns; `user__registered_days` and `item__listed_days` (age at the end of feature_ds, days); and cross
lookups, the user's own count at the item's attribute value (0 when it is not among the user's top values, NULL when
either side is unknown) and its share of all counted:

    cross__{attribute}_{event}_cnt_{w}d    cross__{attribute}_{event}_share_{w}d
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.features.preferences import kv_value
from jobs.features.windows import day_of, windows_of
from jobs.lib import roles
from jobs.lib.solution import Solution
from jobs.lib.spark import F

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

KEYS = ("ds", "request_id", "user_id", "item_id")


@dataclass(frozen=True)
class Sources:
    """What pairs are described with. Feature tables and daily snapshots have ds, a `once` snapshot has none."""

    user_features: DataFrame
    item_features: DataFrame
    users: DataFrame | None
    items: DataFrame | None


def context_categories(solution: Solution) -> list[str]:
    behavior = solution.tables.behavior.roles
    return [*(["scene"] if behavior.scene else []), *behavior.categorical]


def number_columns(solution: Solution) -> list[str]:
    """Numeric model columns, in model order."""
    user, item = windows_of(solution, "user"), windows_of(solution, "item")
    shares = [user.preference_name(a, "top_share") for a in user.attributes]
    return [
        *("hour", "weekday"),
        *user.numeric_names,
        *shares,
        *[f"user__{c}" for c in _snapshot_columns(solution, "user", "numerical")],
        *item.numeric_names,
        *[f"item__{c}" for c in _snapshot_columns(solution, "item", "numerical")],
        *[cross_name(solution, a, stat) for a in user.attributes for stat in ("cnt", "share")],
    ]


def category_columns(solution: Solution) -> list[str]:
    """String model columns, in model order."""
    of_user = [f"user__{c}" for c in _snapshot_columns(solution, "user", "categorical")]
    of_item = [f"item__{c}" for c in _snapshot_columns(solution, "item", "categorical")]
    return [*context_categories(solution), *of_user, *of_item]


def cross_name(solution: Solution, attribute: str, stat: str) -> str:
    preference = solution.features.preference
    return f"cross__{attribute}_{solution.preference_event}_{stat}_{preference.window}d"


def _snapshot_columns(solution: Solution, side: str, kind: str) -> list[str]:
    config = getattr(solution.tables, side)
    if config is None:
        return []
    since = {"user": "registration_time", "item": "listing_time"}[side]
    age = {"user": "registered_days", "item": "listed_days"}[side]
    own = [c for c in getattr(config.roles, kind) if c not in ("author", "tags", "title", since)]
    return [*own, *([age] if kind == "numerical" and getattr(config.roles, since) else [])]


def with_features(pairs: DataFrame, sources: Sources, solution: Solution) -> DataFrame:
    """The pairs with every model column that they do not bring themselves (pairs bring the context).

    pairs: feature_ds, user_id, item_id, and what the caller wants to keep; feature_ds is dropped.
    """
    joined = pairs
    for side, features in (("user", sources.user_features), ("item", sources.item_features)):
        joined = _join(joined, _features(features, solution, side), side)
        snapshot = getattr(sources, f"{side}s")
        if snapshot is not None:
            joined = _join(joined, _snapshot(snapshot, solution, side), side)
    crosses = [c for a in roles.item_attributes(solution) for c in _cross(a, solution)]
    ages = [
        _age(side, solution).alias(f"{side}__{age}")
        for side, age in (("user", "registered_days"), ("item", "listed_days"))
        if age in _snapshot_columns(solution, side, "numerical")
    ]
    kept = [c for c in pairs.columns if c != "feature_ds"]
    made = {c for c in (*number_columns(solution), *category_columns(solution)) if c not in kept}
    computed = joined.select("*", *crosses, *ages)
    return computed.select(*kept, *[c for c in computed.columns if c in made])


def described(sources: Sources, solution: Solution, side: str, ds: str) -> DataFrame:
    """One row per user, or item, that is known on ds: its model columns, numbers as FLOAT, and what crosses are made of
    (users: kv_*, total_*; items: at_*)."""
    features, snapshot = getattr(sources, f"{side}_features"), getattr(sources, f"{side}s")
    joined = _of_day(_features(features, solution, side), ds)
    if snapshot is not None:
        joined = joined.join(_of_day(_snapshot(snapshot, solution, side), ds), on=f"{side}_id", how="full")
    age = {"user": "registered_days", "item": "listed_days"}[side]
    if age in _snapshot_columns(solution, side, "numerical"):
        joined = joined.withColumn("feature_ds", F.lit(ds)).withColumn(f"{side}__{age}", _age(side, solution))
    numbers = [F.col(c).cast("float").alias(c) for c in number_columns(solution) if c in joined.columns]
    others = [c for c in joined.columns if c in category_columns(solution) or c.startswith(("kv_", "total_", "at_"))]
    return joined.select(f"{side}_id", *numbers, *others)


def _of_day(rows: DataFrame, ds: str) -> DataFrame:
    """A snapshot that serves every day has no feature_ds."""
    return rows.where(F.col("feature_ds") == ds).drop("feature_ds") if "feature_ds" in rows.columns else rows


def _join(pairs: DataFrame, described: DataFrame, side: str) -> DataFrame:
    on = [c for c in ("feature_ds", f"{side}_id") if c in described.columns]
    return pairs.join(described, on=on, how="left")


def _features(features: DataFrame, solution: Solution, side: str) -> DataFrame:
    """The day's features; KV strings as maps, parsed once per user and not once per pair."""
    windows = windows_of(solution, side)
    numbers = [*windows.numeric_names, *[windows.preference_name(a, "top_share") for a in windows.attributes]]
    parsed = []
    for attribute in windows.attributes:
        kv, share = (F.col(windows.preference_name(attribute, kind)) for kind in ("kv", "top_share"))
        counts = F.transform_values(F.str_to_map(kv, F.lit(","), F.lit(":")), lambda _, n: n.cast("double"))
        top = F.substring_index(F.substring_index(kv, ",", 1), ":", -1).cast("double")
        parsed += [counts.alias(f"kv_{attribute}"), F.round(top / share).alias(f"total_{attribute}")]
    return features.select(F.col("ds").alias("feature_ds"), f"{side}_id", *numbers, *parsed)


def _snapshot(snapshot: DataFrame, solution: Solution, side: str) -> DataFrame:
    columns = [c for kind in ("categorical", "numerical") for c in _snapshot_columns(solution, side, kind)]
    own = [F.col(c).alias(f"{side}__{c}") for c in columns if c in snapshot.columns]
    since = {"user": "registration_time", "item": "listing_time"}[side]
    extra = [F.col(since).alias(f"{side}_since")]
    if side == "item":
        extra += [kv_value(F.col(a)).alias(f"at_{a}") for a in roles.item_attributes(solution)]
    dated = [F.col("ds").alias("feature_ds")] if "ds" in snapshot.columns else []
    return snapshot.select(*dated, f"{side}_id", *own, *extra)


def _cross(attribute: str, solution: Solution) -> list[Column]:
    """NULL when the user has no such events or the item no such attribute."""
    counts, value = F.col(f"kv_{attribute}"), F.col(f"at_{attribute}")
    known = counts.isNotNull() & value.isNotNull()
    cnt = F.when(known, F.coalesce(F.try_element_at(counts, value), F.lit(0.0)))
    share = cnt / F.col(f"total_{attribute}")
    return [cnt.alias(cross_name(solution, attribute, "cnt")), share.alias(cross_name(solution, attribute, "share"))]


def _age(side: str, solution: Solution) -> Column:
    """Days from the local day of registration or listing to feature_ds; below 0 when it was announced ahead."""
    born = F.unix_date(F.to_date(roles.local_time(F.col(f"{side}_since"), solution)))
    return (day_of(F.col("feature_ds")) - born).cast("double")


def model_select(solution: Solution, prefix: tuple[str, ...] = ()) -> list[Column]:
    """The model columns as they travel to Python: numbers as FLOAT, which is what XGBoost computes with."""
    numbers = [F.col(c).cast("float").alias(c) for c in number_columns(solution)]
    return [*[F.col(c) for c in prefix], *numbers, *[F.col(c) for c in category_columns(solution)]]


def model_frame(table: pa.Table, features: dict[str, list[str] | None]) -> pd.DataFrame:
    """The frame that XGBoost reads, in the order of `features`: name -> its categories, or None for a number.

    A category that is not listed is a missing value: new cities and sections don't stop a day.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = {}
    for name, categories in features.items():
        column = table.column(name)
        if categories is None:
            columns[name] = column.to_numpy(zero_copy_only=False).astype("float32", copy=False)
        else:
            codes = pc.fill_null(pc.index_in(column, value_set=pa.array(categories, pa.string()), skip_nulls=True), -1)
            columns[name] = pd.Categorical.from_codes(codes.to_numpy(zero_copy_only=False), categories=categories)
    return pd.DataFrame(columns)
