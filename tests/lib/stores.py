"""Stores for tests: a folder, and a bucket of a moto server that other processes can reach as well."""

from __future__ import annotations

import threading
import uuid

import pytest


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


@pytest.fixture
def bucket(s3_server, monkeypatch):
    """An empty bucket, and the environment that leads to it."""
    from jobs.lib.s3_client import client

    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"b-{uuid.uuid4().hex[:12]}"
    client().create_bucket(Bucket=bucket)
    return bucket


@pytest.fixture(params=["file", "s3"])
def store_url(request, tmp_path):
    """An empty root of each kind."""
    if request.param == "file":
        return f"file://{tmp_path}/published"
    return f"s3://{request.getfixturevalue('bucket')}/lists"
