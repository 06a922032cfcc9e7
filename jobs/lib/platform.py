"""The embedded Airflow of one installation: start, stop, status. Its home is RECFLOW_HOME/airflow.

SQLite, LocalExecutor, one scheduler, bound to 127.0.0.1: for one machine. All of it is configured by the file that
`write_config` makes, so `AIRFLOW_HOME=.recflow/airflow airflow ...` by hand talks to the same Airflow.
"""

from __future__ import annotations

import base64
import configparser
import contextlib
import fcntl
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from jobs.lib import driver
from jobs.lib.errors import RecflowError
from jobs.lib.settings import PROJECT_ROOT, settings

START_SEC = 180
STOP_SEC = 30
COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


class PlatformError(RecflowError):
    """Airflow does not start, or is not in the state that was asked for."""


def start(port: int = 8080, say: Callable[[str], None] = print) -> str:
    """Start Airflow in the background and wait until it is healthy. Returns its address.

    Raises PlatformError when one is already running on this home, when the port is taken, or when it does not come up.
    """
    began = time.monotonic()
    home = _home()
    lock = _take_lock(home)
    try:
        _refuse_taken_port(port)
        write_config(home, port)
        os.truncate(lock, 0)
        supervisor = _launch(home, port, lock)
    finally:
        os.close(lock)  # the supervisor holds it from here on
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_healthy(address, supervisor, _supervisor_log(home), say)
    except BaseException:
        supervisor.terminate()
        raise
    name, password = credentials()
    say(f"Airflow is up after {time.monotonic() - began:.0f} s: {address}  login {name} / {password}")
    return address


def stop(say: Callable[[str], None] = print) -> bool:
    """Stop Airflow and idle Spark drivers, and wait until nothing of it is left. False when none was running."""
    driver.stop_all()
    if (running := is_running()) is None:
        say("Airflow is not running")
        return False
    say(f"stopping Airflow at {running['address']} (pid {running['pid']})")
    with contextlib.suppress(ProcessLookupError):
        os.kill(running["pid"], 15)
    deadline = time.monotonic() + STOP_SEC
    while is_running():
        if time.monotonic() > deadline:
            raise PlatformError(f"Airflow has not ended after {STOP_SEC} s; see {_supervisor_log(_home())}")
        time.sleep(0.1)
    driver.stop_all()
    say("stopped")
    return True


def is_running() -> dict | None:
    """{pid, address} of the Airflow of this home, or None. The lock decides, so a stale file misleads nobody."""
    lock = _open_lock(_home())
    try:
        while not _try_lock(lock):
            if state := os.pread(lock, 1000, 0):  # written by the supervisor in the first moments of its life
                return json.loads(state)
            time.sleep(0.05)
        return None
    finally:
        os.close(lock)


def credentials() -> tuple[str, str]:
    """User and password of the UI and API; kept in RECFLOW_HOME/airflow/passwords.json, readable by its owner only."""
    [(name, password)] = json.loads((_home() / "passwords.json").read_text()).items()
    return name, password


def write_config(home: Path, port: int) -> None:
    """Write airflow.cfg, keeping its keys, and a password if there is none yet."""
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
        "dag_processor": {"min_file_process_interval": "15", "refresh_interval": "15", "parsing_processes": "1"},
    }


def _launch(home: Path, port: int, lock: int) -> subprocess.Popen:
    logs = home / "logs"
    logs.mkdir(exist_ok=True)
    for log in logs.glob("*.log"):
        log.replace(log.with_suffix(".log.previous"))
    os.set_inheritable(lock, True)
    with _supervisor_log(home).open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.lib.supervisor", str(logs), str(port), str(lock)],
            env=_environment(home),
            cwd=home,
            pass_fds=[lock],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _environment(home: Path) -> dict[str, str]:
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


def _wait_healthy(address: str, supervisor: subprocess.Popen, log: Path, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + START_SEC
    shown: set[str] = set()
    while True:
        for line in log.read_text().splitlines():
            if line not in shown:
                say(f"  {line}")
                shown.add(line)
        if supervisor.poll() is not None:
            raise PlatformError(f"Airflow did not start; see {log}")
        healthy = _healthy(address)
        if healthy == set(COMPONENTS):
            return
        if time.monotonic() > deadline:
            waiting = ", ".join(sorted(set(COMPONENTS) - healthy))
            raise PlatformError(f"Airflow is not up after {START_SEC} s (waiting for {waiting}); logs: {log.parent}")
        time.sleep(0.25)


def _healthy(address: str) -> set[str]:
    try:
        with urllib.request.urlopen(f"{address}/api/v2/monitor/health", timeout=5) as answer:
            health = json.load(answer)
    except (OSError, ValueError):
        return set()
    return {name for name in COMPONENTS if (health.get(name) or {}).get("status") == "healthy"}


def _take_lock(home: Path) -> int:
    lock = _open_lock(home)
    while not _try_lock(lock):
        if running := is_running():
            os.close(lock)
            raise PlatformError(f"already running at {running['address']} (pid {running['pid']})")
    return lock


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open_lock(home: Path) -> int:
    home.mkdir(parents=True, exist_ok=True)
    return os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise PlatformError(f"port {port} of 127.0.0.1 is taken; choose another with --port") from None


def _private(path: Path):
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w")


def _supervisor_log(home: Path) -> Path:
    return home / "logs" / "supervisor.log"


def _home() -> Path:
    return settings().home / "airflow"
