"""Where in a table users are named, whatever the table is: for all tables that recflow writes. Free of Spark."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.lib.delta_files import DayFile
from jobs.lib.errors import DataError
from jobs.lib.files import filesystem_of

USER, SIDED, QUARANTINED = "user_id", ("side", "id"), ("source", "file", "line", "value")
BATCH_ROWS = 131_072
WORDS = 8  # of an id: an e-mail address is some five

Names = Callable[[pa.RecordBatch], pa.BooleanArray]


def columns_of_users(columns: Collection[str], user_column: str | None = None) -> tuple[str, ...]:
    """The columns that tell whom a row is about; none where no user is named. user_column: of an input table.

    A column of users; ids of either side; or what was refused of a file, whose value may be an id or hold one.
    """
    if (user_column or USER) in columns:
        return (user_column or USER,)
    return next((place for place in (SIDED, QUARANTINED) if set(place) <= set(columns)), ())


def naming(users: Collection[str], columns: tuple[str, ...]) -> Names:
    """Which rows of a batch name one of these users, by `columns_of_users`."""
    ids = pa.array(sorted(users), pa.string())
    word = "|".join(re.escape(user) for user in sorted(users))

    def names(batch: pa.RecordBatch) -> pa.BooleanArray:
        if not _has(batch.schema, columns):  # written before the table had such a column
            return pa.array([False] * batch.num_rows, pa.bool_())
        if columns == SIDED:
            found = pc.and_(pc.equal(batch["side"], "user"), pc.is_in(batch["id"], value_set=ids))
        elif columns == QUARANTINED:
            found = pc.match_substring_regex(batch["value"], f"(^|{_EDGE})({word})($|{_EDGE})")
        else:
            found = pc.is_in(batch[columns[0]].cast(pa.string()), value_set=ids)
        return pc.fill_null(found, False)

    return names


_EDGE = r"[^\p{L}\p{N}_-]"  # of an id in a text, whatever the format; that of `possible_ids`


def possible_ids(text: str) -> set[str]:
    """What of a text that could not be read may be an id: words of letters, digits, `_` and `-`, up to WORDS in a row;
    and whatever stands between spaces and the usual separators."""
    words = list(re.finditer(r"[\w-]+", text))
    rows = {text[a.start() : b.end()] for n, a in enumerate(words) for b in words[n : n + WORDS]}
    return rows | set(re.findall(r"[^\s,;|\"']+", text))


def days_naming(files: Iterable[DayFile], columns: tuple[str, ...], names: Names) -> list[str]:
    """The days whose files name a user, oldest first."""
    return sorted({file.ds for file in files if file_names(file.address, columns, names)})


def file_names(address: str, columns: tuple[str, ...], names: Names, if_unknown: bool = False) -> bool:
    """if_unknown: the answer for rows that lack these columns: others may have named users."""
    found = batches(address, list(columns))
    return any(names(batch).true_count if _has(batch.schema, columns) else if_unknown for batch in found)


def _has(schema: pa.Schema, columns: tuple[str, ...]) -> bool:
    return set(columns) <= set(schema.names)


def batches(address: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file. Raises DataError naming it."""
    filesystem, path = filesystem_of(address)
    try:
        with filesystem.open_input_file(path) as source:
            yield from pq.ParquetFile(source).iter_batches(BATCH_ROWS, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{address} cannot be read: {str(error).splitlines()[0]}") from error


def rewritten(address: str, target: Path, names: Names) -> int:
    """Write a Parquet file without the rows that name a user. Returns how many are left: none, and there is no file."""
    kept, writer = 0, None
    for batch in batches(address):
        rest = batch.filter(pc.invert(names(batch)))
        if rest.num_rows:
            writer = writer or pq.ParquetWriter(target, batch.schema, compression="zstd")
            writer.write_batch(rest)
            kept += rest.num_rows
    if writer is not None:
        writer.close()
    return kept
