"""Uploads to S3 storage, each with the SHA-256 of what was read from disk: storage refuses what arrives otherwise."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

MOST_PARTS = 10_000
PARTS_AT_ONCE = 4
Patiently = Callable[[Callable[[], Any]], Any]


def checksum(data: bytes) -> dict[str, str]:
    """The arguments that send a body's SHA-256 along."""
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    return {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": digest}


def upload_parts(client, at: dict[str, str], path: Path, part_bytes: int, asked: dict[str, str], patiently: Patiently):
    """A file in parts, some at a time; whole or not at all, since the object is there only once all are joined.

    asked: arguments of the object as a whole. Parts that were sent go when one fails. Raises botocore's errors.
    """
    size = path.stat().st_size
    part_bytes = max(part_bytes, math.ceil(size / MOST_PARTS))
    upload = patiently(lambda: client.create_multipart_upload(**at, ChecksumAlgorithm="SHA256", **asked))["UploadId"]

    def send(number: int) -> dict[str, Any]:
        with open(path, "rb") as file:
            file.seek((number - 1) * part_bytes)
            data = file.read(part_bytes)
        part = {"PartNumber": number, **checksum(data)}
        sent = patiently(lambda: client.upload_part(**at, UploadId=upload, Body=data, **part))
        return {"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}

    try:
        with ThreadPoolExecutor(PARTS_AT_ONCE) as pool:
            sending = [pool.submit(send, number) for number in range(1, math.ceil(size / part_bytes) + 1)]
            try:
                parts = [part.result() for part in sending]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        patiently(lambda: _join(client, at, upload, parts))
    except BaseException:
        _give_up(client, at, upload)
        raise


def _join(client, at: dict[str, str], upload: str, parts: list[dict[str, Any]]) -> None:
    """Done twice, when the first answer got lost, the upload is not known any more: then the object has to be there."""
    try:
        client.complete_multipart_upload(**at, UploadId=upload, MultipartUpload={"Parts": parts})
    except client.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchUpload":
            raise
        client.head_object(**at)


def _give_up(client, at: dict[str, str], upload: str) -> None:
    """Best effort: storage that is away keeps the parts until the bucket's rule for unfinished uploads removes them."""
    try:
        client.abort_multipart_upload(**at, UploadId=upload)
    except Exception:  # the upload's own error is the one to be told
        return
