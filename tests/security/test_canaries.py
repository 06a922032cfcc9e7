"""No secret is in what recflow writes or says. What a whole day through Airflow writes: tests/e2e/test_flow.py."""

from __future__ import annotations

import gzip
import logging
import socket

import polars as pl
import pytest

from infra import lint
from jobs.deploy import package
from jobs.lib import s3_client
from jobs.lib.airflow_config import environment, write_config
from jobs.lib.cli import main
from jobs.lib.pseudonyms import user_key
from jobs.lib.settings import PROJECT_ROOT
from tests.security.canaries import CANARIES, IN_CONNECTION, files_with


@pytest.fixture
def planted(warehouse, monkeypatch):
    for name, secret in CANARIES.items():
        monkeypatch.setenv(name, secret)
    s3_client._client.cache_clear()
    yield warehouse
    s3_client._client.cache_clear()


def test_a_canary_is_found_wherever_it_is(tmp_path):
    secret, name = CANARIES["AWS_SECRET_ACCESS_KEY"], "AWS_SECRET_ACCESS_KEY"
    (tmp_path / "a.log").write_text(f"key={secret}")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(secret.encode()))
    (tmp_path / "c.zip").write_bytes(package.zipped({"c": secret.encode()}))
    pl.DataFrame({"a": [secret]}).write_parquet(tmp_path / "d.parquet")
    (tmp_path / "e.log").write_text(IN_CONNECTION)
    found = files_with(tmp_path, CANARIES)
    assert sorted(found[name]) == ["a.log", "b.jsonl.gz", "c.zip", "d.parquet"]
    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == ["e.log"]


def test_a_package_holds_no_file_of_secrets(tmp_path):
    for folder in package.FOLDERS:
        (tmp_path / folder / ".secrets").mkdir(parents=True)
        for name in (".env", ".secrets/key"):
            (tmp_path / folder / name).write_text(CANARIES["AWS_SECRET_ACCESS_KEY"])
    for name in package.BESIDE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / ".env").write_text(CANARIES["POSTGRES_PASSWORD"])
    (tmp_path / "solution.yaml").write_text("a: 1")
    made = package.zipped(package.contents(tmp_path / "solution.yaml", tmp_path))
    assert b"canary" not in made and b"solution.yaml" in made


def test_errors_of_storage_name_no_secret(planted, monkeypatch, capsys, caplog):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("RECFLOW_S3_PATIENCE_SEC", "0")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("RECFLOW_PUBLISH", "s3://lists/published")
    with caplog.at_level(logging.DEBUG, logger="recflow"):
        assert main(["bundle", "list"]) == 1
    said = capsys.readouterr().err + caplog.text
    assert "lists" in said and "canary" not in said


def test_an_error_about_the_key_of_pseudonyms_does_not_show_it(planted, monkeypatch):
    monkeypatch.setenv("RECFLOW_USER_KEY", "canary-short")
    with pytest.raises(Exception) as error:
        user_key()
    assert "canary" not in str(error.value)


def test_the_secrets_of_another_airflow_do_not_reach_the_embedded_one(planted):
    home = planted / "airflow"
    write_config(home, 8080)
    assert not [name for name, value in environment(home).items() if name.startswith("AIRFLOW__") and "canary" in value]
    assert files_with(home, CANARIES) == {}
    private = {file.name: oct(file.stat().st_mode & 0o777) for file in home.iterdir() if file.is_file()}
    assert private == {"airflow.cfg": "0o600", "passwords.json": "0o600"}


@pytest.mark.parametrize("line", [
    "AKIA" + "ABCDEFGHIJKLMNOP", "-----BEGIN RSA " + "PRIVATE KEY-----", "ghp_" + "a" * 36,
    "aws_secret_access_key = '" + "wJalrXUtnFEMIK7MDENGbPxRfi" + "'", 'password: "' + "a1b2c3d4e5f6a7b8c9" + '"',
])  # fmt: skip
def test_what_looks_like_a_secret_is_refused_in_the_repository(monkeypatch, tmp_path, line):
    (tmp_path / "a.txt").write_text(line)
    monkeypatch.setattr(lint, "ROOT", tmp_path)
    monkeypatch.setattr(lint, "tracked", lambda: [tmp_path / "a.txt"])
    assert lint.forbidden().startswith("a.txt:1: a secret")


def test_the_example_of_settings_is_empty():
    lines = (PROJECT_ROOT / ".env.example").read_text().splitlines()
    filled = [
        line for line in lines if line.partition("=")[2] and ("KEY" in line or "PASSWORD" in line or "SECRET" in line)
    ]
    assert [line for line in filled if not line.startswith("#")] == []
