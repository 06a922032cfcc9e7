"""The configuration of the embedded Airflow: airflow.cfg in its home, and the environment of its processes."""

from __future__ import annotations

import base64
import configparser
import json
import os
import secrets
from pathlib import Path
from typing import TextIO

from jobs.lib.settings import PROJECT_ROOT, settings

BUNDLES = [{"name": "recflow", "classpath": "flowlib.bundle.DeployedBundle", "kwargs": {}}]


def write_config(home: Path, port: int) -> None:
    """Write airflow.cfg, keeping its keys, and a password if there is none yet. Both are for their owner's eyes."""
    home.mkdir(parents=True, exist_ok=True)
    config = configparser.RawConfigParser()
    config.read(home / "airflow.cfg")
    old = {section: dict(config[section]) for section in config.sections()}
    new = _options(home, port)
    fernet = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    for section, key, value in (
        ("core", "fernet_key", fernet),
        ("api", "secret_key", secrets.token_hex(16)),
        ("api_auth", "jwt_secret", secrets.token_hex(32)),
    ):
        new.setdefault(section, {})[key] = old.get(section, {}).get(key, value)
    config = configparser.RawConfigParser()
    config.read_dict({section: {k: v.replace("%", "%%") for k, v in keys.items()} for section, keys in new.items()})
    with _private(home / "airflow.cfg") as file:
        file.write("# Written by `recflow ui` at each start.\n")
        config.write(file)
    if not (home / "passwords.json").exists():
        with _private(home / "passwords.json") as file:
            json.dump({"admin": secrets.token_urlsafe(9)}, file)


def _options(home: Path, port: int) -> dict[str, dict[str, str]]:
    return {
        "core": {
            "dags_folder": str(PROJECT_ROOT / "dags"),
            "plugins_folder": str(PROJECT_ROOT / "dags" / "flowlib" / "plugins"),
            "executor": "LocalExecutor",
            "parallelism": "4",  # jobs run one at a time (pool); the rest is for anchors
            "load_examples": "False",
            "simple_auth_manager_users": "admin:admin",
            "simple_auth_manager_passwords_file": str(home / "passwords.json"),
            "execution_api_server_url": f"http://127.0.0.1:{port}/execution/",
        },
        "database": {"sql_alchemy_conn": f"sqlite:///{home}/airflow.db?timeout=30"},
        "logging": {"base_log_folder": str(home / "logs")},
        "api": {"host": "127.0.0.1", "port": str(port), "base_url": f"http://127.0.0.1:{port}", "workers": "1"},
        # A flow of 20 nodes pays the scheduler's pauses 20 times.
        "scheduler": {"scheduler_idle_sleep_time": "0.2", "task_instance_heartbeat_timeout": "90"},
        "dag_processor": {
            "dag_bundle_config_list": json.dumps(BUNDLES),
            "dag_bundle_storage_path": str(home / "bundles"),
            "min_file_process_interval": "60",
            "refresh_interval": "15",
            "parsing_processes": "1",
        },
    }


def environment(home: Path) -> dict[str, str]:
    """Ours, without settings meant for another Airflow, and with addresses that hold in any working folder."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW_")}
    config = settings()
    path = [str(PROJECT_ROOT), str(PROJECT_ROOT / "dags"), *filter(None, [os.environ.get("PYTHONPATH")])]
    ours = {
        "AIRFLOW_HOME": str(home),
        "RECFLOW_HOME": str(config.home),
        "RECFLOW_WAREHOUSE": config.warehouse,
        "RECFLOW_PUBLISH": config.publish,
        "PYTHONPATH": os.pathsep.join(path),
    }
    if solution := os.environ.get("RECFLOW_SOLUTION"):
        ours["RECFLOW_SOLUTION"] = str(Path(solution).absolute())
    return kept | ours


def _private(path: Path) -> TextIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w")
