"""Tables that another system fills, read where they are: which days they hold, and the rows of a day.

Looking for days needs no Spark (an anchor's trigger does it); reading rows does.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from jobs.lib import files
from jobs.lib.days import add_days, day_range, first_moment, to_date
from jobs.lib.errors import ContractError, DataError, MissingPartition, RecflowError
from jobs.lib.input_tables import DayColumn, Source, TableConfig
from jobs.lib.spark import F

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


def ds_of(day: DayColumn, values: dict[str, Any]) -> str | None:
    """The ds that a row's day column (or year, month and day) tells; None where it is NULL or no day."""
    try:
        if not isinstance(day.column, str):
            return "".join(f"{int(values[c]):0{w}d}" for c, w in zip(day.column, (4, 2, 2), strict=True))
        value = values[day.column]
        if isinstance(value, date):
            return value.strftime("%Y%m%d")
        return datetime.strptime(str(value), day.format).strftime("%Y%m%d")
    except (TypeError, ValueError):
        return None


def present_days(config: TableConfig) -> list[str]:
    """Every ds of a table that is read in place, oldest first. Raises MissingPartition when there is no such table."""
    source, told = config.source, _files(config)
    if source.day is None and config.snapshot == "once":
        return [source.as_of]
    if not told:
        return []
    if source.day is None:
        return _days_of_time(config, told)
    columns = _columns(source.day)
    if all(column in file.partition for file in told for column in columns):
        return sorted({ds for file in told if (ds := ds_of(source.day, file.partition))})
    if len(columns) == 3:
        raise RecflowError(
            f"{config.table}: year, month and day can tell the day of a table that is partitioned by them"
        )
    return _days_of_column(config, told, columns[0])


def files_of(config: TableConfig, ds: str) -> list[files.SourceFile]:
    """The files that may hold rows of a day: by their partition, else by the least and greatest value of each."""
    source, told = config.source, _files(config)
    if source.day is None and config.snapshot == "once":
        return told
    columns = _columns(source.day) if source.day else [config.roles.event_time]
    if source.day and all(column in file.partition for file in told for column in columns):
        return [file for file in told if ds_of(source.day, file.partition) == ds]

    def day_of(value: Any) -> str | None:
        return ds_of(source.day, {columns[0]: value}) if source.day else _local_day(value, config)

    spans = [(day_of(low), day_of(high)) for low, high in _ranges(config, told, columns[0])]
    return [file for file, (first, last) in zip(told, spans, strict=True) if first and last and first <= ds <= last]


def read_days(config: TableConfig, days: list[str]) -> DataFrame:
    """The rows of these days under the table's own columns, and `ds`."""
    from jobs.lib.session import spark

    source = config.source
    rows = spark().read.format(source.format).load(_address(source.path))
    _refuse_missing(config, rows.columns, days)
    _refuse_cut_off(config, days)
    if source.day is None and config.snapshot == "once":
        return rows.withColumn("ds", F.lit(days[0]))
    if source.day is not None:
        return _rows_of_days(rows, source.day, days)
    time = unix_seconds(rows, config.roles.event_time, source.time_format)
    # The column itself is compared where it is a number, so that files of other times are left out by their statistics.
    zone = source.timezone
    first, last = first_moment(days[0], zone), first_moment(add_days(days[-1], 1), zone)
    factor = {"unix_s": 1, "unix_ms": 1000}.get(source.time_format)
    if dict(rows.dtypes)[config.roles.event_time] in ("int", "bigint") and factor:
        rows = rows.where(F.col(config.roles.event_time).between(first * factor, last * factor - 1))
    local = F.from_utc_timestamp(F.timestamp_seconds(time), zone)
    return rows.withColumn("ds", F.date_format(local, "yyyyMMdd")).where(F.col("ds").isin(days))


def unix_seconds(rows: DataFrame, column: str, time_format: str) -> Column:
    """A time column as unix seconds (BIGINT), by its type first; NULL where it cannot be read. The session zone is
    UTC."""
    dtype, value = dict(rows.dtypes)[column], F.col(column)
    if dtype in ("timestamp", "timestamp_ntz", "date"):
        return F.unix_seconds(value.cast("timestamp"))
    if time_format == "iso":
        return F.unix_seconds(value.try_cast("timestamp"))
    number = value.try_cast("bigint") if dtype == "string" else value.cast("bigint")
    return F.floor(number / 1000).cast("bigint") if time_format == "unix_ms" else number


def _rows_of_days(rows: DataFrame, day: DayColumn, days: list[str]) -> DataFrame:
    """Filtered by the column's own values, so that other partitions are not even listed."""
    types, columns = dict(rows.dtypes), _columns(day)
    if len(columns) == 3:
        year, month, date_ = (F.col(column).cast("int") for column in columns)
        wanted = F.lit(False)
        for of_day in map(to_date, days):
            wanted = wanted | ((year == of_day.year) & (month == of_day.month) & (date_ == of_day.day))
        return rows.where(wanted).withColumn("ds", F.format_string("%04d%02d%02d", year, month, date_))
    (column,) = columns
    if types[column] in ("date", "timestamp", "timestamp_ntz"):
        wanted = F.to_date(column).isin([to_date(ds) for ds in days])
        return rows.where(wanted).withColumn("ds", F.date_format(column, "yyyyMMdd"))
    written = {to_date(ds).strftime(day.format): ds for ds in days}
    if types[column] != "string":
        written = {int(text): ds for text, ds in written.items()}
    rows = rows.where(F.col(column).isin(list(written)))
    literals = [F.lit(part) for pair in written.items() for part in pair]
    return rows.withColumn("ds", F.element_at(F.create_map(*literals), F.col(column)))


