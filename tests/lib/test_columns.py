import random

from jobs.lib.columns import exact_sum, rank_within, seeded_hash


def test_an_exact_sum_has_the_same_bits_in_any_order_and_partitioning(spark):
    values = [(random.Random(n).uniform(-1, 1),) for n in range(2000)]
    sums = {
        spark.createDataFrame(rows, "x double").repartition(parts).agg(exact_sum(_col("x")).alias("s")).first()["s"]
        for rows, parts in ((values, 1), (values[::-1], 3), (sorted(values), 7))
    }
    assert len(sums) == 1
    assert abs(sums.pop() - sum(v for (v,) in values)) < 1e-6


def test_ranks_start_at_one_are_contiguous_and_ties_go_by_id(spark):
    rows = [("u", "b", 1.0), ("u", "a", 1.0), ("u", "c", 2.0), ("v", "z", 0.0)]
    ranked = rank_within(
        spark.createDataFrame(rows, "user_id string, item_id string, score double"), ["user_id"], "score", "item_id", 2
    )
    assert sorted((r["user_id"], r["rank"], r["item_id"]) for r in ranked.collect()) == [
        ("u", 1, "c"),
        ("u", 2, "a"),
        ("v", 1, "z"),
    ]


def test_a_seeded_hash_depends_on_seed_and_values_only(spark):
    frame = spark.createDataFrame([("a", 1), ("b", 1)], "x string, y int")
    first, again, other = (
        [r[0] for r in frame.repartition(n).orderBy("x").select(seeded_hash(seed, "x", "y")).collect()]
        for seed, n in ((1, 1), (1, 2), (2, 1))
    )
    assert first == again and first[0] != first[1] and first != other


def _col(name):
    from pyspark.sql import functions as F

    return F.col(name)
