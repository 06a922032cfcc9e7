"""The boto3 client of a process, its settings by environment, and how long it is patient with a storage in trouble.

boto3's own `standard` retries (AWS_RETRY_MODE, AWS_MAX_ATTEMPTS) come first: exponential backoff with jitter for 5xx,
SlowDown, timeouts and lost connections. They give up early when many requests fail at once (one budget for the client),
and know nothing of an answer that breaks off while its body is read. So whatever is worth another try is tried again,
backing off with full jitter, until RECFLOW_S3_PATIENCE_SEC have passed.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    SSLError,
)

from jobs.lib.errors import SettingError

log = logging.getLogger("recflow")
T = TypeVar("T")

ATTEMPTS = 4  # of boto3 itself, for one request
LONGEST_WAIT_SEC = 20
LEAST_PART_MB = 5  # S3 refuses smaller ones
# Refused as damaged or too slow on the way: to be sent again. 5xx are told by their status.
TRANSIENT_CODES = {
    "BadDigest", "IncompleteBody", "RequestTimeout", "SlowDown", "Throttling", "ThrottlingException",
    "TooManyRequestsException", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch",
}  # fmt: skip
TRANSIENT_STATUSES = {429, 500, 502, 503, 504}
BROKEN_OFF = (ConnectionError, HTTPClientError, IncompleteReadError, FlexibleChecksumError)
_CLIENT_VARIABLES = (
    "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID",
    "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE", "RECFLOW_S3_TIMEOUT_SEC",
)  # fmt: skip


@dataclass(frozen=True)
class S3Options:
    """What a team may set: RECFLOW_S3_<name> of each. encryption: what every object is asked to be stored with."""

    part_bytes: int
    patience_sec: int
    timeout_sec: int
    encryption: dict[str, str]


def s3_options() -> S3Options:
    """Raises SettingError naming the variable."""
    return S3Options(
        part_bytes=_whole("RECFLOW_S3_PART_MB", 16, LEAST_PART_MB, 5000) << 20,
        patience_sec=_whole("RECFLOW_S3_PATIENCE_SEC", 60, 0, 86_400),
        timeout_sec=_whole("RECFLOW_S3_TIMEOUT_SEC", 60, 1, 3600),
        encryption=_encryption(),
    )


def client():
    """boto3's S3 client of this process and environment."""
    return _client(os.getpid(), *(os.environ.get(name, "") for name in _CLIENT_VARIABLES))


def patiently(about: str, act: Callable[[], T]) -> T:
    """What `act` returns, tried again while it fails for a reason that may pass; then its last error. It must be safe
    to be done twice."""
    for again in backoff(about):
        try:
            return act()
        except Exception as error:
            again(error)
    raise AssertionError("backoff ends by raising")


def backoff(about: str) -> Iterator[Callable[[Exception], None]]:
    """One turn for each try. The caller hands a failure to what it is given: that waits, or raises the failure."""
    deadline = time.monotonic() + s3_options().patience_sec

    for turn in itertools.count(1):

        def again(error: Exception, turn: int = turn) -> None:
            wait = random.uniform(0, min(LONGEST_WAIT_SEC, 2**turn))
            if not is_transient(error) or time.monotonic() + wait > deadline:
                raise error
            log.warning("%s: %s; trying again in %.1f s", about, str(error).split("\n")[0], wait)
            time.sleep(wait)

        yield again


def is_transient(error: Exception) -> bool:
    """May the same request succeed later?"""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status in TRANSIENT_STATUSES or error.response["Error"]["Code"] in TRANSIENT_CODES
    return isinstance(error, BROKEN_OFF) and not isinstance(error, SSLError)


@functools.cache
def _client(_process: int, *variables: str):
    """One client per process (a fork must not share it) and environment: making one costs more than most requests."""
    given = dict(zip(_CLIENT_VARIABLES, variables, strict=True))
    options = {
        "connect_timeout": 10,
        "read_timeout": s3_options().timeout_sec,
        "max_pool_connections": 32,
        # What is sent carries its SHA-256 in a header, as trailers are unknown to many S3-compatible storages; what is
        # read is held against whatever checksum the storage keeps.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_supported",
    }
    retries = {} if given["AWS_RETRY_MODE"] else {"mode": "standard"}
    if not given["AWS_MAX_ATTEMPTS"]:
        retries["total_max_attempts"] = ATTEMPTS
    if retries:
        options["retries"] = retries
    if given["AWS_ENDPOINT_URL_S3"] or given["AWS_ENDPOINT_URL"]:
        options["s3"] = {"addressing_style": "path"}
    session = boto3.session.Session()
    region = given["AWS_REGION"] or given["AWS_DEFAULT_REGION"] or session.region_name or "us-east-1"
    return session.client("s3", region_name=region, config=Config(**options))


def _encryption() -> dict[str, str]:
    kind, key = os.environ.get("RECFLOW_S3_ENCRYPTION", ""), os.environ.get("RECFLOW_S3_KMS_KEY", "")
    if kind not in ("", "AES256", "aws:kms"):
        raise SettingError(f"RECFLOW_S3_ENCRYPTION is {kind!r}; allowed: AES256, aws:kms, or nothing")
    if key and kind != "aws:kms":
        raise SettingError("RECFLOW_S3_KMS_KEY is set, but RECFLOW_S3_ENCRYPTION is not aws:kms")
    asked = {"ServerSideEncryption": kind} if kind else {}
    return asked | ({"SSEKMSKeyId": key} if key else {})


def _whole(variable: str, default: int, least: int, most: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or not least <= int(text) <= most:
        raise SettingError(f"{variable} is {text!r}; allowed: a whole number from {least} to {most}")
    return int(text)
