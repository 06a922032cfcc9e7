"""Objects in a bucket of S3-compatible storage, by boto3: the other half of jobs/lib/object_store.py."""

from __future__ import annotations

import base64
import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from botocore.exceptions import ClientError

from jobs.lib.object_store import (
    CHUNK_BYTES,
    MissingObject,
    ObjectChanged,
    Stored,
    checked_key,
    checked_prefix,
    open_store,
)
from jobs.lib.s3_client import backoff, client, patiently, s3_options
from jobs.lib.s3_errors import FORBIDDEN, told
from jobs.lib.s3_upload import checksum, upload_parts

T = TypeVar("T")
ONE_COPY_BYTES = 5 << 30  # more is copied in parts, by boto3
_buckets_seen: set[tuple[str, str]] = set()


class S3Store:
    """Objects in a bucket of any S3-compatible storage."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket, self.prefix = bucket, prefix
        self.root = f"s3://{bucket}/{prefix}".rstrip("/")
        self.client = client()

    def put(self, key: str, data: bytes) -> None:
        self._ask(key, lambda: self._put(key, data))

    def put_file(self, key: str, path: str | Path) -> None:
        file, options = Path(path), s3_options()
        if file.stat().st_size <= options.part_bytes:
            self.put(key, file.read_bytes())
            return
        again = functools.partial(patiently, self.url(key))
        with self._told(key):
            upload_parts(self.client, self._at(key), file, options.part_bytes, options.encryption, again)

    def get(self, key: str) -> bytes:
        return self._get(key)[0]

    def chunks(self, key: str) -> Iterator[bytes]:
        """An answer that breaks off goes on from where it was, if the object is still the same."""
        done, same = 0, {}
        with self._told(key):
            for again in backoff(self.url(key)):
                try:
                    rest = {"Range": f"bytes={done}-"} if done else {}
                    answer = self.client.get_object(**self._at(key), **rest, **same)
                    same = {"IfMatch": answer["ETag"]}
                    for piece in answer["Body"].iter_chunks(CHUNK_BYTES):
                        done += len(piece)
                        yield piece
                    return
                except Exception as error:
                    again(error)

    def exists(self, key: str) -> bool:
        try:
            self.size(key)
        except MissingObject:
            return False
        return True

    def size(self, key: str) -> int:
        return self._head(key)["ContentLength"]

    def reported_sha256(self, key: str) -> str | None:
        """Of an object that went up in parts, storage knows only a checksum of checksums."""
        found = self._head(key, ChecksumMode="ENABLED").get("ChecksumSHA256", "")
        return base64.b64decode(found).hex() if found and "-" not in found else None

    def list(self, prefix: str = "") -> list[str]:
        return [found.key for found in self.stored(prefix)]

    def stored(self, prefix: str = "") -> list[Stored]:
        top = f"{self.prefix}/" if self.prefix else ""
        asked = {"Bucket": self.bucket, "Prefix": top + checked_prefix(prefix)}
        pages = self._ask(None, lambda: list(self.client.get_paginator("list_objects_v2").paginate(**asked)))
        found = [item for page in pages for item in page.get("Contents", [])]
        return sorted(Stored(f["Key"].removeprefix(top), f["Size"], f["LastModified"].timestamp()) for f in found)

    def copy(self, src_key: str, dst_key: str) -> None:
        """Storage computes the SHA-256 of the whole copy, in parts or not as the source may have come."""
        source, target = self._at(src_key), self._at(dst_key)
        asked = {"ChecksumAlgorithm": "SHA256", **s3_options().encryption}
        if self.size(src_key) < ONE_COPY_BYTES:
            self._ask(src_key, lambda: self.client.copy_object(CopySource=source, **target, **asked))
        else:
            self._ask(src_key, lambda: self.client.copy(source, *target.values(), ExtraArgs=asked))

    def move(self, src_key: str, dst_key: str) -> None:
        self.copy(src_key, dst_key)
        self.delete(src_key)

    def delete(self, key: str) -> None:
        self._ask(key, lambda: self.client.delete_object(**self._at(key)))

    def swap(self, key: str, expected: bytes | None, new: bytes) -> None:
        condition = {"IfNoneMatch": "*"}
        if expected is not None:
            present, tag = self._get(key) if self.exists(key) else (None, "")
            if present != expected:
                raise ObjectChanged(f"{self.url(key)} was changed by someone else")
            condition = {"IfMatch": tag}
        try:
            self._ask(key, lambda: self._put(key, new, **condition))
        except (ObjectChanged, MissingObject):
            # A put whose answer got lost is sent again, and then meets its own first success.
            if not self.exists(key) or self.get(key) != new:
                raise ObjectChanged(f"{self.url(key)} was changed by someone else") from None

    def url(self, key: str) -> str:
        return f"{self.root}/{checked_key(key)}"

    def end_unfinished(self, before: float) -> list[str]:
        """See end_unfinished_uploads."""
        asked, ended = {"Bucket": self.bucket, "Prefix": f"{self.prefix}/" if self.prefix else ""}, []
        pager = self.client.get_paginator("list_multipart_uploads")
        for page in self._ask(None, lambda: list(pager.paginate(**asked))):
            for upload in page.get("Uploads", []):
                if upload["Initiated"].timestamp() < before:
                    at = {"Bucket": self.bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
                    self._ask(None, functools.partial(self._end_upload, at))
                    ended.append(upload["Key"].removeprefix(asked["Prefix"]))
        return ended

    def _end_upload(self, at: dict[str, str]) -> None:
        """Whoever ended it first, it is ended."""
        with contextlib.suppress(self.client.exceptions.NoSuchUpload):
            self.client.abort_multipart_upload(**at)

    def _put(self, key: str, data: bytes, **condition: str) -> None:
        asked = {**checksum(data), **s3_options().encryption, **condition}
        self.client.put_object(**self._at(key), Body=data, **asked)

    def _get(self, key: str) -> tuple[bytes, str]:
        def read() -> tuple[bytes, str]:
            answer = self.client.get_object(**self._at(key))
            return answer["Body"].read(), answer["ETag"]

        return self._ask(key, read)

    def _head(self, key: str, **asked: str) -> dict:
        """An answer to HEAD has no body, so it does not tell a missing bucket from a missing object."""
        try:
            return self._ask(key, lambda: self.client.head_object(**self._at(key), **asked))
        except MissingObject:
            self._refuse_missing_bucket()
            raise

    def _refuse_missing_bucket(self) -> None:
        """Asked once. Who may not list cannot know."""
        seen = (self.client.meta.endpoint_url, self.bucket)
        if seen in _buckets_seen:
            return
        listing = functools.partial(self.client.list_objects_v2, Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1)
        with self._told(None):
            try:
                patiently(self.root, listing)
            except ClientError as error:
                if error.response["Error"]["Code"] not in FORBIDDEN:
                    raise
        _buckets_seen.add(seen)

    def _at(self, key: str) -> dict[str, str]:
        checked_key(key)
        return {"Bucket": self.bucket, "Key": f"{self.prefix}/{key}" if self.prefix else key}

    def _ask(self, key: str | None, act: Callable[[], T]) -> T:
        """What storage answers; refusals and what does not pass in time as a StoreError."""
        with self._told(key):
            return patiently(self.root if key is None else self.url(key), act)

    def _told(self, key: str | None):
        return told(self.root if key is None else self.url(key), self.bucket, self.client.meta.endpoint_url)


def end_unfinished_uploads(url: str, before: float) -> list[str]:
    """Let storage drop the parts of uploads below an address that began before this moment (unix seconds) and never
    came to their end; their keys. A folder has none."""
    store = open_store(url)
    return store.end_unfinished(before) if isinstance(store, S3Store) else []
