"""Secrets that are told apart wherever they turn up, and the search for them."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import polars as pl

# What a day's processes are given by environment.
CANARIES = {
    "AWS_ACCESS_KEY_ID": "canary-access-key-id-4711",
    "AWS_SECRET_ACCESS_KEY": "canary-secret-access-key-4712",
    "AWS_SESSION_TOKEN": "canary-session-token-4713",
    "RECFLOW_USER_KEY": "canary-key-of-pseudonyms-4714",
    "POSTGRES_PASSWORD": "canary-postgres-password-4715",
    "RECFLOW_UI_PASSWORD": "canary-ui-password-4716",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://airflow:canary-of-the-connection-4717@nowhere/airflow",
    "AIRFLOW__CORE__FERNET_KEY": "canary-fernet-key-4718",
    "AIRFLOW__API_AUTH__JWT_SECRET": "canary-jwt-secret-4719",
}


def files_with(folder: Path, secrets: dict[str, str]) -> dict[str, list[str]]:
    """Name of a secret -> files that hold it, in any of its forms: as it is, in an archive, among a table's values."""
    found: dict[str, list[str]] = {}
    for file in (f for f in folder.rglob("*") if f.is_file() and not f.is_symlink()):
        text = _content(file)
        for name, secret in secrets.items():
            if secret.rpartition(":")[2].partition("@")[0].encode() in text:
                found.setdefault(name, []).append(str(file.relative_to(folder)))
    return found


def _content(file: Path) -> bytes:
    if file.suffix == ".gz":
        return gzip.decompress(file.read_bytes())
    if file.suffix == ".zip":
        with zipfile.ZipFile(file) as archive:
            return b"".join(archive.read(name) for name in archive.namelist())
    if file.suffix == ".parquet":
        return file.read_bytes() + str(pl.read_parquet(file, hive_partitioning=False).rows()).encode()
    return file.read_bytes()
