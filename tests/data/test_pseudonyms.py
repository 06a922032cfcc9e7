"""User ids that are pseudonymised at import, and found again by readers. No Spark."""

from __future__ import annotations

import hashlib
import hmac

import polars as pl
import pyarrow as pa
import pytest
import yaml

from jobs.data import import_files
from jobs.data.import_files import import_folder
from jobs.data.registration import load_registration
from jobs.lib.errors import SettingError, SolutionError
from jobs.lib.pseudonyms import pseudonym
from jobs.serve.user_ids import id_in, ids_among
from tests.data.imports import GOOD, HEADER, LOG, events, read, registration

SECRET = "a long and secret key of a team"
USERS = {"file": "users.csv", "roles": {"user_id": "uid", "categorical": ["city"]}}


def by_hand(user_id: str, key: str = SECRET) -> str:
    return hmac.new(key.encode(), user_id.encode(), hashlib.sha256).hexdigest()[:32]


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("RECFLOW_USER_KEY", SECRET)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "in"
    made.mkdir()
    (made / "log.csv").write_text(HEADER + GOOD + "u2,b,buy,1712937600,9.5,North\n")
    (made / "users.csv").write_text("uid,city\nu1,Rome\nu2,Oslo\nu2,Bonn\n")
    return made


def hidden(**more):
    return registration(pseudonymise={"user_id": {}}, **more)


def test_a_pseudonym_is_the_keyed_hash_of_the_id_in_32_hex_digits():
    assert pseudonym("u1", SECRET.encode()) == by_hand("u1") != by_hand("u1", "another key, as long")
    assert len(pseudonym("", SECRET.encode())) == len(pseudonym("用户" * 99, SECRET.encode())) == 32


def test_the_same_user_has_the_same_id_in_every_file_and_import(folder, key):
    rows, _ = events(folder, hidden())
    users, _ = events(folder, hidden(user=USERS), "user")
    assert set(rows["user_id"]) == set(users["user_id"]) == {by_hand("u1"), by_hand("u2")}
    again, _ = events(folder, hidden())
    assert again.equals(rows)
    plain, _ = events(folder, registration())
    same = [column for column in rows.columns if column != "user_id"]
    assert rows.sort("item_id").select(same).equals(plain.sort("item_id").select(same))


def test_numbers_are_the_text_that_they_are_written_as(folder, key):
    pl.DataFrame({"uid": [7, None], "sku": ["a", "b"], "what": ["view"] * 2, "at": [1712937599] * 2}).write_parquet(
        folder / "log.parquet"
    )
    log = {**LOG, "file": "log.parquet", "roles": {"user_id": "uid", "item_id": "sku", "event_time": "at"}}
    rows, _ = events(folder, hidden(behavior=log))
    assert rows["user_id"].to_list() == [by_hand("7")]


def test_neither_key_nor_ids_are_in_anything_that_an_import_leaves(folder, key):
    """Not in tables, nor in what is staged and quarantined, of records that are refused for any reason."""
    lines = [HEADER, GOOD, "secret-user,a,view,soon,,\n", "a,secret-user,nonsense,secret-user,,\n"]
    lines += ["secret-user,a,view,1712937599,,,,too many\n", "secret-\x00user,a,view,1712937599,,\n"]
    (folder / "log.csv").write_text("".join(lines))
    (folder / "users.csv").write_text("uid,city\nsecret-user,Rome\nsecret-user,Bonn\n")
    tally, blocks, _ = read(folder, hidden(max_quarantined=1.0))
    assert sum(tally.reasons.values()) == 4 and {b.table for b in blocks} == {"behavior", "quarantine"}
    assert {value for found in tally.examples.values() for _, value in found} == {None}
    events(folder, hidden(user=USERS, max_quarantined=1.0), "user")
    left = [file for file in folder.rglob("*") if file.is_file() and file.parent != folder]
    assert len(left) >= 3
    for file in left:
        assert b"secret-user" not in file.read_bytes() and SECRET.encode() not in file.read_bytes(), file
        if file.suffix == ".arrow":  # compressed: look at the values too
            with pa.ipc.open_file(file) as staged:
                assert "secret" not in str(staged.read_all().to_pylist())


@pytest.mark.parametrize(
    "key, message", [(None, "RECFLOW_USER_KEY is not set: user ids are"), ("short key", "is too short a key: 16 bytes")]
)
def test_an_import_without_a_key_is_refused_before_anything_is_read(folder, monkeypatch, key, message):
    monkeypatch.delenv("RECFLOW_USER_KEY", raising=False)
    if key:
        monkeypatch.setenv("RECFLOW_USER_KEY", key)
    monkeypatch.setattr(import_files, "listed", lambda *given: pytest.fail("it looked at the files"))
    with pytest.raises(SettingError, match=message) as refused:
        import_folder(hidden(), folder)
    assert "short key" not in str(refused.value)
    with pytest.raises(SettingError, match=message):  # a worker of Spark that has not got it says so too
        read(folder, hidden())


def test_a_key_that_stands_in_the_registration_itself_is_refused_and_not_shown(tmp_path):
    raw = registration(pseudonymise={"user_id": {}}).model_dump(mode="json", exclude_unset=True)
    file = tmp_path / "shop.yaml"
    for wrong in ("s3cr3t-of-the-team", "deadbeef" * 4):
        file.write_text(yaml.safe_dump(raw | {"pseudonymise": {"user_id": {"key_env": wrong}}}))
        with pytest.raises(SolutionError, match="never the key itself") as refused:
            load_registration(file)
        assert wrong not in str(refused.value)


def test_a_check_of_user_ids_is_refused_because_they_are_gone_by_then():
    check = {"name": "looks_right", "kind": "regex", "column": "user_id", "pattern": "u[0-9]+", "severity": "fail"}
    with pytest.raises(ValueError, match="'looks_right' is about user ids, which are pseudonyms by then"):
        hidden(behavior={**LOG, "checks": [check]})


class Published:
    """A bundle that knows these users."""

    def __init__(self, *users: str) -> None:
        self.users = users

    def rows(self, folder, columns, keys):
        return pa.table({"user_id": pa.array([user for user in self.users if user in keys], pa.string())})


def test_readers_find_a_user_by_the_original_id_where_the_key_is_set(monkeypatch):
    bundle = Published(by_hand("u1"), "u2", by_hand("u2"))
    assert id_in(bundle, "u1") == "u1"  # not without the key
    monkeypatch.setenv("RECFLOW_USER_KEY", SECRET)
    assert id_in(bundle, "u1") == by_hand("u1") and id_in(bundle, by_hand("u1")) == by_hand("u1")
    assert id_in(bundle, "u2") == "u2" and id_in(bundle, "u3") == "u3"


def test_lines_of_a_batch_are_answered_by_the_original_id_too(monkeypatch):
    known = pa.array([by_hand("u1"), "u2"], pa.string())
    lines = [{"userId": "u1", "itemList": ["a"]}, {"userId": "u2"}, {"userId": "u3"}]
    assert ids_among(known, lines) == lines
    monkeypatch.setenv("RECFLOW_USER_KEY", SECRET)
    assert ids_among(known, lines) == [{"userId": by_hand("u1"), "itemList": ["a"]}, *lines[1:]]
    assert ids_among(known, []) == [] and lines[0]["userId"] == "u1"
