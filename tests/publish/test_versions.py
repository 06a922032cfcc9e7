"""What is kept, pinned, removed and gone back to; and that whoever does it meanwhile, readers meet a whole bundle."""

from __future__ import annotations

import itertools
import shutil
import threading

import pytest

from jobs.lib import cli
from jobs.lib.object_store import open_store
from jobs.publish import under_way
from jobs.publish.bundle import BundleError, latest, verify
from jobs.publish.under_way import staging_folder
from jobs.publish.versions import all_versions, collect_garbage, pin, roll_back, unpin
from tests.publish.test_release import Killed, dying_at, publish, publish_and_tell

DAYS = ["20261118", "20261119", "20261120", "20261121"]
CALLS = ("put", "put_file", "get", "exists", "size", "list", "stored", "move", "delete", "swap", "reported_sha256")


@pytest.fixture
def store(store_url):
    return open_store(store_url)


@pytest.fixture
def folders(store):
    """The bundle of each day, oldest first."""
    return [publish(store, ds.encode(), ds) for ds in DAYS]


def version_of(folder: str) -> str:
    return folder.partition("/v=")[2]


def there(store) -> set[str]:
    return {v.folder for v in all_versions(store)}


def test_every_version_is_listed_newest_first(store, folders):
    again = publish(store, b"corrected", DAYS[1])
    pin(store, DAYS[0], "the year's best")
    found = all_versions(store)
    assert [v.ds for v in found] == [DAYS[3], DAYS[2], DAYS[1], DAYS[1], DAYS[0]]
    assert {v.folder for v in found[2:4]} == {again, folders[1]}  # storage tells times in seconds
    assert [v.is_latest for v in found] == [True, False, False, False, False]
    assert [v.is_pinned for v in found] == [False, False, False, False, True]
    size = sum(store.size(key) for key in store.list(f"{again}/"))
    assert [v.bytes for v in found if v.folder == again] == [size]
    assert all(v.published > 1.7e9 for v in found)


def test_the_newest_the_pinned_and_the_one_readers_follow_stay(store, folders):
    roll_back(store, DAYS[1])
    pin(store, version_of(folders[0]), "")
    older = publish(store, b"older", "20261117")
    assert [(r.folder, r.kept) for r in collect_garbage(store, 2, dry_run=True)] == [(older, None)]
    assert older in there(store)
    [removed] = collect_garbage(store, 2)
    assert (removed.folder, removed.kept) == (older, None) and removed.bytes > 0
    assert there(store) == set(folders)
    assert [verify(f"{store.root}/{folder}") for folder in folders] == [[]] * 4
    unpin(store, folders[0])
    assert [r.folder for r in collect_garbage(store, 2)] == [folders[0]]
    assert collect_garbage(store, 2) == [] and latest(store.root)["ds"] == DAYS[1]


def test_a_day_with_a_publish_under_way_is_left_alone(store, folders):
    with staging_folder(store, DAYS[0]) as staging:
        store.put(f"{staging}/part", b"1")
        found = {r.folder: r.kept for r in collect_garbage(store, 2)}
        assert found == {folders[0]: f"a publish of ds={DAYS[0]} is under way", folders[1]: None}
        assert store.exists(f"{staging}/part")
    assert there(store) == {folders[0], *folders[2:]}


def test_what_the_dead_left_behind_goes(store, folders, monkeypatch):
    store.put("ds=20261101/v=c-half/recall/hot/part-00000.bin", b"1")
    store.put("_staging/ds=20261103/abc/part", b"1")
    with pytest.raises(Killed):
        publish(dying_at(open_store(store.root), 4), b"new", "20261102")
    (in_half,) = there(store) - {*folders, "ds=20261101/v=c-half"}
    found = {r.folder: r.kept for r in collect_garbage(store, 4)}
    assert found == {"ds=20261101/v=c-half": None, in_half: "a publish of ds=20261102 is under way"}
    assert {key.split("/")[1] for key in store.list("_staging/")} == {"ds=20261102", "ds=20261103"}
    monkeypatch.setattr(under_way, "_runs", lambda pid: False)
    monkeypatch.setattr(under_way, "ABANDONED_HOURS", -1)
    collect_garbage(store, 4)
    assert there(store) == set(folders) and store.list("_") == []


def test_going_back_takes_the_next_older_or_the_one_asked_for_and_says_what_it_was(store, folders):
    was, now = roll_back(store)
    assert (was["version"], now.folder) == (version_of(folders[3]), folders[2])
    assert latest(store.root)["version"] == now.version
    assert roll_back(store)[1].folder == folders[1]
    assert roll_back(store, folders[3])[1].folder == folders[3]
    roll_back(store, DAYS[0])
    with pytest.raises(BundleError, match=f"no bundle older than ds={DAYS[0]}"):
        roll_back(store)
    assert store.list("_staging/") == []


def test_nobody_goes_back_to_what_is_not_there_or_not_whole(store, folders):
    store.delete(f"{folders[2]}/fallback/none.json")
    for wanted, said in ((None, "is not whole: fallback/none.json"), ("c-0", "no bundle 'c-0'")):
        with pytest.raises(BundleError, match=said):
            roll_back(store, wanted)
    publish(store, b"again", DAYS[1])
    with pytest.raises(BundleError, match=f"has 2 bundles of {DAYS[1]}"):
        roll_back(store, DAYS[1])
    with pytest.raises(BundleError, match="no bundle '20200101'"):
        pin(store, "20200101", "")
    with pytest.raises(BundleError, match="is not pinned"):
        unpin(store, DAYS[0])
    assert latest(store.root)["ds"] == DAYS[3] and store.list("_pins/") == []


