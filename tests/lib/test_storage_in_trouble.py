"""When S3 storage is slow, overloaded, away, or refuses: what is asked of it ends well, or in one clear line."""

from __future__ import annotations

import base64
import hashlib

import pytest

from jobs.lib.errors import SettingError
from jobs.lib.object_store import MissingObject, ObjectChanged, StoreError, open_store
from jobs.lib.s3_client import client, s3_options
from jobs.publish.bundle import latest, verify
from tests.lib.faulty_s3 import Fault, faulty, faulty_server  # noqa: F401 - fixtures
from tests.lib.stores import bucket, s3_server  # noqa: F401 - fixtures
from tests.publish.test_release import publish

SLOW_DOWN = Fault(503, "SlowDown")
BIG = bytes(range(256)) * 41_000  # 10.5 MB: three parts of 5 MiB at most


@pytest.fixture
def store(bucket, faulty):  # noqa: F811
    return open_store(f"s3://{bucket}/lists")


@pytest.fixture
def big_file(tmp_path, monkeypatch):
    monkeypatch.setenv("RECFLOW_S3_PART_MB", "5")
    (tmp_path / "big").write_bytes(BIG)
    return tmp_path / "big"


def some_of(share: int, fault: Fault):
    """Of each `share` requests one gets through."""
    return lambda method, path, nth: fault if nth % share else None


@pytest.mark.parametrize(
    "fault",
    [SLOW_DOWN, Fault(500, "InternalError"), Fault(503, ""), Fault(429, "TooManyRequests"), Fault(cut=-1)],
)
def test_what_may_pass_is_tried_again(store, faulty, fault):  # noqa: F811
    faulty.plan = some_of(3, fault)
    store.put("a", b"1")
    store.copy("a", "b")
    store.swap("c", None, b"2")
    assert (store.get("b"), store.get("c"), store.list()) == (b"1", b"2", ["a", "b", "c"])


@pytest.mark.parametrize("code", ["BadDigest", "RequestTimeout"])
def test_what_got_damaged_or_stuck_on_the_way_up_is_sent_again(store, faulty, code):  # noqa: F811
    faulty.plan = some_of(2, Fault(400, code))
    store.put("a", b"1")
    assert faulty.asked == [faulty.asked[0]] * 2


def test_a_bundle_is_published_and_read_through_a_storm(store, faulty):  # noqa: F811
    faulty.plan = some_of(3, SLOW_DOWN)
    publish(store, b"through")
    assert verify(store.root) == []


def test_patience_ends_with_one_line(store, faulty, monkeypatch):  # noqa: F811
    monkeypatch.setenv("RECFLOW_S3_PATIENCE_SEC", "0")
    faulty.plan = lambda *_: SLOW_DOWN
    with pytest.raises(StoreError, match=r"lists/a \(bucket .* at http://127.*\): PutObject failed: SlowDown") as error:
        store.put("a", b"1")
    assert "\n" not in str(error.value) and len(faulty.asked) == 1


def test_what_will_not_pass_is_not_tried_again(store, faulty):  # noqa: F811
    faulty.plan = lambda *_: Fault(403, "AccessDenied")
    with pytest.raises(StoreError):
        store.put("a", b"1")
    assert len(faulty.asked) == 1


def test_an_answer_that_comes_too_late_is_asked_for_again(bucket, faulty, monkeypatch):  # noqa: F811
    monkeypatch.setenv("RECFLOW_S3_TIMEOUT_SEC", "1")
    store = open_store(f"s3://{bucket}/lists")
    faulty.plan = lambda method, path, nth: Fault(wait_sec=1.5) if nth == 1 else None
    store.put("a", b"1")
    faulty.plan = lambda method, path, nth: Fault(wait_sec=0.1)
    assert store.get("a") == b"1"
    assert faulty.asked[:2] == [f"PUT /{bucket}/lists/a"] * 2


def test_a_read_that_breaks_off_goes_on_where_it_was(store, faulty, big_file):  # noqa: F811
    store.put_file("big", big_file)
    faulty.asked.clear()
    faulty.plan = lambda method, path, nth: Fault(cut=3_000_000) if nth <= 2 else None
    assert b"".join(store.chunks("big")) == BIG
    assert len(faulty.asked) == 3
    faulty.asked.clear()
    assert store.get("big") == BIG


def test_a_read_that_breaks_off_never_goes_on_in_another_object(store, faulty):  # noqa: F811
    store.put("a", b"1" * 100_000)

    def plan(method, path, nth):
        faulty.plan = lambda *_: None
        return Fault(cut=50_000)

    faulty.plan = plan
    pieces = store.chunks("a")
    next(pieces)
    store.put("a", b"2" * 100_000)
    with pytest.raises(ObjectChanged):
        list(pieces)


def test_a_swap_whose_answer_got_lost_has_won(store, faulty):  # noqa: F811
    store.put("latest.json", b"1")
    puts = []

    def plan(method, path, nth):
        puts.extend([path] if method == "PUT" else [])
        return Fault(cut=-2) if method == "PUT" and len(puts) == 1 else None

    faulty.plan = plan
    store.swap("latest.json", b"1", b"2")
    assert store.get("latest.json") == b"2" and len(puts) == 2


def test_a_big_file_goes_up_in_parts_with_a_checksum_each(store, faulty, big_file, bucket):  # noqa: F811
    faulty.plan = some_of(3, SLOW_DOWN)
    store.put_file("big", big_file)
    assert b"".join(store.chunks("big")) == BIG
    sent = {line.split("partNumber=")[1].split("&")[0] for line in faulty.asked if "partNumber=" in line}
    assert sent == {"1", "2", "3"}
    faulty.plan = lambda *_: None
    store.copy("big", "copied")
    assert store.reported_sha256("copied") == hashlib.sha256(BIG).hexdigest()


