"""Makes the buckets of RECFLOW_WAREHOUSE and RECFLOW_PUBLISH where there are none. Those that are there are left alone.

Whoever runs it needs s3:ListBucket, and s3:CreateBucket only for a bucket that is missing.
"""

from __future__ import annotations

import sys
from functools import partial

from botocore.exceptions import ClientError

from jobs.lib.errors import RecflowError
from jobs.lib.s3_client import client, patiently
from jobs.lib.s3_errors import told
from jobs.lib.settings import settings


def main() -> int:
    config = settings()
    addresses = [address for address in (config.warehouse, config.publish) if address.startswith(("s3://", "s3a://"))]
    try:
        for bucket in sorted({address.partition("://")[2].partition("/")[0] for address in addresses}):
            with told(f"s3://{bucket}", bucket, client().meta.endpoint_url):
                print(f"bucket {bucket}: {patiently(bucket, partial(made, bucket))}")
    except RecflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def made(bucket: str) -> str:
    """`there` or `made`. Raises botocore's ClientError."""
    s3 = client()
    try:
        s3.head_bucket(Bucket=bucket)
        return "there"
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
            raise
    region = s3.meta.region_name
    # S3's oldest region has no name in this request.
    where = {} if region in (None, "us-east-1") else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **where)
    return "made"


if __name__ == "__main__":
    sys.exit(main())
