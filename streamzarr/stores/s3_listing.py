"""The pages of a listing of a bucket, each by the short way where that has an answer, else through boto3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streamzarr.errors import StoreError
from streamzarr.stores.s3_client import S3Client
from streamzarr.stores.s3_xml import ListPage

_PARAMETERS = {"prefix": "Prefix", "delimiter": "Delimiter", "continuation-token": "ContinuationToken"}


def pages(client: S3Client, bucket: str, page_keys: int, **query: str) -> Iterator[ListPage]:
    """Yield every page of at most `page_keys` keys; raises boto3's errors."""
    while True:
        page = None
        if client.direct:
            page = client.direct.page(bucket, {"max-keys": str(page_keys), **query})
        if page is None:
            page = _through_boto(client, bucket, page_keys, query)
        yield page
        if page.token is None:
            return
        if page.token == query.get("continuation-token"):
            raise StoreError(f"s3://{bucket}/{query['prefix']}: the listing does not go on: a broken server")
        query["continuation-token"] = page.token


def _through_boto(client: S3Client, bucket: str, page_keys: int, query: dict[str, str]) -> ListPage:
    request: dict[str, Any] = {_PARAMETERS[name]: value for name, value in query.items()}
    answer = client.boto.list_objects_v2(Bucket=bucket, MaxKeys=page_keys, **request)
    return ListPage(
        tuple([(found["Key"], int(found["Size"])) for found in answer.get("Contents", ())]),
        tuple([found["Prefix"] for found in answer.get("CommonPrefixes", ())]),
        answer.get("NextContinuationToken") if answer.get("IsTruncated") else None,
    )
