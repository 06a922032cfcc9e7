"""What is known of users and items on the days that pairs are described as of: rows for the model's columns.

Users: numbers, categories, and maps of what they have many of. Items: numbers, categories, and lists of what they have
several of. Names and shapes are those that pairs.py takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobs.features.preferences import values_of
from jobs.features.windows import RECENT, day_of, windows_of
from jobs.lib import roles
from jobs.lib.errors import RecflowError
from jobs.lib.feature_operators import Id, Listed, Similarity, TagOverlap, TextOverlap
from jobs.lib.roles import TAGS, TITLE_WORDS
from jobs.lib.solution import Solution
from jobs.lib.spark import F
from jobs.ranking.feature_list import AGES, FeatureList, bias_names, days_since, has_age, list_day, snapshot_columns
from jobs.recall.pairec import EVERYONE

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

USER = ("feature_ds", "user_id")
MOST_ITEM_ROWS = 2_000_000  # items x days that are broadcast: 0.5 to 1 KB each
MOST_NEIGHBOURS = 50_000_000  # rows of an item-to-item list that are broadcast: 12 bytes each, and the ids


@dataclass(frozen=True)
class Sources:
    """What pairs are described with as of the `days`. Feature tables and daily snapshots have ds, a `once` snapshot has
    none. lists: the tables of recalls that operators read, by name, with the ds that they were made on.
    """

    days: list[str]
    user_features: DataFrame
    item_features: DataFrame
    users: DataFrame | None
    items: DataFrame | None
    biases: DataFrame | None = None
    lists: Mapping[str, DataFrame] = field(default_factory=dict)


def user_rows(pairs: DataFrame, sources: Sources, features: FeatureList, solution: Solution) -> DataFrame:
    """One row per (feature_ds, user_id) of the pairs."""
    known = _join(pairs.select(*USER).distinct(), user_columns(sources.user_features, solution), "user")
    if sources.biases is not None:
        known = _join(known, _biases(sources.biases, "user", features), "user")
    if sources.users is not None:
        known = _join(known, snapshot_features(sources.users, solution, "user"), "user")
        if any(isinstance(o, TagOverlap) for o in features.operators):
            known = _join(known, _user_tags(sources.users), "user")
    for name, operator in listed(features).items():
        if "user_id" in sources.lists[name].columns:
            known = _join(known, _user_lists(sources.lists[name], operator, sources.days), "user")
    return with_ages(known)


def _join(known: DataFrame, more: DataFrame, side: str, how: str = "left") -> DataFrame:
    on = [c for c in ("feature_ds", f"{side}_id") if c in more.columns]
    return known.join(more, on=on, how=how)


def user_columns(user_features: DataFrame, solution: Solution) -> DataFrame:
    """feature_ds, user_id, the features, and their KV strings as maps `kv_{attribute}_{event}` and `recent`.

    `total_{attribute}`: events of all values, also those that the KV string leaves out.
    """
    windows = windows_of(solution, "user")
    parsed = []
    for kv, name in zip(windows.kvs, windows.kv_names, strict=True):
        counts = F.transform_values(F.str_to_map(name, F.lit(","), F.lit(":")), lambda _, n: n.cast("double"))
        if kv.attribute == RECENT:
            parsed.append(F.transform_keys(counts, lambda item, _: unescaped(item)).alias(RECENT))
        else:
            parsed.append(counts.alias(f"kv_{kv.attribute}_{kv.event}"))
        if kv.has_share:
            top = F.substring_index(F.substring_index(name, ",", 1), ":", -1).cast("double")
            share = F.col(windows.preference_name(kv.attribute, "top_share"))
            parsed.append(F.round(top / share).alias(f"total_{kv.attribute}"))
    numbers = [*windows.numeric_names, *windows.share_names]
    return user_features.select(F.col("ds").alias("feature_ds"), "user_id", *numbers, *parsed)


def _biases(biases: DataFrame, side: str, features: FeatureList) -> DataFrame:
    [name] = bias_names(features.biases, side)
    return biases.where(F.col("side") == side).select(
        F.col("ds").alias("feature_ds"), F.col("id").alias(f"{side}_id"), F.col("bias").alias(name)
    )


def snapshot_features(snapshot: DataFrame, solution: Solution, side: str) -> DataFrame:
    """What the snapshot says as features; a snapshot that serves every day has no feature_ds and needs one for ages."""
    own = [F.col(c).alias(f"{side}__{c}") for kind in ("categorical", "numerical")
           for c in snapshot_columns(solution, side, kind)]  # fmt: skip
    since, age = AGES[side]
    times = {f"{side}__{age}": since} if has_age(solution, side) else {}
    prefix = f"{side}__"
    times |= {o.numbers[0]: o.of.removeprefix(prefix) for o in days_since(solution) if o.of.startswith(prefix)}
    born = [
        F.unix_date(F.to_date(roles.local_time(F.col(c).cast("bigint"), solution))).alias(f"born:{name}")
        for name, c in times.items()
    ]
    dated = [F.col("ds").alias("feature_ds")] if "ds" in snapshot.columns else []
    return snapshot.select(*dated, f"{side}_id", *own, *born)


def with_ages(known: DataFrame) -> DataFrame:
    """Days from the local day of registration or listing to feature_ds; below 0 when it was announced ahead."""
    day = day_of(F.col("feature_ds"))
    ages = [
        (day - F.col(f"`{c}`")).cast("double").alias(c.removeprefix("born:"))
        for c in known.columns
        if c.startswith("born:")
    ]
    return known.select(*[c for c in known.columns if not c.startswith("born:")], *ages)


def unescaped(value: Column) -> Column:
    """What `kv_value` was made from."""
    for character, code in ((":", "%3A"), (",", "%2C"), ("%", "%25")):
        value = F.replace(value, F.lit(code), F.lit(character))
    return value


def _user_tags(users: DataFrame) -> DataFrame:
    """The tags that users declare, as a map to 1."""
    ones = F.map_from_arrays(values_of(TAGS), F.transform(values_of(TAGS), lambda _: F.lit(1.0)))
    dated = [F.col("ds").alias("feature_ds")] if "ds" in users.columns else []
    return users.select(*dated, "user_id", ones.alias("tags"))


def _user_lists(lists: DataFrame, operator: Listed, days: list[str]) -> DataFrame:
    """Each user's list of the day that counts for a feature day, as a map from item to score."""
    pairs = F.map_from_entries(F.collect_list(F.struct("item_id", "score")))
    mapped = lists.groupBy("ds", "user_id").agg(pairs.alias(f"list_{operator.of}"))
    dates = lists.sparkSession.createDataFrame(
        [(ds, list_day(ds, operator)) for ds in days], "feature_ds string, ds string"
    )
    return mapped.join(F.broadcast(dates), on="ds", how="inner").drop("ds")


