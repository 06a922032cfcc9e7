"""A small day of every table that publishing reads, and a solution to go with it.

Written with deltalake instead of through jobs.lib.tables: publishing only reads them, and this takes no Spark.
"""

from __future__ import annotations

import hashlib
import json

import deltalake
import pyarrow as pa

from jobs.features.windows import windows_of
from jobs.lib import partitions
from jobs.lib.contracts import load_contract
from jobs.lib.settings import PROJECT_ROOT
from jobs.lib.solution import Solution
from jobs.lib.yaml_model import read_yaml

DS = "20261121"
SOURCES = pa.list_(pa.struct([("recall", pa.string()), ("score", pa.float64()), ("rank", pa.int32())]))
TYPES = {
    "string": pa.string(),
    "double": pa.float64(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "binary": pa.binary(),
    "boosters": pa.list_(pa.struct([("label", pa.string()), ("booster", pa.binary())])),
    "array<double>": pa.list_(pa.float64()),
    "array<string>": pa.list_(pa.string()),
    "sources": SOURCES,
}
PREFERENCE = {"window": 15, "top": 3, "attributes": ["category", "author", "title_words"], "rates": True, "recent": 3}
OPERATORS = [
    {"op": "lookup", "of": "category", "stats": ["cnt", "share", "seen", "rate", "lift"]},
    {"op": "lookup", "of": "title_words", "stats": ["cnt", "rate"]},
    {"op": "match", "of": "author", "top": 1},
    {"op": "tag_overlap", "of": "category"},
    {"op": "text_overlap", "last": 2},
    {"op": "history"},
    {"op": "days_since", "of": "user__follow_cnt"},
    {"op": "id", "of": "author"},
    {"op": "combo", "of": ["user__gender", "item__category"]},
    {"op": "raw", "of": "item__ctr_15d", "transform": "log"},
    {"op": "similarity", "of": "etrec_i2i", "last": 3, "every_days": 1, "stats": ["max", "sum", "mean"]},
    {"op": "recall_score", "of": "etrec_u2i", "every_days": 1},
    {"op": "recall_score", "of": "hot", "every_days": 1},
]
FEATURES = [
    {"name": "item__ctr_15d", "type": "number", "categories": None},
    {"name": "user__gender", "type": "category", "categories": ["female", "male"]},
]


def solution(**changes) -> Solution:
    """The home_page solution with the recalls of these tests."""
    raw = read_yaml(PROJECT_ROOT / "dags" / "home_page.yaml")
    raw["fusion"] = {"method": "fixed"}
    raw["features"] = {"windows": [15], "events": ["expr", "click"], "preference": PREFERENCE, "biases": {"window": 15}}
    raw["ranking"]["features"] = OPERATORS
    raw["recalls"] = [
        {"name": "hot", "job": "hot"},
        {"name": "hot_fallback", "job": "hot_fallback", "source": "hot"},
        {"name": "etrec_i2i", "job": "etrec_i2i"},
        {"name": "etrec_u2i", "job": "u2i", "source": "etrec_i2i"},
    ]
    return Solution.model_validate({**raw, **changes})


def booster() -> bytes:
    """A model of two features, one of them a category."""
    import pandas
    import xgboost

    rows = pandas.DataFrame(
        {
            "item__ctr_15d": [0.1, 0.2, 0.3, 0.4] * 5,
            "user__gender": pandas.Categorical(["female", "male"] * 10, categories=["female", "male"]),
        }
    )
    train = xgboost.DMatrix(rows, [0, 0, 1, 1] * 5, enable_categorical=True)
    trained = xgboost.train({"objective": "binary:logistic", "max_depth": 2, "nthread": 1}, train, 3)
    return bytes(trained.save_raw(raw_format="ubj"))


def boosters(raw: bytes | None = None) -> list[dict]:
    return [{"label": "is_click", "booster": raw or booster()}]


def metadata(**changes) -> str:
    span = {"days": [DS], "rows": 20, "positives": 10, "base_rate": 0.5}
    about = {
        "status": "trained",
        "target": "is_click",
        "targets": [
            {
                "label": "is_click",
                "objective": "binary:logistic",
                "rounds": {"best": 3},
                "validation": 0.5,
                "metrics": {"auc": 0.75},
            }
        ],
        "score": "is_click",
        "features": FEATURES,
        "features_version": "0123456789ab",
        "serving_context": {"hour": 9, "scene": "home", "net_type": None},
        "params": {"max_depth": 2},
        "weights": {"labels": {}, "half_life_days": None},
        "search": None,
        "negative_sampling": None,
        "gate": {"accepted": True, "reason": "AUC 0.75", "margin": 0.005},
        "versions": {"xgboost": "3.2.0"},
        "importance": {"item__ctr_15d": 0.9, "user__gender": 0.1},
        "spans": {"train": span, "validation": span, "test": span},
        "rounds": {"limit": 400, "best": 3},
        "metrics": {"model": {"auc": 0.75}, "item_ctr": {"auc": 0.6}},
    }
    if changes.get("status") == "too_little_data":  # such a model never comes to the gate
        del about["gate"]
    return json.dumps({**about, **changes}, sort_keys=True)


KNOWN_USER = {
    "user__history_days": 15.0,
    "user__click_cnt_15d": 4.0,
    "user__ctr_15d": 0.3,
    "user__category_click_kv_15d": "food:4,a%3Ab:1",
    "user__category_expr_kv_15d": "food:7",
    "user__category_click_top_share_15d": 0.8,
    "user__author_click_kv_15d": "7:5",
    "user__author_click_top_share_15d": 1.0,
    "user__title_words_click_kv_15d": "title:4,1:2,2:1",
    "user__title_words_click_top_share_15d": 4 / 9,
    "user__title_words_expr_kv_15d": "title:7",
    "user__recent_click_kv_15d": "2:20777,10:20776,x%3A1:20770",
}


def _features(side: str, known: dict[str, dict]) -> tuple[str, list[tuple]]:
    """Columns and rows of a feature table; what is not said of one is missing."""
    names = windows_of(solution(), side).names
    kinds = ["string" if "_kv_" in name else "double" for name in names]
    columns = ", ".join([f"{side}_id string", *(f"{n} {kind}" for n, kind in zip(names, kinds, strict=True))])
    return columns, [(key, *(values.get(name) for name in names)) for key, values in known.items()]


def source(recall: str, score: float, rank: int) -> dict:
    return {"recall": recall, "score": score, "rank": rank}


def day(ds: str = DS) -> dict[str, tuple[str, str, list[tuple]]]:
    """Table -> contract, columns and rows (without ds)."""
    scored = "score double, rank int"
    sources = [source("etrec_u2i", 0.5, 1), source("hot", 3.0, 1)]
    return {
        "rec_sln_demo_item_table_v1": (
            "rec_sln_demo_item_table_v1",
            "item_id bigint, duration double, title string, category string, author bigint, click_count bigint, "
            "praise_count bigint, pub_time bigint",
            [(i, 30.0, f"Title <{i}>", "food", 7, 3, 1, 1_700_000_000) for i in (1, 2, 3, 4)],
        ),
        "rec_sln_demo_user_table_v1": (
            "rec_sln_demo_user_table_v1",
            "user_id bigint, gender string, age bigint, city string, item_cnt bigint, follow_cnt bigint, "
            "follower_cnt bigint, register_time bigint, tags string",
            [
                (1, "female", 30, "Oslo", 0, 1_700_000_000, 2, 1_600_000_000, "food, toys"),
                (2, "male", None, None, 1, 3, 4, 1_650_000_000, None),
                (5, None, 40, "Bergen", 2, 5, 6, 1_690_000_000, "toys"),
            ],
        ),
        "home_page_actions_daily": (
            "actions_daily",
            "user_id string, item_id string, event string, cnt bigint, value_micros bigint, last_time bigint",
            [("1", "1", "expr", 3, 0, 100), ("1", "1", "click", 1, 9, 101), ("2", "2", "expr", 1, 0, 90)],
        ),
        "home_page_user_features": (
            "user_features",
            *_features("user", {"2": {"user__history_days": 15.0}, "1": KNOWN_USER}),
        ),
        "home_page_item_features": (
            "item_features",
            *_features("item", {i: {"item__ctr_15d": rate} for i, rate in (("10", 0.5), ("2", 0.25), ("1", 1 / 3))}),
        ),
        "home_page_biases": (
            "biases",
            "side string, id string, shown double, bias double",
            [("user", "1", 3.0, 0.125), ("item", "1", 3.0, -0.25), ("item", "10", 1.0, 0.1)],
        ),
        "home_page_hot": (
            "recall_hot",
            f"group_key string, item_id string, {scored}",
            [("-1", "2", 3.0, 1), ("-1", "1", 0.5, 2)],
        ),
        "home_page_hot_fallback": (
            "recall_fallback",
            "key string, item_ids string, count int",
            [("-1", "2:hot_fallback:3.0,1:hot_fallback:0.5", 2)],
        ),
        "home_page_etrec_i2i": (
            "recall_i2i",
            f"trigger_item_id string, item_id string, {scored}",
            [("1", "2", 0.5, 1), ("2", "3", 0.25, 2), ("2", "1", 0.5, 1), ("10", "1", 0.1, 1)],
        ),
        "home_page_etrec_u2i": (
            "recall_u2i",
            f"user_id string, item_id string, {scored}",
            [("1", "3", 0.2, 2), ("1", "2", 0.5, 1), ("2", "1", 0.25, 1)],
        ),
        "home_page_vectors": (
            "recall_vectors",
            "side string, id string, vector array<double>",
            [
                ("user", "2", [0.5, 1.0]),
                ("item", "10", [0.0, 0.25]),
                ("user", "10", [1.5, 2.0]),
                ("item", "2", [1.0, -1.0]),
            ],
        ),
        "home_page_rank_model": (
            "rank_model",
            "status string, boosters boosters, metadata string",
            [("trained", boosters(), metadata())],
        ),
        "home_page_recommendations": (
            "recommendations",
            "user_id string, item_id string, score double, rank int, model_rank int, moves array<string>, "
            "sources sources, scored_by string",
            [
                ("2", "1", 0.25, 1, 1, [], sources, ds),
                ("1", "3", 0.125, 2, 2, [], sources[:1], ds),
                ("1", "2", 0.75, 1, 1, [], sources, ds),
                ("ü-3", "2", 0.5, 1, 1, [], sources[1:], ds),
            ],
        ),
        "home_page_diagnostics": (
            "diagnostics",
            "area string, subject string, measure string, value double, n bigint",
            [
                ("column", "user.tags", "missing_share", 0.625, 8),
                ("head", "item", "top_1_percent", 0.75, 200),
                ("window", "15d", "reached_share", 0.5, 2),
                ("skew", "item__ctr_15d", "gain", 0.9, 20),
                ("skew", "item__ctr_15d", "psi", 0.375, 20),
            ],
        ),
        "home_page_evaluation": (
            "evaluation",
            "subject string, slice string, measure string, k int, value double, low double, high double, n bigint",
            [
                ("ranking", "", "auc", 0, 0.731, 0.7, 0.75, 4),
                ("ranking", "user=new", "auc", 0, 0.5, 0.25, 0.75, 2),
                ("ranking:item_ctr", "", "auc", 0, 0.6, None, None, 4),
                ("ranking", "", "gauc", 0, None, None, None, 0),
                ("list", "", "hit_rate", 10, 0.5, 0.25, 0.75, 2),
                ("recall:etrec_u2i", "", "hit_rate", 10, 0.25, 0.125, 0.5, 2),
                ("popularity", "", "hit_rate", 10, 0.125, None, None, 2),
            ],
        ),
    }


def write_table(table: str, rows: list[tuple] | None = None, ds: str = DS) -> None:
    """One partition and its record; rows without ds, by default those of `day`."""
    contract, columns, usual = day(ds)[table]
    chosen = usual if rows is None else rows
    schema = pa.schema([(name, TYPES[kind]) for name, kind in (column.split() for column in columns.split(", "))])
    values = [pa.array([row[i] for row in chosen], schema.field(i).type) for i in range(len(schema))]
    days = pa.array([ds] * len(chosen), pa.string())
    partition = pa.Table.from_arrays(values, schema=schema).append_column("ds", days)
    path = partitions.table_path(table)
    options = {"predicate": f"ds = '{ds}'"} if deltalake.DeltaTable.is_deltatable(path) else {}
    deltalake.write_deltalake(path, partition, mode="overwrite", partition_by=["ds"], **options)
    about = {"contract": contract, "contract_id": load_contract(contract).content_id, "checks": []}
    content = hashlib.sha256(repr(sorted(map(repr, chosen))).encode()).hexdigest()[:24]
    partitions.write_record(table, ds, {"rows": len(chosen), "content": content, **about})


def write_day() -> None:
    """Every table of the day."""
    for table in day():
        write_table(table)
