"""Samples as committed partitions, written with deltalake instead of through Spark."""

from __future__ import annotations

import deltalake
import pyarrow as pa
import pyarrow.compute as pc

from jobs.lib import partitions
from jobs.lib.solution import Solution
from jobs.ranking.feature_list import number_columns


def store_samples(samples: pa.Table, solution: Solution) -> list[str]:
    """The days. Numbers are DOUBLE, as the samples' job writes them."""
    table, days = solution.table("rank_samples"), sorted(pc.unique(samples.column("ds")).to_pylist())
    for name in number_columns(solution):
        place = samples.schema.get_field_index(name)
        samples = samples.set_column(place, name, samples.column(name).cast(pa.float64()))
    for name, kind in (("is_praise", pa.int32()), ("ln_playtime", pa.float64()), ("is_sampled_negative", pa.bool_())):
        if name not in samples.column_names:
            samples = samples.append_column(name, pa.array([0] * samples.num_rows).cast(kind))
    partitions.forget(table, [])
    deltalake.write_deltalake(partitions.table_path(table), samples, partition_by=["ds"])
    for ds in days:
        rows = pc.sum(pc.equal(samples.column("ds"), ds)).as_py()
        partitions.write_record(table, ds, {"rows": rows, "content": ds, "checks": []})
    return days