def listed(features: FeatureList) -> dict[str, Listed]:
    """The recalls that operators read; of two lines about the same one the first says of which days."""
    found: dict[str, Listed] = {}
    for operator in features.operators:
        if isinstance(operator, Listed):
            found.setdefault(operator.of, operator)
    return found


def item_columns(sources: Sources, features: FeatureList, solution: Solution) -> DataFrame:
    """One row per (feature_ds, item_id) of all items with features or in the snapshot, numbers as DOUBLE."""
    numbers = windows_of(solution, "item").numeric_names
    known = sources.item_features.select(F.col("ds").alias("feature_ds"), "item_id", *numbers)
    if sources.biases is not None:
        known = _join(known, _biases(sources.biases, "item", features), "item")
    if sources.items is None:
        return known
    snapshot = _attributes(sources.items, snapshot_features(sources.items, solution, "item"), features)
    if "feature_ds" not in snapshot.columns:
        dates = sources.items.sparkSession.createDataFrame([(ds,) for ds in sources.days], "feature_ds string")
        snapshot = snapshot.crossJoin(F.broadcast(dates))
    return with_ages(known.join(snapshot, on=["feature_ds", "item_id"], how="full"))


def item_rows(sources: Sources, features: FeatureList, solution: Solution) -> dict[str, pa.Table]:
    """Everything known of the items, by feature day; raises RecflowError where that is too much for each worker."""
    import pyarrow.compute as pc

    known = item_columns(sources, features, solution)
    wanted = [F.col(c).cast("float").alias(c) if c in features.of_item else F.col(c) for c in known.columns]
    rows = known.where(F.col("feature_ds").isin(sources.days)).select(*wanted).limit(MOST_ITEM_ROWS + 1).toArrow()
    if rows.num_rows > MOST_ITEM_ROWS:
        raise RecflowError(
            f"{len(sources.days)} days of items are more than {MOST_ITEM_ROWS:,} rows, which each worker would have to "
            "hold: run fewer days at a time"
        )
    rows = rows.combine_chunks()
    return {ds: rows.filter(pc.equal(rows.column("feature_ds"), ds)) for ds in sources.days}