def test_a_join_whose_answer_got_lost_has_joined(store, faulty, big_file):  # noqa: F811
    cut = []

    def plan(method, path, nth):
        if method == "POST" and "uploadId=" in path and not cut:
            cut.append(path)
            return Fault(cut=-2)
        return None

    faulty.plan = plan
    store.put_file("big", big_file)
    assert cut and store.get("big") == BIG


def test_an_upload_that_fails_midway_leaves_the_old_object_and_no_parts(store, faulty, big_file, bucket):  # noqa: F811
    store.put("big", b"old")
    faulty.plan = lambda method, path, nth: Fault(403, "AccessDenied") if "partNumber=2" in path else None
    with pytest.raises(StoreError, match="may not do UploadPart"):
        store.put_file("big", big_file)
    assert store.get("big") == b"old"
    assert "Uploads" not in client().list_multipart_uploads(Bucket=bucket)


@pytest.mark.parametrize("step", range(2, 12, 3))
def test_storage_that_goes_away_in_mid_publish_moves_no_reader(store, faulty, monkeypatch, step):  # noqa: F811
    monkeypatch.setenv("RECFLOW_S3_PATIENCE_SEC", "0")
    publish(store, b"old")
    before = latest(store.root)
    faulty.asked.clear()
    faulty.plan = lambda method, path, nth: Fault(cut=-1) if nth >= step else None
    with pytest.raises(StoreError):
        publish(store, b"new")
    faulty.plan = lambda *_: None
    assert latest(store.root) == before and verify(store.root) == []
    publish(store, b"new")
    assert latest(store.root) != before and verify(store.root) == []


def test_every_body_carries_its_sha256(store, faulty, monkeypatch):  # noqa: F811
    seen = []
    store.client.meta.events.register("before-send.s3", lambda request, **_: seen.append(dict(request.headers)))
    store.put("a", b"1")
    store.swap("b", None, b"2")
    expected = [base64.b64encode(hashlib.sha256(data).digest()) for data in (b"1", b"2")]
    assert [headers["x-amz-checksum-sha256"] for headers in seen] == expected
    assert store.reported_sha256("a") == hashlib.sha256(b"1").hexdigest()


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [(403, "InvalidAccessKeyId", "credentials are not accepted"), (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS"),
     (403, "AccessDenied", "may not do PutObject"), (405, "MethodNotAllowed", "may not do PutObject"),
     (400, "EntityTooLarge", "PutObject failed: EntityTooLarge as ordered")],
)  # fmt: skip
def test_a_refusal_names_bucket_endpoint_and_what_to_mend(store, faulty, bucket, status, code, said):  # noqa: F811
    faulty.plan = lambda method, *_: Fault(status, code) if method == "PUT" else None
    with pytest.raises(StoreError) as error:
        store.put("a", b"1")
    assert str(error.value).startswith(f"s3://{bucket}/lists/a (bucket {bucket} at {faulty.url}): ")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_read_only_bucket_fails_a_publish_and_serves_its_readers(store, faulty):  # noqa: F811
    publish(store, b"old")
    faulty.plan = lambda method, *_: Fault(403, "AccessDenied") if method in ("PUT", "POST", "DELETE") else None
    with pytest.raises(StoreError, match="may not do PutObject"):
        publish(store, b"new")
    assert verify(store.root) == []


@pytest.mark.parametrize("act", ["exists", "size", "get", "reported_sha256"])
def test_a_missing_bucket_is_told_from_a_missing_object(faulty, act):  # noqa: F811
    with pytest.raises(StoreError, match="there is no bucket not-made: create it") as error:
        getattr(open_store("s3://not-made/lists"), act)("a")
    assert not isinstance(error.value, MissingObject)


def test_who_may_not_list_still_learns_that_an_object_is_missing(store, faulty):  # noqa: F811
    faulty.plan = lambda method, path, nth: Fault(403, "AccessDenied") if "list-type" in path else None
    assert not store.exists("a")


def test_without_credentials_the_line_says_which_variables(bucket, monkeypatch):  # noqa: F811
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    with pytest.raises(StoreError, match="no credentials: set AWS_ACCESS_KEY_ID"):
        open_store(f"s3://{bucket}").get("a")


def test_objects_are_stored_encrypted_as_asked(store, monkeypatch, bucket, big_file):  # noqa: F811
    monkeypatch.setenv("RECFLOW_S3_ENCRYPTION", "aws:kms")
    monkeypatch.setenv("RECFLOW_S3_KMS_KEY", "alias/lists")
    store.put("small", b"1")
    store.put_file("big", big_file)
    store.copy("small", "copied")
    store.swap("swapped", None, b"1")
    for key in store.list():
        found = client().head_object(Bucket=bucket, Key=f"lists/{key}")
        assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", "alias/lists"), key


@pytest.mark.parametrize(
    ("variable", "value"),
    [("RECFLOW_S3_ENCRYPTION", "rot13"), ("RECFLOW_S3_KMS_KEY", "k"), ("RECFLOW_S3_PART_MB", "4"),
     ("RECFLOW_S3_PATIENCE_SEC", "-1"), ("RECFLOW_S3_TIMEOUT_SEC", "soon")],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_named(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingError, match=variable):
        s3_options()
