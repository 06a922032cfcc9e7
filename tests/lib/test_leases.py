import logging
import tempfile
import threading
import time
from pathlib import Path

import pytest

from jobs.lib import leases
from jobs.lib.errors import WriterError
from jobs.lib.object_store import StoreError, open_store
from tests.lib.stores import s3_server, store_url, versitygw  # noqa: F401

KEY = "_writers/hot.json"


@pytest.fixture
def home(tmp_path):
    """Folders of locks, each as another machine's."""
    return lambda: Path(tempfile.mkdtemp(dir=tmp_path))


@pytest.fixture
def quick(monkeypatch):
    for name, seconds in (("BEAT_SEC", 0.05), ("DEAD_SEC", 0.6), ("LOOK_SEC", 0.02)):
        monkeypatch.setattr(leases, name, seconds)


@pytest.fixture
def store(store_url):  # noqa: F811
    return open_store(store_url)


def test_of_many_writers_one_is_at_work_at_a_time_and_each_gets_its_turn(store, quick, home):
    inside, most, done = [], [], []

    def work(name):
        with leases.lease(store, "hot", home()):
            inside.append(name)
            most.append(len(inside))
            time.sleep(0.05)
            inside.remove(name)
        done.append(name)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (sorted(done), set(most), store.get(KEY)) == ([0, 1, 2, 3, 4], {1}, leases.FREE)


def test_who_is_alive_keeps_the_table_however_long_it_takes(store, quick, home, caplog):
    caplog.set_level(logging.INFO, "recflow")
    got = threading.Event()

    def second():
        with leases.lease(store, "hot", home()):
            got.set()

    with leases.lease(store, "hot", home()):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not got.wait(1.5)  # more than twice as long as the dead are waited for
    assert got.wait(10)
    waiting.join()
    assert "hot is being written by pid" in caplog.text and "taken over" not in caplog.text


def test_the_table_of_a_dead_writer_is_taken_over(store, quick, home, caplog):
    store.put(KEY, b'{"host": "far", "pid": 7, "id": "x", "beat": 3}')
    with leases.lease(store, "hot", home()):
        assert b"far" not in store.get(KEY)
    assert "hot: pid 7 on far does not live any more: taken over" in caplog.text


def test_what_a_killed_process_of_this_home_left_is_taken_over_at_once(store, tmp_path, caplog):
    with leases.lease(store, "hot", tmp_path):
        left = store.get(KEY)
    store.put(KEY, left)
    began = time.monotonic()
    with leases.lease(store, "hot", tmp_path):
        assert time.monotonic() - began < leases.DEAD_SEC / 4
    assert "does not live any more: taken over" in caplog.text


def test_a_writer_that_was_taken_for_dead_is_told(store, quick, home):
    told = "^hot: was taken over by pid 8 on near while this ran; run it again$"
    with pytest.raises(WriterError, match=told), leases.lease(store, "hot", home()):
        store.put(KEY, b'{"host": "near", "pid": 8, "id": "y", "beat": 0}')
        time.sleep(0.2)
    assert b"near" in store.get(KEY)


def test_a_storage_in_trouble_costs_the_others_a_wait_and_the_holder_nothing(store, quick, home, monkeypatch, caplog):
    def broken(*_):
        raise StoreError("s3://b/x: 503")

    with leases.lease(store, "hot", home()):
        monkeypatch.setattr(store, "swap", broken)
        time.sleep(0.2)
    monkeypatch.undo()
    assert "hot: its lease could not be renewed: s3://b/x: 503" in caplog.text


def test_a_beat_whose_answer_got_lost_is_no_loss(store, quick, home, monkeypatch, caplog):
    swap, lost = store.swap, []

    def unanswered(key, expected, new):
        swap(key, expected, new)
        if not lost:
            lost.append(new)
            raise StoreError("no answer")

    with leases.lease(store, "hot", home()):
        monkeypatch.setattr(store, "swap", unanswered)
        time.sleep(0.4)
        assert lost and store.get(KEY) != lost[0]  # it went on counting
    assert store.get(KEY) == leases.FREE and "taken it over" not in caplog.text


def test_silence_of_the_storage_is_no_sign_of_the_holders_death(store, quick, home, monkeypatch):
    store.put(KEY, b'{"host": "far", "pid": 7, "id": "x", "beat": 3}')
    get, looks = store.get, []

    def slow(key):
        looks.append(time.monotonic())
        if len(looks) == 2:
            time.sleep(2 * leases.DEAD_SEC)
        return get(key)

    monkeypatch.setattr(store, "get", slow)
    with leases.lease(store, "hot", home()):
        assert time.monotonic() - looks[2] > leases.DEAD_SEC / 2


def test_the_works_own_error_is_the_one_that_is_told(store, quick, home):
    with pytest.raises(ValueError, match="broken"), leases.lease(store, "hot", home()):
        store.put(KEY, b'{"host": "near", "pid": 8, "id": "y", "beat": 0}')
        raise ValueError("broken")
