"""Reading and writing `ds` partitions. `write_days` is the only door into a table."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial, reduce
from typing import TYPE_CHECKING

from jobs.lib import forgotten, partitions, quality, row_files, sources
from jobs.lib.contracts import Contract, conform, load_contract
from jobs.lib.delta_files import DataFile, replace_days
from jobs.lib.evolution import refuse_incompatible
from jobs.lib.figures import Figures, figures
from jobs.lib.input_tables import TableConfig
from jobs.lib.partitions import table_path
from jobs.lib.quality_results import Result, use_overrides
from jobs.lib.session import spark
from jobs.lib.spark import F

if TYPE_CHECKING:
    import deltalake
    import pyarrow as pa
    from pyspark.sql import DataFrame

log = logging.getLogger("recflow")


def read_days(table: str | TableConfig, days: list[str], needed_by: str = "") -> DataFrame:
    """The partitions of these days. Raises MissingPartition naming table and ds when one was never committed.

    An input table is given as its config, since it may be one that is read in place.
    """
    absent = sorted(set(days) - set(partitions.present_days(table)))
    if absent:
        raise partitions.missing(table, absent, needed_by)
    return _partitions_of(table, days)


def read_present(table: str, days: list[str]) -> DataFrame:
    """Those of the days that were committed; a table that has none of them must exist all the same."""
    present = [ds for ds in partitions.present_days(table) if ds in set(days)]
    if not present and not partitions.present_days(table):
        raise partitions.missing(table, days)
    return _partitions_of(table, present)


def present_days(table: str | TableConfig, days: list[str]) -> list[str]:
    """Those of the days that were committed, oldest first."""
    wanted = set(days)
    return [ds for ds in partitions.present_days(table) if ds in wanted]


def read_snapshot(config: TableConfig, ds: str) -> DataFrame:
    """A user or item snapshot as of ds, with ds set to it."""
    day = partitions.as_of_day(config, ds)
    if day is None:
        raise partitions.missing(config, [ds])
    return _partitions_of(config, [day]).withColumn("ds", F.lit(ds))


def read_snapshots(config: TableConfig, days: list[str], needed_by: str = "") -> DataFrame:
    """The user or item snapshots of these days. One undated snapshot that serves them all comes without ds."""
    if config.snapshot == "daily":
        return read_days(config, days, needed_by)
    served: dict[str, list[str]] = {}
    present = partitions.present_days(config)
    for ds in days:
        day = partitions.as_of_day(config, ds, present)
        if day is None:
            raise partitions.missing(config, [ds], needed_by)
        served.setdefault(day, []).append(ds)
    if len(served) == 1:
        return _partitions_of(config, list(served)).drop("ds")
    of_days = [
        _partitions_of(config, [day]).withColumn("ds", F.explode(F.array(*[F.lit(ds) for ds in readers])))
        for day, readers in served.items()
    ]
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), of_days)


def write_days(rows: DataFrame, table: str, days: list[str], contract: str) -> dict[str, int]:
    """Replace exactly the partitions `days` with the rows, in one atomic commit; a day without rows becomes empty.

    Staged first: the rows are held, measured and judged before anything is visible. Returns rows per ds. Raises
    ContractError or QualityError naming column or check, and then nothing was written.
    """
    promised = load_contract(contract)
    staged = conform(rows, promised, table).persist()
    try:
        return _replace(staged, table, days, promised, partial(_written, staged, table))
    finally:
        staged.unpersist()


def adopt_files(files: list[DataFile], schema: pa.Schema, table: str, days: list[str], contract: str) -> dict[str, int]:
    """Like write_days, with rows that already lie as Parquet files in the table's folder, where no reader sees them
    yet.

    schema: of the rows, ds included. Nothing is copied: for tables whose rows a bulk import has just written.
    """
    promised = load_contract(contract)
    staged = conform(_rows_of(files, schema, table), promised, table)
    content = {ds: sum(file.content for file in files if file.ds == ds) for ds in days}

    def lying_there(_: dict[str, int]) -> tuple[list[DataFile], deltalake.Schema]:
        import deltalake

        return files, deltalake.Schema.from_arrow(schema)

    return _replace(staged, table, days, promised, lying_there, content)


def _rows_of(files: list[DataFile], schema: pa.Schema, table: str) -> DataFrame:
    from pyspark.sql.pandas.types import from_arrow_schema

    columns, reader = from_arrow_schema(schema), spark().read.option("basePath", table_path(table))
    if not files:
        return spark().createDataFrame([], columns)
    return reader.schema(columns).parquet(*[f"{table_path(table)}/{file.path}" for file in files])


def _replace(
    staged: DataFrame,
    table: str,
    days: list[str],
    promised: Contract,
    write: Callable[[dict[str, int]], tuple[list[DataFile], deltalake.Schema]],
    content: dict[str, int] | None = None,
) -> dict[str, int]:
    """Measure and judge the staged rows, commit them, and record what was written.

    write: takes the rows of each ds and gives files that no reader sees yet. Until they are all there, the days stay
    what they were; a table that is new, or all forgotten, binds nobody.
    """
    is_new = not partitions.present_days(table)
    if not is_new:
        refuse_incompatible(
            table, promised, row_files.column_types(table_path(table)), dict(staged.dtypes), table_path(table)
        )
    measured = figures(staged, promised, days, lambda name: read_present(name, days), content)
    results = quality.judge(table, promised, measured, quality.written_before(table, promised, days))
    quality.keep(table, table, promised, measured, results)
    quality.refuse_blocked(table, results)
    counts = {ds: figure.rows for ds, figure in measured.items()}
    files, columns = write(counts)
    partitions.forget(table, days)  # killed between commit and record, a day counts as never made
    replace_days(table_path(table), days, files, columns, is_new)
    _record(table, promised, staged.columns, measured, results)
    use_overrides(table, results)
    shown = f"ds={days[0]}" if len(days) == 1 else f"ds={days[0]}..{days[-1]} ({len(days)} days)"
    log.info("%s %s: %s rows", table, shown, f"{sum(counts.values()):,}")
    return counts


def _written(staged: DataFrame, table: str, counts: dict[str, int]) -> tuple[list[DataFile], deltalake.Schema]:
    return row_files.write_files(staged, table_path(table), counts), row_files.declared(staged)


def _record(
    table: str,
    contract: Contract,
    columns: list[str],
    measured: dict[str, Figures],
    results: list[Result],
) -> None:
    for ds, figure in measured.items():
        partitions.write_record(
            table,
            ds,
            {
                **quality.history_of(figure),
                "content": f"{figure.content & ((1 << 96) - 1):024x}",
                "columns": columns,
                "contract": contract.table,
                "contract_id": contract.content_id,
                "checks": [r.as_dict() for r in results if r.ds == ds],
            },
        )


def _partitions_of(table: str | TableConfig, days: list[str]) -> DataFrame:
    if isinstance(table, TableConfig):
        rows = sources.read_days(table, days) if table.source is not None else _partitions_of(table.table, days)
        return forgotten.left_out(rows, table)
    if partitions.is_owned(table):
        return row_files.read_files(spark(), table_path(table), days)
    return spark().read.format("delta").load(table_path(table)).where(F.col("ds").isin(days))
