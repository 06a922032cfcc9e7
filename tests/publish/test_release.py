"""The order of writing: whatever dies where, readers see a whole bundle."""

from __future__ import annotations

import threading

import pytest

from jobs.lib.object_store import open_store
from jobs.publish import release as release_module
from jobs.publish import under_way
from jobs.publish.bundle import entry, latest, verify
from jobs.publish.release import release
from jobs.publish.under_way import staging_folder

DS = "20261121"


class Killed(BaseException):
    pass


def publish(store, text: bytes, ds: str = DS, **options) -> str:
    return publish_and_tell(store, text, ds, **options)[0]


def publish_and_tell(store, text: bytes, ds: str = DS, **options) -> tuple[str, str | None]:
    """A bundle of one staged and two small objects, and why readers do not follow it."""
    with staging_folder(store, ds) as staging:
        store.put(f"{staging}/recall/hot/part-00000.bin", text)
        staged = [entry("recall/hot/part-00000.bin", text)]
        small = {"fallback/none.json": b"{}\n", "report/index.html": b"<p>" + text}
        return release(store, staging, staged, small, {"scenario": "s", "ds": ds}, **options)


def dying_at(store, step: int):
    """The store, which dies at the n-th change that it is asked for from now on."""
    asked, one_by_one = [], threading.RLock()  # a change may be made of others

    def dying(do):
        def change(*arguments):
            with one_by_one:
                asked.append(do)
                if len(asked) >= step:
                    raise Killed
                return do(*arguments)

        return change

    for name in ("put", "move", "swap", "delete"):
        setattr(store, name, dying(getattr(store, name)))
    return store


@pytest.mark.parametrize("step", range(1, 8))
def test_a_run_that_dies_moves_no_reader_and_the_next_completes(store_url, step, monkeypatch):
    monkeypatch.setattr(under_way, "_runs", lambda pid: False)
    store = open_store(store_url)
    publish(store, b"old")
    before = latest(store_url)
    with pytest.raises(Killed):
        publish(dying_at(open_store(store_url), step), b"new")
    assert latest(store_url) == before
    assert verify(store_url) == []
    folder = publish(store, b"new")
    assert verify(f"{store_url}/{folder}") == verify(store_url) == []
    assert latest(store_url)["manifest"] == f"{folder}/manifest.json"
    assert store.list("_staging/") == []


def noting(do, keys: list[str]):
    def change(key, *rest):
        keys.append(key)
        return do(key, *rest)

    return change


def test_the_same_again_changes_nothing_but_staging(store_url):
    store = open_store(store_url)
    folder = publish(store, b"same")
    changed = []
    again = open_store(store_url)
    for name in ("put", "move", "swap", "delete"):
        setattr(again, name, noting(getattr(again, name), changed))
    assert publish(again, b"same") == folder
    assert [key for key in changed if not key.startswith("_staging/")] == []


def test_what_is_broken_is_mended_and_what_is_foreign_removed(store_url):
    store = open_store(store_url)
    folder = publish(store, b"same")
    store.put(f"{folder}/recall/hot/part-00000.bin", b"tampered")
    store.put(f"{folder}/manifest.json", b"{}")
    store.delete(f"{folder}/fallback/none.json")
    store.put(f"{folder}/stray", b"")
    assert publish(store, b"same") == folder
    assert verify(f"{store_url}/{folder}") == []


def test_readers_never_go_back_a_day_unless_asked(store_url):
    store = open_store(store_url)
    publish(store, b"today")
    folder = publish(store, b"yesterday", "20261120")
    assert verify(f"{store_url}/{folder}") == []
    assert latest(store_url)["ds"] == DS
    publish(store, b"yesterday", "20261120", back=True)
    assert latest(store_url)["ds"] == "20261120"
    publish(store, b"today")
    assert latest(store_url)["ds"] == DS