def test_who_goes_back_while_the_pointer_moves_is_told(store, folders):
    swap = store.swap

    def late(*arguments):
        publish(open_store(store.root), b"newer", "20261122")
        return swap(*arguments)

    store.swap = late
    with pytest.raises(BundleError, match="moved by someone else meanwhile"):
        roll_back(store)
    assert latest(store.root)["ds"] == "20261122"


ACTS = {
    "gc": lambda store: collect_garbage(store, 2),
    "rollback to the oldest": lambda store: roll_back(store, DAYS[0]),
    "publish the oldest again": lambda store: publish_and_tell(store, DAYS[0].encode(), DAYS[0], back=True),
    "pin the oldest": lambda store: pin(store, DAYS[0], ""),
}
PAIRS = [(a, b) for a in ACTS for b in ACTS if "gc" in (a, b)]


@pytest.fixture(scope="module")
def three_days(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three_days")
    for ds in (DAYS[0], *DAYS[2:]):
        publish(open_store(str(folder)), ds.encode(), ds)
    return folder


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_whatever_comes_between_any_two_requests_readers_and_pins_hold(three_days, tmp_path, first, second):
    """The second is done as a whole before the n-th request of the first, for every n."""
    for nth in itertools.count(1):
        store, ended = open_store(shutil.copytree(three_days, tmp_path / f"{nth}")), []
        asked = interrupted(store, nth, lambda root=store.root, ended=ended: attempt(second, open_store(root), ended))
        attempt(first, store, ended)
        if len(asked) < nth:
            break
        assert verify(store.root) == [], nth
        pinned = [key.removeprefix("_pins/") for key in store.list("_pins/")]
        assert [problem for folder in pinned for problem in verify(f"{store.root}/{folder}")] == [], nth
        assert store.list("_staging/") == store.list("_removing/") == []
        assert None in ended, "at least one of two gets what it wants"
    assert nth > 5


def interrupted(store, nth: int, act) -> list[str]:
    """The store does something else before its n-th request. What is returned fills with its requests."""
    asked, one_by_one = [], threading.RLock()

    def interrupting(name, do):
        def call(*arguments):
            with one_by_one:
                asked.append(name)
                if len(asked) == nth:
                    act()
            return do(*arguments)

        return call

    for name in CALLS:
        setattr(store, name, interrupting(name, getattr(store, name)))
    return asked


def attempt(act: str, store, ended: list) -> None:
    """ended: None, or what it was refused with."""
    try:
        ACTS[act](store)
    except BundleError as error:
        ended.append(str(error))
    else:
        ended.append(None)


def test_clean_ups_publishes_and_moves_at_once_do_no_harm(store, folders):
    def often(act: str) -> None:
        for _ in range(3):
            attempt(act, open_store(store.root), [])

    threads = [threading.Thread(target=often, args=(act,)) for act in (*ACTS, "gc")]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert verify(store.root) == []
    assert verify(store.root) == []
    assert store.list("_staging/") == store.list("_removing/") == []


@pytest.mark.parametrize("step", [1, 3, 4])
def test_a_clean_up_that_dies_harms_no_reader_and_the_next_completes(store, folders, monkeypatch, step):
    monkeypatch.setattr(under_way, "_runs", lambda pid: False)
    with pytest.raises(Killed):
        collect_garbage(dying_at(open_store(store.root), step), 2)
    assert [verify(f"{store.root}/{v.folder}") for v in all_versions(store) if v.published] in ([[]] * 3, [[]] * 4)
    collect_garbage(store, 2)
    assert there(store) == set(folders[2:]) and store.list("_removing/") == []
    assert publish(store, DAYS[0].encode(), DAYS[0]) == folders[0]
    assert verify(f"{store.root}/{folders[0]}") == []


def test_a_removal_under_way_is_told_to_who_wants_the_version(store, folders):
    with under_way.removing(store, DAYS[0], version_of(folders[0])):
        for act in ("rollback to the oldest", "publish the oldest again", "pin the oldest"):
            with pytest.raises(BundleError, match="is being removed by `recflow bundle gc`"):
                ACTS[act](store)
    assert store.list("_pins/") == [] and latest(store.root)["ds"] == DAYS[3]


def test_the_command(store, folders, capsys):
    def recflow(*words: str) -> str:
        status = cli.main(["bundle", *words])
        out = capsys.readouterr()
        return out.out if status == 0 else out.err

    at = ("--address", store.root)
    recflow("pin", version_of(folders[0]), "--why", "before the sale", *at)
    lines = recflow("list", *at).splitlines()
    assert [line.split()[0] for line in lines] == [store.root, "ds", *reversed(DAYS)]
    assert lines[2].endswith("latest") and lines[5].endswith("pinned before the sale")
    assert recflow("gc", "--keep", "2", "--dry-run", *at).startswith(f"{folders[1]}: would go, 0.0 MB\n")
    assert recflow("gc", "--keep", "2", *at).startswith(f"{folders[1]}: removed, 0.0 MB\n{store.root}: 1 removed")
    assert recflow("gc", "--keep", "1", *at).startswith("recflow: error: --keep is 1; at least 2")
    assert recflow("gc", *at) == f"{store.root}: 0 removed, 0.0 MB\n"
    now, was = (f"ds={folder[3:11]} {version_of(folder)}" for folder in folders[2:])
    assert recflow("rollback", *at) == f"{store.root}: readers follow {now}; it was {was}\n"
    assert recflow("unpin", DAYS[0], *at).endswith("not pinned any more\n")
    assert recflow("verify", store.root) == f"{store.root}: it holds\n"


def test_a_day_whose_bundle_was_collected_is_known_to_have_been_published(store, folders):
    collect_garbage(store, 2)
    assert store.list("_collected/") == [f"_collected/ds={ds}" for ds in DAYS[:2]]
