"""An S3 server with faults to order: a proxy that passes requests on, or answers, delays or cuts them as it is told."""

from __future__ import annotations

import http.client
import http.server
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest


@dataclass(frozen=True)
class Fault:
    """What happens instead of an answer. status with code: this refusal; wait_sec: a pause before; cut: the connection
    ends after so many bytes of the answer's body, -1: before the request is passed on, -2: after, without an answer."""

    status: int = 0
    code: str = ""
    wait_sec: float = 0
    cut: int | None = None


class FaultyS3(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = urlsplit(behind).netloc
        self.plan: Callable[[str, str, int], Fault | None] = lambda method, path, nth: None
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._counting = threading.Lock()

    def fault(self, method: str, path: str) -> Fault | None:
        """plan: of method, path with query, and the how-manieth request this is."""
        with self._counting:
            self.asked.append(f"{method} {path}")
            nth = len(self.asked)
        return self.plan(method, path, nth)

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is part of the game."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyS3

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault(self.command, self.path) or Fault()
        time.sleep(fault.wait_sec)
        if fault.cut == -1:
            return self._hang_up()
        if fault.status:
            text = f"<Error><Code>{fault.code}</Code><Message>as ordered</Message></Error>".encode()
            return self._answer(fault.status, {"Content-Type": "application/xml"}, text)
        behind = http.client.HTTPConnection(self.server.behind)
        behind.request(self.command, self.path, body, dict(self.headers))
        answer = behind.getresponse()
        status, headers, content = answer.status, dict(answer.getheaders()), answer.read()
        behind.close()
        if fault.cut == -2:
            return self._hang_up()
        return self._answer(status, headers, content, fault.cut)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

    def _answer(self, status: int, headers: dict[str, str], content: bytes, cut: int | None = None) -> None:
        self.send_response(status)
        dropped = ("connection", "transfer-encoding", "date", "server")
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        kept = {name: value for name, value in headers.items() if name.lower() not in (*dropped, "content-length")}
        for name, value in {**kept, "Content-Length": length}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content if cut is None else content[:cut])
        if cut is not None:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="session")
def faulty_server(s3_server):
    server = FaultyS3(s3_server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def faulty(faulty_server, bucket, monkeypatch):
    """The server with faults in front of the bucket, waits that take no time, and its address in the environment."""
    from jobs.lib import s3_client

    faulty_server.plan = lambda method, path, nth: None
    faulty_server.asked.clear()
    monkeypatch.setenv("AWS_ENDPOINT_URL", faulty_server.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3_client, "LONGEST_WAIT_SEC", 0.01)
    return faulty_server
