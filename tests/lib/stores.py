"""Stores for tests: a folder, and a bucket of a moto server that other processes can reach as well."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from jobs.lib.s3_client import client
from jobs.lib.settings import settings


@pytest.fixture(scope="session")
def s3_server():
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    put, one_by_one = S3Response.put_object, threading.Lock()

    def atomic_put(self):
        """moto looks at the condition of a put and then puts; storage that is real does both at once."""
        with one_by_one:
            return put(self)

    S3Response.put_object = atomic_put
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
    S3Response.put_object = put


@pytest.fixture(scope="session")
def versitygw(tmp_path_factory):
    """A real server over a folder, in a process of its own: `make versitygw` installs it where Go is at hand."""
    folder, found = tmp_path_factory.mktemp("versitygw"), versitygw_program()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    def start() -> subprocess.Popen:
        command = [found, "--quiet", "--port", f"127.0.0.1:{port}", "posix", str(folder)]
        roots = {"ROOT_ACCESS_KEY": "test", "ROOT_SECRET_KEY": "test"}
        server = subprocess.Popen(command, env={**os.environ, **roots}, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return server
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, "versitygw does not start"
                time.sleep(0.05)

    running = RealServer(f"http://127.0.0.1:{port}", start, start())
    yield running
    running.kill()


def versitygw_program() -> str:
    program = settings().jars.parent / "bin" / "versitygw"
    if not (found := str(program) if program.exists() else shutil.which("versitygw")):
        pytest.skip("NOT TRIED ON A REAL S3 SERVER: `make versitygw` installs one where Go is at hand")
    return found


@dataclass
class RealServer:
    url: str
    _start: Callable[[], subprocess.Popen]
    _process: subprocess.Popen

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def start_again(self) -> None:
        self._process = self._start()


def new_bucket(endpoint: str, monkeypatch) -> str:
    """An empty bucket, and the environment that leads to it."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"b-{uuid.uuid4().hex[:12]}"
    client().create_bucket(Bucket=bucket)
    return bucket


@pytest.fixture
def bucket(s3_server, monkeypatch):
    return new_bucket(s3_server, monkeypatch)


@pytest.fixture(params=["file", "s3", "versitygw"])
def store_url(request, tmp_path, monkeypatch):
    """An empty root of each kind: a folder, moto, and a real server where there is one."""
    if request.param == "file":
        return f"file://{tmp_path}/published"
    server = request.getfixturevalue("s3_server") if request.param == "s3" else request.getfixturevalue("versitygw").url
    return f"s3://{new_bucket(server, monkeypatch)}/lists"
