"""Objects in a bucket of S3-compatible storage, by boto3: the other half of jobs/lib/object_store.py."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
from boto3.exceptions import S3UploadFailedError
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from jobs.lib.object_store import CHUNK_BYTES, MissingObject, ObjectChanged, StoreError, checked_key, checked_prefix

_S3_VARIABLES = (
    "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"
)  # fmt: skip


class S3Store:
    """Objects in a bucket of any S3-compatible storage."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket, self.prefix = bucket, prefix
        self.root = f"s3://{bucket}/{prefix}".rstrip("/")
        self.client = _s3_client(os.getpid(), *(os.environ.get(name, "") for name in _S3_VARIABLES))

    def put(self, key: str, data: bytes) -> None:
        with self._errors(key):
            self.client.put_object(**self._at(key), Body=data)

    def put_file(self, key: str, path: str | Path) -> None:
        with self._errors(key):
            self.client.upload_file(str(path), self.bucket, self._at(key)["Key"])

    def get(self, key: str) -> bytes:
        return self._get(key)[0]

    def chunks(self, key: str) -> Iterator[bytes]:
        with self._errors(key):
            yield from self.client.get_object(**self._at(key))["Body"].iter_chunks(CHUNK_BYTES)

    def exists(self, key: str) -> bool:
        try:
            self.size(key)
        except MissingObject:
            return False
        return True

    def size(self, key: str) -> int:
        with self._errors(key):
            return self.client.head_object(**self._at(key))["ContentLength"]

    def list(self, prefix: str = "") -> list[str]:
        top = f"{self.prefix}/" if self.prefix else ""
        with self._errors(None):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=top + checked_prefix(prefix)
            )
            return sorted(found["Key"].removeprefix(top) for page in pages for found in page.get("Contents", []))

    def copy(self, src_key: str, dst_key: str) -> None:
        with self._errors(src_key):
            self.client.copy(self._at(src_key), self.bucket, self._at(dst_key)["Key"])

    def move(self, src_key: str, dst_key: str) -> None:
        self.copy(src_key, dst_key)
        self.delete(src_key)

    def delete(self, key: str) -> None:
        with self._errors(key):
            self.client.delete_object(**self._at(key))

    def swap(self, key: str, expected: bytes | None, new: bytes) -> None:
        condition = {"IfNoneMatch": "*"}
        if expected is not None:
            present, tag = self._get(key) if self.exists(key) else (None, "")
            if present != expected:
                raise ObjectChanged(f"{self.url(key)} was changed by someone else")
            condition = {"IfMatch": tag}
        try:
            with self._errors(key):
                self.client.put_object(**self._at(key), Body=new, **condition)
        except (ObjectChanged, MissingObject):
            # A put whose answer got lost is sent again by boto3, and then meets its own first success.
            if not self.exists(key) or self.get(key) != new:
                raise ObjectChanged(f"{self.url(key)} was changed by someone else") from None

    def url(self, key: str) -> str:
        return f"{self.root}/{checked_key(key)}"

    def _get(self, key: str) -> tuple[bytes, str]:
        with self._errors(key):
            answer = self.client.get_object(**self._at(key))
            return answer["Body"].read(), answer["ETag"]

    def _at(self, key: str) -> dict[str, str]:
        checked_key(key)
        return {"Bucket": self.bucket, "Key": f"{self.prefix}/{key}" if self.prefix else key}

    @contextlib.contextmanager
    def _errors(self, key: str | None):
        address = self.root if key is None else self.url(key)
        try:
            yield
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in ("404", "NoSuchKey", "NotFound"):
                raise MissingObject(f"no object at {address}") from error
            if code in ("412", "PreconditionFailed", "409", "ConditionalRequestConflict"):
                raise ObjectChanged(f"{address} was changed by someone else") from error
            raise StoreError(f"{address}: {code} {error.response['Error'].get('Message', '')}".rstrip()) from error
        except (BotoCoreError, S3UploadFailedError) as error:
            raise StoreError(f"{address}: {error}") from error


@functools.cache
def _s3_client(_process: int, *variables: str):
    """One client per process (a fork must not share it) and environment: making one costs more than most requests."""
    s3_endpoint, endpoint, region, default_region, *_ = variables
    options = {
        "retries": {"max_attempts": 6, "mode": "standard"},
        "connect_timeout": 10,
        "read_timeout": 60,
        # Checksum trailers are unknown to many S3-compatible storages; every object is verified by sha256 anyway.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    if s3_endpoint or endpoint:
        options["s3"] = {"addressing_style": "path"}
    session = boto3.session.Session()
    return session.client(
        "s3", region_name=region or default_region or session.region_name or "us-east-1", config=Config(**options)
    )