def _days_of_column(config: TableConfig, told: list[files.SourceFile], column: str) -> list[str]:
    """Days of a table that is not partitioned by its date column: those between least and greatest of a file."""
    day, found = config.source.day, set()
    for low, high in _ranges(config, told, column):
        if isinstance(low, str) and not _sorts(day.format):
            raise RecflowError(
                f"{config.table}: {column} as {day.format} does not sort, so which days are there cannot be told: "
                "partition the table by it, or use a DATE column"
            )
        first, last = (ds_of(day, {column: value}) for value in (low, high))
        found |= set(day_range(first, last)) if first and last else set()
    return sorted(found)


def _sorts(time_format: str) -> bool:
    parts = [time_format.find(part) for part in ("%Y", "%m", "%d")]
    return -1 not in parts and parts == sorted(parts)


def _days_of_time(config: TableConfig, told: list[files.SourceFile]) -> list[str]:
    """Days of an undated log: from its first event to the day before its last one's, or to `through`."""
    ranges = _ranges(config, told, config.roles.event_time)
    first = _local_day(min(low for low, _ in ranges), config)
    newest = _local_day(max(high for _, high in ranges), config)
    last = max(add_days(newest, -1), min(newest, config.source.through or ""))
    return day_range(first, last) if first <= last else []


def _local_day(value: Any, config: TableConfig) -> str:
    """Raises RecflowError for what is no time from 1971 to 2099: such a row would make up days."""
    source, moment = config.source, value
    try:
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment)
        if not isinstance(moment, datetime):
            moment = datetime.fromtimestamp(float(moment) / (1000 if source.time_format == "unix_ms" else 1), UTC)
        local = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(ZoneInfo(source.timezone))
    except (ValueError, OverflowError, OSError):
        local = None
    if local is None or not 1971 <= local.year <= 2099:
        raise RecflowError(
            f"{config.table}: {config.roles.event_time} holds {value!r}, which as {source.time_format} is no time from "
            "1971 to 2099, so which days are there cannot be told"
        )
    return local.strftime("%Y%m%d")


def _files(config: TableConfig) -> list[files.SourceFile]:
    """The table's files; of Parquet those of finished partitions. Raises MissingPartition when there is no such
    table."""
    source = config.source
    if source.format == "delta":
        found = files.delta_files(source.path)
    else:
        everything = files.files_under(source.path, include_hidden=True)
        found = _finished(source, everything) if everything else None
    if found is None:
        raise MissingPartition(f"{config.table}: there is no {source.format} table at {source.path}")
    return found


def _finished(source: Source, everything: list[files.SourceFile]) -> list[files.SourceFile]:
    """The data of finished partitions: a Parquet folder is written file by file, and whoever fills it can leave a mark
    when one is whole."""
    data = [file for file in everything if not files.is_hidden(file.name)]
    if source.done_file is None:
        return data
    marks = [file for file in everything if file.name.rpartition("/")[2] == source.done_file]
    marked = {_folder(mark) for mark in marks}
    return [file for file in data if _folder(file) in marked and file not in marks]


def _folder(file: files.SourceFile) -> str:
    return file.name.rpartition("/")[0]


def _ranges(config: TableConfig, told: list[files.SourceFile], column: str) -> files.Ranges:
    delta = config.source.format == "delta"
    ranges = files.delta_ranges(config.source.path, column) if delta else files.parquet_ranges(told, column)
    if any(low is None or high is None for low, high in ranges):
        raise RecflowError(
            f"{config.table}: which days are there cannot be told: {column} has no statistics, or is not there"
        )
    return ranges


def _refuse_missing(config: TableConfig, columns: list[str], days: list[str]) -> None:
    """Raises ContractError naming a column that plays a role and that the table lacks, and the days asked for."""
    roles = config.roles.model_dump(exclude_none=True)
    played = [c for value in roles.values() for c in (value if isinstance(value, list) else [value])]
    for column in [*played, *(_columns(config.source.day) if config.source.day else [])]:
        if column not in columns:
            asked = days[0] if len(days) == 1 else f"{days[0]}..{days[-1]}"
            there = ", ".join(columns)
            raise ContractError(f"{config.table} ds={asked}: no column {column!r}; there are: {there}")


def _refuse_cut_off(config: TableConfig, days: list[str]) -> None:
    """Raises DataError naming a Parquet file of these days that has no bytes: Spark passes over it in silence."""
    if config.source.format != "parquet" or not any(file.size == 0 for file in _files(config)):
        return
    for ds in days:
        if empty := [file.name for file in files_of(config, ds) if file.size == 0]:
            raise DataError(f"{config.table} ds={ds}: {empty[0]} is empty, which no Parquet file is")


def _address(path: str) -> str:
    return "s3a://" + path.removeprefix("s3://") if path.startswith("s3://") else path


def _columns(day: DayColumn) -> list[str]:
    return [day.column] if isinstance(day.column, str) else list(day.column)
