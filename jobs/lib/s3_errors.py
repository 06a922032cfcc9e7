"""What S3 storage answers when it refuses, in one line that names object, bucket and endpoint and says what to mend."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from jobs.lib.object_store import MissingObject, ObjectChanged, StoreError

MISSING = {"404", "NoSuchKey", "NotFound"}
CHANGED = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}
UNKNOWN_USER = {
    "AuthorizationHeaderMalformed", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}  # fmt: skip
FORBIDDEN = {"401", "403", "405", "AccessDenied", "AllAccessDisabled", "Forbidden", "MethodNotAllowed", "Unauthorized"}
NO_CREDENTIALS = "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"


@contextlib.contextmanager
def told(address: str, bucket: str, endpoint: str) -> Iterator[None]:
    """Any refusal of what is done inside as MissingObject, ObjectChanged or StoreError.

    The libraries' own words come last, and without what they quote of requests: a header may hold a secret.
    """
    where = f"{address} (bucket {bucket} at {endpoint})"
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in MISSING:
            raise MissingObject(f"no object at {address}") from error
        if code in CHANGED:
            raise ObjectChanged(f"{address} was changed by someone else") from error
        raise StoreError(f"{where}: {_refusal(error, code, bucket)}") from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise StoreError(f"{where}: {NO_CREDENTIALS}") from error
    except (BotoCoreError, S3UploadFailedError) as error:
        raise StoreError(f"{where}: {' '.join(str(error).split())}") from error


def _refusal(error: ClientError, code: str, bucket: str) -> str:
    if code == "NoSuchBucket":
        return f"there is no bucket {bucket}: create it, or correct the address (NoSuchBucket)"
    if code in UNKNOWN_USER:
        return f"the credentials are not accepted: look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY ({code})"
    if code in FORBIDDEN:
        return f"these credentials may not do {error.operation_name} here: look at the bucket's policy ({code})"
    message = " ".join(str(error.response["Error"].get("Message", "")).split())
    return f"{error.operation_name} failed: {code} {message}".rstrip()