def test_a_day_may_move_to_a_new_version_and_back(store_url):
    store = open_store(store_url)
    first = publish(store, b"1")
    second = publish(store, b"2")
    assert first != second and latest(store_url)["manifest"].startswith(second)
    assert publish(store, b"1") == first and latest(store_url)["manifest"].startswith(first)
    assert verify(f"{store_url}/{first}") == verify(f"{store_url}/{second}") == []


def test_days_published_at_once_leave_the_pointer_at_the_last_of_them(store_url):
    days = [f"202611{day}" for day in range(11, 17)]
    threads = [threading.Thread(target=publish, args=(open_store(store_url), ds.encode(), ds)) for ds in days]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert latest(store_url)["ds"] == days[-1]
    manifests = [key for key in open_store(store_url).list() if key.endswith("/manifest.json")]
    assert len(manifests) == len(days)
    assert [problem for key in manifests for problem in verify(f"{store_url}/{key}")] == []


def test_of_two_publishes_of_a_day_at_once_one_wins_and_the_other_says_so(store_url):
    publish(open_store(store_url), b"before", "20261120")
    told, both_have_looked = {}, threading.Barrier(2)

    def publish_late(text: bytes) -> None:
        store = open_store(store_url)
        swap, waits = store.swap, iter([both_have_looked.wait])

        def late(*arguments):
            for wait in waits:
                wait(20)
            return swap(*arguments)

        store.swap = late
        folder, staying = publish_and_tell(store, text)
        told[folder] = staying

    threads = [threading.Thread(target=publish_late, args=(text,)) for text in (b"one", b"two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [folder for folder, staying in told.items() if staying is None]
    (loser,) = [folder for folder, staying in told.items() if staying is not None]
    assert latest(store_url)["manifest"] == f"{winner}/manifest.json"
    version = winner.partition("/v=")[2]
    assert told[loser] == f"another publish of ds={DS} was quicker: latest.json is at its version {version}"
    assert verify(f"{store_url}/{winner}") == verify(f"{store_url}/{loser}") == []
    assert open_store(store_url).list("_staging/") == []


def test_readers_meet_whole_bundles_while_publishes_race(store_url):
    publish(open_store(store_url), b"before", "20261110")
    days = [f"202611{day}" for day in range(11, 15)]
    threads = [
        threading.Thread(target=publish, args=(open_store(store_url), text, ds)) for ds in days for text in (b"1", b"2")
    ]
    for thread in threads:
        thread.start()
    seen = []
    while any(thread.is_alive() for thread in threads):
        assert verify(store_url) == []
        seen.append(latest(store_url)["ds"])
    assert seen == sorted(seen) and latest(store_url)["ds"] == days[-1]


def test_staged_objects_of_a_publish_under_way_stay_and_those_of_a_dead_one_go(store_url, monkeypatch):
    store = open_store(store_url)
    with staging_folder(store, DS) as mine:
        store.put(f"{mine}/part", b"1")
        with staging_folder(store, DS):
            assert store.exists(f"{mine}/part")
        monkeypatch.setattr(under_way, "_machine", lambda: "another machine")
        with staging_folder(store, DS):
            assert store.exists(f"{mine}/part")
        monkeypatch.setattr(under_way, "ABANDONED_HOURS", -1)
        with staging_folder(store, DS):
            assert not store.exists(f"{mine}/part")


@pytest.mark.parametrize("lost", ["put", "move"])
def test_an_object_that_arrives_with_other_content_stops_the_publish(store_url, lost):
    store = open_store(store_url)
    publish(store, b"old")
    before = latest(store_url)
    do = getattr(store, lost)

    def damaged(key, given):
        do(key, given)
        target = given if lost == "move" else key
        if target.startswith("ds="):
            open_store(store_url).put(target, b"damaged")

    setattr(store, lost, damaged)
    with pytest.raises(release_module.BundleError, match="arrived with other content"):
        publish(store, b"new")
    assert latest(store_url) == before and verify(store_url) == []
