"""What only a real server judges: checksums, credentials, and its own death in the middle of an upload."""

from __future__ import annotations

import base64
import hashlib
import threading
import time

import pytest
from botocore.exceptions import ClientError

from jobs.lib import s3_client, s3_store
from jobs.lib.object_store import StoreError, open_store
from tests.lib.stores import new_bucket, versitygw  # noqa: F401 - a fixture

BIG = bytes(range(256)) * 100_000  # 25.6 MB: five parts of 5 MiB at most


@pytest.fixture
def store(versitygw, monkeypatch):  # noqa: F811
    monkeypatch.setenv("RECFLOW_S3_PART_MB", "5")
    monkeypatch.setattr(s3_client, "LONGEST_WAIT_SEC", 0.2)
    return open_store(f"s3://{new_bucket(versitygw.url, monkeypatch)}/lists")


@pytest.fixture
def big_file(tmp_path):
    (tmp_path / "big").write_bytes(BIG)
    return tmp_path / "big"


def test_a_body_that_is_not_what_was_read_is_refused(store):
    other = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    with pytest.raises(ClientError, match="BadDigest"):
        store.client.put_object(Bucket=store.bucket, Key="a", Body=b"1", ChecksumSHA256=other)
    store.put("a", b"1")
    assert store.reported_sha256("a") == hashlib.sha256(b"1").hexdigest()


def test_wrong_credentials_are_one_line(store, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    s3_client._client.cache_clear()
    with pytest.raises(StoreError, match="the credentials are not accepted") as error:
        open_store(store.root).put("a", b"1")
    s3_client._client.cache_clear()
    assert "\n" not in str(error.value) and "wrong" not in str(error.value)


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_server_killed_in_mid_upload(store, versitygw, monkeypatch, big_file, comes_back):  # noqa: F811
    """It either comes back in time, or the old object is there when it does."""
    monkeypatch.setenv("RECFLOW_S3_PATIENCE_SEC", "20" if comes_back else "1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = open_store(store.root)
    store.put("big", b"old")
    sent, upload_parts = threading.Semaphore(2), s3_store.upload_parts

    def killing(client, *arguments):
        send = client.upload_part

        def kill_after_two(**asked):
            if not sent.acquire(blocking=False) and not killed.is_set():
                killed.set()
                versitygw.kill()
            return send(**asked)

        monkeypatch.setattr(client, "upload_part", kill_after_two)
        return upload_parts(client, *arguments)

    killed = threading.Event()
    monkeypatch.setattr(s3_store, "upload_parts", killing)
    again = threading.Thread(target=lambda: (killed.wait(20), versitygw.start_again()))
    if comes_back:
        again.start()
        store.put_file("big", big_file)
        again.join()
        assert store.get("big") == BIG
    else:
        with pytest.raises(StoreError, match=rf"/big \(bucket {store.bucket} at {versitygw.url}\): "):
            store.put_file("big", big_file)
        versitygw.start_again()
        assert store.get("big") == b"old" and store.list() == ["big"]


def test_uploads_that_never_ended_are_dropped_once_they_are_old_and_only_below_the_address(store):
    at = {"Bucket": store.bucket}
    for key in ("lists/a", "lists/deep/b", "elsewhere/c"):
        store.client.create_multipart_upload(**at, Key=key)
    assert s3_store.end_unfinished_uploads(store.root, time.time() - 60) == []
    assert s3_store.end_unfinished_uploads(store.root, time.time() + 60) == ["a", "deep/b"]
    assert [left["Key"] for left in store.client.list_multipart_uploads(**at)["Uploads"]] == ["elsewhere/c"]
