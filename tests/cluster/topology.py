"""The services of docker-compose.yml as processes of this machine: the file's own commands and environments.

Taken from the file: commands, environments, the order of start. Put in by us: what containers would bring, that is
programs, addresses and folders. Images, limits and health checks are not tried by this.
"""

from __future__ import annotations

import base64
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from jobs.lib.settings import PROJECT_ROOT, settings

NEEDED = (
    "POSTGRES_PASSWORD AIRFLOW_SECRET_KEY AIRFLOW_JWT_SECRET RECFLOW_UI_PASSWORD SPARK_SECRET AWS_SECRET_ACCESS_KEY"
)
SECRETS = {name: secrets.token_hex(32) for name in NEEDED.split()} | {
    "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
}
LEFT_OUT = ("AWS_", "AIRFLOW_", "RECFLOW_", "SPARK_", "PYSPARK_")  # of this process's own environment


class Cluster:
    """The stack over one folder. Its services are started by name, and killed by name."""

    def __init__(self, folder: Path, solution: Path) -> None:
        self.folder, self._running = folder, {}
        ports = dict(zip(("postgres", "storage", "spark-master", "api-server"), _free_ports(4), strict=True))
        self.ui, self._ports = f"http://127.0.0.1:{ports['api-server']}", ports
        text = (PROJECT_ROOT / "docker-compose.yml").read_text(encoding="utf-8")
        given = SECRETS | {"AWS_ACCESS_KEY_ID": "cluster", "AWS_ENDPOINT_URL": "http://storage:7070"}
        self._services = yaml.safe_load(_interpolated(text, given))["services"]
        self._given = given
        self._extra = {
            "RECFLOW_SOLUTION": str(solution),
            "AIRFLOW_HOME": str(folder / "airflow"),  # these two and PATH are the image's
            "RECFLOW_HOME": str(folder / "data"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "SPARK_LOCAL_IP": "127.0.0.1",  # no names of containers here
            "PYSPARK_PYTHON": sys.executable,
        }
        (folder / "airflow").mkdir(parents=True)
        (folder / "logs").mkdir()
        (folder / "storage").mkdir()

    def environment(self, service: str) -> dict[str, str]:
        """Of a service's container, with this machine's addresses."""
        declared = self._services[service].get("environment", {})
        known = {name: self._given.get(name) if value is None else str(value) for name, value in declared.items()}
        ours = {name: self._local(value) for name, value in known.items() if value is not None}
        kept = {name: v for name, v in os.environ.items() if not name.startswith(LEFT_OUT)}
        return kept | ours | self._extra

    def start_all(self) -> None:
        """In the order that the file asks for."""
        self._start_postgres()
        self.start("storage", [_versitygw(), *self._services["storage"]["command"]])
        self._wait("storage", lambda: _answers(self._ports["storage"]))
        self.run("init", *self._services["init"]["command"])
        self.start("spark-master")
        self._wait("spark-master", lambda: _answers(self._ports["spark-master"]))
        for number in range(self._services["spark-worker"]["deploy"]["replicas"]):
            self.start_worker(number)
        for name in ("api-server", "scheduler", "dag-processor", "triggerer"):
            self.start(name)

    def start_worker(self, number: int) -> None:
        work = str(self.folder / f"worker-{number}")
        local = [work if part == "/tmp/spark" else part for part in self._services["spark-worker"]["command"]]
        self.start(f"spark-worker-{number}", local, "spark-worker")

    def start(self, name: str, command: list[str] | None = None, service: str | None = None) -> None:
        service = service or name
        command = [self._local(part) for part in command or self._services[service]["command"]]
        if name == "api-server":
            command += ["--host", "127.0.0.1", "--port", str(self._ports[name])]
        with (self.folder / "logs" / f"{name}.log").open("ab") as output:
            self._running[name] = subprocess.Popen(
                command,
                env=self.environment(service),
                cwd=PROJECT_ROOT,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def run(self, service: str, *command: str) -> str:
        """What a command says in a service's container. Fails with all of it when it does not end with 0."""
        done = subprocess.run(command, env=self.environment(service), cwd=PROJECT_ROOT, capture_output=True, text=True)
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def kill(self, name: str) -> None:
        """kill -9 of a service and all that it has started."""
        process = self._running.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop_all(self) -> None:
        subprocess.run(["pkill", "-9", "-f", f"jobs.lib.driver_server {self.folder}"], check=False)
        for name in reversed(list(self._running)):
            self.kill(name)

    def refuse_dead(self) -> None:
        for name, process in self._running.items():
            assert process.poll() is None, f"{name} has ended; see {self.folder / 'logs' / name}.log"

    def _start_postgres(self) -> None:
        """It refuses to run as root: then Debian's own account for it is taken."""
        programs, data = _postgres(), self.folder / "postgres"
        data.mkdir()
        user = {}
        if os.getuid() == 0:
            account = pwd.getpwnam("postgres")
            user = {"user": account.pw_uid, "group": account.pw_gid}
            os.chown(data, account.pw_uid, account.pw_gid)
        secret = data.parent / "postgres-password"
        secret.write_text(SECRETS["POSTGRES_PASSWORD"])
        secret.chmod(0o644)  # of a folder that goes with the test
        auth = ["--auth=scram-sha-256", f"--pwfile={secret}", "--username=airflow"]
        initdb = [programs / "initdb", *auth, data / "db"]
        subprocess.run(initdb, check=True, cwd=data, stdout=subprocess.DEVNULL, **user)
        secret.unlink()
        port = str(self._ports["postgres"])
        with (self.folder / "logs" / "postgres.log").open("ab") as output:
            command = [programs / "postgres", "-D", data / "db", "-p", port, "-h", "127.0.0.1", "-k", data]
            self._running["postgres"] = subprocess.Popen(
                command, cwd=data, stdout=output, stderr=output, start_new_session=True, **user
            )
        self._wait("postgres", lambda: _answers(self._ports["postgres"]))
        login = {**os.environ, "PGPASSWORD": SECRETS["POSTGRES_PASSWORD"]}
        create = [programs / "createdb", "-h", "127.0.0.1", "-p", port, "-U", "airflow", "airflow"]
        deadline = time.monotonic() + 30
        while subprocess.run(create, env=login, capture_output=True).returncode:
            assert time.monotonic() < deadline, "Postgres takes no database"
            time.sleep(0.5)

    def _wait(self, name: str, condition: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            self.refuse_dead()
            assert time.monotonic() < deadline, f"{name} does not come up; see {self.folder / 'logs' / name}.log"
            time.sleep(0.2)

    def _local(self, value: str) -> str:
        """A command's part or a setting with this machine's addresses and folders."""
        ports = {"storage": ":7070", "spark-master": ":7077", "api-server": ":8080"}
        for name, port in ports.items():
            value = value.replace(f"{name}{port}", f"127.0.0.1:{self._ports[name]}")
        value = value.replace("@postgres/", f"@127.0.0.1:{self._ports['postgres']}/")
        exact = {
            "spark-master": "127.0.0.1",
            "7077": str(self._ports["spark-master"]),
            ":7070": f"127.0.0.1:{self._ports['storage']}",
            "8080": "0",  # web pages of Spark: any port
            "8081": "0",
            "/storage": str(self.folder / "storage"),
            "/opt/recflow/.venv/share/recflow/jars": str(settings().jars),
        }
        value = exact.get(value, value).replace("/opt/recflow", str(PROJECT_ROOT))
        return re.sub(r"^/airflow(?=/|$)", str(self.folder / "airflow"), value)


def _interpolated(text: str, given: dict[str, str]) -> str:
    """${NAME:-default} and ${NAME:?message}, as Compose fills them in; raises KeyError for what is needed and lacks."""

    def value(found: re.Match) -> str:
        name, kind, rest = found.groups()
        if given.get(name):
            return given[name]
        if kind == ":-":
            return rest
        raise KeyError(f"{name}: {rest}")

    return re.sub(r"(?<!\$)\$\{(\w+)(:[-?])([^}]*)\}", value, text).replace("$$", "$")


def _postgres() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [shutil.which("initdb")]
    assert found[-1], "needs Postgres: `apt-get install postgresql`, or put initdb and postgres on the path"
    return Path(found[-1]).parent


def _versitygw() -> str:
    program = settings().jars.parent / "bin" / "versitygw"
    found = str(program) if program.exists() else shutil.which("versitygw")
    assert found, "needs a real S3 server: `make versitygw`"
    return found


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
