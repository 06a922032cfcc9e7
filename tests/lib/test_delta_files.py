import deltalake
import pyarrow as pa
import pytest

from jobs.lib import partitions
from jobs.lib.delta_files import DataFile, replace_days
from jobs.lib.errors import WriterError
from jobs.lib.settings import settings

WANTED = deltalake.Schema.from_arrow(pa.schema([("n", pa.int64()), ("ds", pa.string())]))


@pytest.mark.parametrize("is_first", [True, False])
def test_two_commits_at_once_leave_one_writers_rows_and_tell_the_other(warehouse, monkeypatch, is_first):
    """The trap: tried again after the other's, a commit would add its files beside files that it never saw."""
    address = f"{settings().warehouse_root}/t"

    def commit(name, ds="20261101"):
        replace_days(address, [ds], [DataFile(f"ds={ds}/{name}.parquet", ds, 1, 1, 0)], WANTED)

    if not is_first:
        commit("before", "20261031")
    stale = partitions.delta_at(address)
    commit("winner")
    monkeypatch.setattr(partitions, "delta_at", lambda _: stale)
    with pytest.raises(WriterError, match="t: another writer committed at the same time; run this again"):
        commit("loser")
    monkeypatch.undo()
    files = [f.rpartition("/")[2] for f in deltalake.DeltaTable(address).file_uris()]
    assert sorted(files) == ["winner.parquet"] if is_first else ["before.parquet", "winner.parquet"]


def test_the_log_in_a_bucket_is_written_encrypted_as_asked(monkeypatch):
    for name, value in {"ENCRYPTION": "aws:kms", "KMS_KEY": "key-7"}.items():
        monkeypatch.setenv(f"RECFLOW_S3_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    asked = {"allow_http": "true", "aws_server_side_encryption": "aws:kms", "aws_sse_kms_key_id": "key-7"}
    assert partitions.delta_address("s3a://b/t") == ("s3://b/t", asked)
    assert partitions.delta_address("/b/t") == ("/b/t", None)
