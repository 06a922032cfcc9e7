"""The promises of a store, held by both kinds."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from jobs.lib.object_store import MissingObject, ObjectChanged, StoreError, open_store
from tests.lib.stores import bucket, s3_server, store_url, versitygw  # noqa: F401 - fixtures


@pytest.fixture
def store(store_url):  # noqa: F811
    return open_store(store_url)


def test_what_is_put_is_what_is_read(store):
    store.put("ds=20261121/a.json", b"one")
    store.put("ds=20261121/a.json", b"two")
    assert store.get("ds=20261121/a.json") == b"two"
    assert b"".join(store.chunks("ds=20261121/a.json")) == b"two"
    assert store.size("ds=20261121/a.json") == 3
    assert store.exists("ds=20261121/a.json")
    assert store.url("ds=20261121/a.json") == f"{store.root}/ds=20261121/a.json"


def test_a_file_is_put_without_being_read_whole(store, tmp_path):
    (tmp_path / "big").write_bytes(b"x" * 3_000_000)
    store.put_file("big", tmp_path / "big")
    assert store.size("big") == 3_000_000
    assert len(list(store.chunks("big"))) > 1


def test_listing_is_sorted_and_by_string_prefix(store):
    for key in ("b/2", "b/10", "a", "bc/1"):
        store.put(key, b"")
    assert store.list() == ["a", "b/10", "b/2", "bc/1"]
    assert store.list("b") == ["b/10", "b/2", "bc/1"]
    assert store.list("b/") == ["b/10", "b/2"]
    assert store.list("nothing/here/") == []


def test_copy_and_delete(store):
    store.put("a/x", b"1")
    store.copy("a/x", "c/y")
    store.delete("a/x")
    store.delete("a/x")
    assert store.list() == ["c/y"]
    assert store.get("c/y") == b"1"


def test_move_replaces_the_target_and_leaves_nothing_behind(store):
    store.put("deep/er/x", b"1")
    store.put("y", b"0")
    store.move("deep/er/x", "y")
    assert store.list() == ["y"]
    assert store.get("y") == b"1"
    if store.root.startswith("file:"):
        assert [path.name for path in store.folder.iterdir()] == ["y"]


@pytest.mark.parametrize(
    "read", ["get", "size", lambda s, k: list(s.chunks(k)), lambda s, k: s.copy(k, "b"), lambda s, k: s.move(k, "b")]
)
def test_a_missing_object_is_named(store, read):
    with pytest.raises(MissingObject, match=f"{store.root}/a/b"):
        getattr(store, read)("a/b") if isinstance(read, str) else read(store, "a/b")
    assert not store.exists("a/b")


def test_a_folder_is_no_object(store):
    store.put("a/b", b"1")
    assert not store.exists("a")
    with pytest.raises(MissingObject):
        store.get("a")


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a", "a\\b", "a\0b"])
def test_keys_stay_under_the_root(store, key):
    for act in (lambda: store.put(key, b""), lambda: store.get(key), lambda: store.delete(key), lambda: store.url(key)):
        with pytest.raises(StoreError, match="is no key"):
            act()
    with pytest.raises(StoreError):
        store.list("../" + key)


def test_swap_takes_what_was_expected_and_nothing_else(store):
    store.swap("latest.json", None, b"1")
    with pytest.raises(ObjectChanged):
        store.swap("latest.json", None, b"2")
    with pytest.raises(ObjectChanged):
        store.swap("latest.json", b"0", b"2")
    with pytest.raises(ObjectChanged):
        store.swap("absent", b"0", b"2")
    store.swap("latest.json", b"1", b"2")
    assert store.get("latest.json") == b"2"
    assert not store.exists("absent")


def test_of_many_swaps_at_once_one_wins(store):
    store.put("latest.json", b"0")
    won, start = [], threading.Barrier(8)

    def swap(number: int) -> None:
        start.wait()
        try:
            store.swap("latest.json", b"0", b"%d" % number)
        except ObjectChanged:
            return
        won.append(b"%d" % number)

    threads = [threading.Thread(target=swap, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.get("latest.json")] == won


@pytest.mark.parametrize("address", ["ftp://x/y", "file://relative", "s3://", "s3:///x"])
def test_an_address_of_no_kind_is_refused(address):
    with pytest.raises(StoreError, match="no address of a store"):
        open_store(address)


def test_a_plain_path_and_s3a_are_addresses(tmp_path, monkeypatch):
    assert open_store(str(tmp_path)).root == f"file://{tmp_path}"
    assert open_store("s3a://bucket/a/").root == "s3://bucket/a"
    assert open_store("s3://bucket").url("k") == "s3://bucket/k"


def test_an_unreachable_storage_is_one_clear_line(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("RECFLOW_S3_PATIENCE_SEC", "0")
    with pytest.raises(StoreError, match=r"s3://bucket/k \(bucket bucket at http://127.0.0.1:9\): "):
        open_store("s3://bucket").get("k")


def test_no_bucket_is_not_a_missing_object(store_url):  # noqa: F811
    if store_url.startswith("s3:"):
        with pytest.raises(StoreError, match="NoSuchBucket") as error:
            open_store("s3://no-such-bucket-at-all").get("k")
        assert not isinstance(error.value, MissingObject)


def test_a_writer_killed_midway_leaves_the_old_file_and_nothing_listed(tmp_path):
    store = open_store(str(tmp_path))
    store.put("a/latest.json", b"old")
    killed = (
        "import os, sys\n"
        "from jobs.lib import object_store\n"
        "object_store.os.fsync = lambda _: os._exit(9)\n"
        "object_store.open_store(sys.argv[1]).put('a/latest.json', b'new' * 100000)\n"
    )
    done = subprocess.run([sys.executable, "-c", killed, str(tmp_path)], check=False, env=os.environ)
    assert done.returncode == 9
    assert store.get("a/latest.json") == b"old"
    assert store.list() == ["a/latest.json"]


def test_a_failed_put_leaves_no_temporary(tmp_path):
    store = open_store(str(tmp_path))
    with pytest.raises(TypeError):
        store.put("a/x", "text, not bytes")
    assert list((tmp_path / "a").iterdir()) == []


def test_a_read_only_folder_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=f"file://{tmp_path}/file/x: "):
        open_store(str(tmp_path)).put("file/x", b"")
