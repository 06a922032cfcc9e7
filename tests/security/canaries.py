"""Secrets that are told apart wherever they turn up, and the search for them."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import polars as pl

NAMES = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "RECFLOW_USER_KEY", "POSTGRES_PASSWORD",
    "RECFLOW_UI_PASSWORD", "AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET",
)  # fmt: skip
IN_CONNECTION = "canary-47-of-the-connection"
# What a day's processes are given by environment.
CANARIES = {name: f"canary-{number}-of-{name.lower()}" for number, name in enumerate(NAMES, start=10)}
CANARIES["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"postgresql+psycopg2://airflow:{IN_CONNECTION}@nowhere/airflow"


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