def _attributes(items: DataFrame, snapshot: DataFrame, features: FeatureList) -> DataFrame:
    """The snapshot with a list column for each attribute that users' maps are looked up at."""
    wanted = {o.of for o in features.operators if o.op in ("lookup", "match", "tag_overlap")}
    wanted |= {TITLE_WORDS} if any(isinstance(o, TextOverlap) for o in features.operators) else set()
    columns = [values_of(a).alias(f"at_{a}") for a in sorted(wanted)]
    columns += ["author"] if any(isinstance(o, Id) and o.of == "author" for o in features.operators) else []
    dated = [F.col("ds").alias("feature_ds")] if "ds" in items.columns else []
    on = [*(["feature_ds"] if dated else []), "item_id"]
    return snapshot.join(items.select(*dated, "item_id", *columns), on=on, how="inner") if columns else snapshot


def neighbours(sources: Sources, features: FeatureList) -> dict[str, dict[str, Any]]:
    """feature_ds -> recall -> its item-to-item list of the day that counts. Raises RecflowError where it is long."""
    from jobs.ranking.pairs import Neighbours

    found: dict[str, dict[str, Any]] = {ds: {} for ds in sources.days}
    for name, operator in listed(features).items():
        if not isinstance(operator, Similarity):
            continue
        made: dict[str, Any] = {}
        for ds in sources.days:
            day = list_day(ds, operator)
            if day not in made:
                of_day = sources.lists[name].where(F.col("ds") == day)
                rows = of_day.select("trigger_item_id", "item_id", "score").limit(MOST_NEIGHBOURS + 1).toArrow()
                if rows.num_rows > MOST_NEIGHBOURS:
                    raise RecflowError(f"{name} ds={day} has over {MOST_NEIGHBOURS:,} rows: lower its top_n")
                made[day] = Neighbours.of(rows)
            found[ds][name] = made[day]
    return found


def hot(sources: Sources, features: FeatureList) -> dict[str, dict[str, Any]]:
    """feature_ds -> recall -> the list that everyone gets, as one map from item to score."""
    import pyarrow as pa

    found: dict[str, dict[str, Any]] = {ds: {} for ds in sources.days}
    for name, operator in listed(features).items():
        if isinstance(operator, Similarity) or "group_key" not in sources.lists[name].columns:
            continue
        rows = sources.lists[name].where(F.col("group_key") == EVERYONE).select("ds", "item_id", "score").collect()
        for ds in sources.days:
            scores = [(row.item_id, row.score) for row in rows if row.ds == list_day(ds, operator)]
            found[ds][name] = pa.array([scores], pa.map_(pa.string(), pa.float64()))
    return found
