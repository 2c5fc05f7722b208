"""Values as objects of an S3 bucket, on AWS or on any server that speaks its protocol."""

# ruff: noqa: D102 - methods are documented by Store, where nothing is added to it

from __future__ import annotations

import builtins
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from streamzarr.errors import ConfigError, KeyNotFoundError, PreconditionFailedError, StoreError
from streamzarr.redact import redacted
from streamzarr.stores import s3_retry
from streamzarr.stores.base import (
    ByteRange,
    BytesLike,
    Capabilities,
    DirListing,
    ObjectInfo,
    RangeRequest,
    Store,
    StoredObject,
    as_bytes_view,
    limited,
    resolve_range,
)
from streamzarr.stores.key import below, check_key, check_prefix, is_key
from streamzarr.stores.parallel import batches, in_parallel
from streamzarr.stores.ranges import coalesce, cut, http_range
from streamzarr.stores.s3_client import (
    S3Client,
    S3Config,
    boto_errors,
    client_for,
    code_of,
    is_missing,
    status_of,
    store_error,
)
from streamzarr.stores.s3_direct import NO_VALUE, NOT_MODIFIED, DirectAnswer
from streamzarr.stores.s3_listing import pages
from streamzarr.stores.s3_retry import MAX_TRIES, until_judged
from streamzarr.stores.s3_upload import TOKEN, upload
from streamzarr.stores.s3_xml import ListPage
from streamzarr.stores.url import StoreURL

T = TypeVar("T")

MULTIPART_BYTES = 64 << 20
"""Values above this size go in parts; S3 takes up to 5 GiB in one request."""
PART_BYTES = 16 << 20
"""Size of a part; S3 takes 5 MiB to 5 GiB."""
MAX_SINGLE_PUT_BYTES = 5 << 30
MAX_GAP_BYTES = 64 << 10
"""Two ranges nearer than this are read in one request: reading the gap takes less time than asking again."""
MAX_SPAN_BYTES = 16 << 20
"""Size up to which ranges are merged."""
STALE_UPLOAD = timedelta(days=1)
"""Age of an unfinished multipart upload that no living writer can still be at work on."""
PARALLEL_REQUESTS = 8
"""Requests under way at once within one ``put_many``, ``get_ranges`` or multipart put."""
DELETE_BATCH = 1000
"""Keys in one ``DeleteObjects`` request; the protocol's maximum."""
LIST_PAGE = 1000
"""Keys in one answer to a listing; the protocol's maximum."""

_HEADERS = {"IfMatch": "If-Match", "IfNoneMatch": "If-None-Match"}
_ETAG = re.compile(r"[\x21\x23-\x7e]+")  # RFC 9110 §8.8.3, without the quotes
_CAPABILITIES = Capabilities(conditional_put=True, atomic_put=True, in_flight=16)


class S3Store(Store):
    """Objects of `bucket` below ``prefix/``; what is outside the prefix is neither read, listed nor written.

    Thread-safe; picklable, and each process has one client per configuration. Every call blocks on the
    network: 10 s for a connection, 60 s for an answer, up to five tries. Reading never lists.

    Conditional puts carry a token in the object's metadata (``x-amz-meta-streamzarr-put``). When the answer
    to a put is lost and its repetition is refused, the token tells that the value there is our own. The
    conditions are only as good as the server: :func:`~streamzarr.stores.probe.probe_conditional_put` asks it.
    ``delete(if_match=...)`` compares first, since several servers ignore its condition.

    Parameters
    ----------
    bucket
        Must exist.
    prefix
        Directory path below which this store keeps its keys.
    config
        Endpoint, region, profile, or anonymous access; credentials are found by boto3.

    Examples
    --------
    >>> from streamzarr.stores import open_store
    >>> open_store("s3://lab/run7?endpoint_url=http://127.0.0.1:9000").url
    's3://lab/run7?endpoint_url=http%3A%2F%2F127.0.0.1%3A9000'
    """

    def __init__(self, bucket: str, prefix: str = "", config: S3Config | None = None) -> None:
        if not bucket or "/" in bucket:
            raise ConfigError(f"s3 bucket {bucket!r}: expected a name, as in s3://bucket/path")
        if "@" in bucket:
            raise ConfigError(
                f"s3 bucket {redacted(f's3://{bucket}')!r}: expected a name without user information, "
                "credentials are found by boto3"
            )
        check_prefix(prefix)
        self._bucket = bucket
        self._prefix = prefix
        self._below = below(prefix)
        self._config = config or S3Config()

    @classmethod
    def from_url(cls, url: StoreURL) -> S3Store:
        """Open ``s3://bucket/prefix?endpoint_url=http://host:9000&region=...&profile=...&anonymous=true``."""
        return cls(url.authority, url.path, S3Config.of(url))

    @property
    def url(self) -> str:
        """``s3://bucket/prefix``, with the options that were given."""
        return str(StoreURL("s3", self._bucket, self._prefix, self._config.options))

    @property
    def capabilities(self) -> Capabilities:
        """Conditional and atomic put, as AWS has them."""
        return _CAPABILITIES

    # Reading ------------------------------------------------------------------------------------------------

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        return self._get(key, byte_range).data

    def fetch(self, key: str) -> StoredObject:
        return self._get(key, None)

    def fetch_limited(self, key: str, limit: int) -> StoredObject:
        return limited(self._get(key, RangeRequest(0, limit + 1)), limit, self.url, key)

    def fetch_changed(self, key: str, etag: str, limit: int) -> StoredObject | None:
        unless = {"If-None-Match": self._etag_header(etag)}
        try:
            return limited(self._get(key, RangeRequest(0, limit + 1), unless), limit, self.url, key)
        except PreconditionFailedError:
            return None

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> builtins.list[bytes]:
        """Return several ranges of one value: near ones in one request, all of the same version."""
        if not ranges:
            self.head(key)
            return []
        spans = coalesce(ranges, max_gap=MAX_GAP_BYTES, max_size=MAX_SPAN_BYTES)
        result = [b""] * len(ranges)
        for _ in range(MAX_TRIES):
            try:
                first = self._get(key, spans[0].read)
                read = partial(self._get, key, conditions={"If-Match": self._etag_header(first.etag)})
                rest = in_parallel(read, [span.read for span in spans[1:]], PARALLEL_REQUESTS)
            except PreconditionFailedError:  # replaced meanwhile
                continue
            for span, found in zip(spans, [first, *rest], strict=True):
                for part in span.parts:
                    result[part] = cut(found.data, span.read, ranges[part])
            return result
        raise StoreError(
            f"{self.url}: key {key!r} is being replaced all the time; cannot read one version of it"
        )

    def get_into(self, key: str, buffer: bytearray | memoryview) -> int | None:
        check_key(key)
        direct, full = self._client.direct, self._below + key
        with memoryview(buffer) as view:
            answer = direct.get(self._bucket, full, {}, view) if direct else None
        if answer is None:
            return super().get_into(key, buffer)
        return None if answer.data is None else answer.size

    def head(self, key: str) -> ObjectInfo:
        check_key(key)
        direct = self._client.direct
        found = direct.head(self._bucket, self._below + key) if direct else None
        if found is not None:
            return ObjectInfo(found[0], _bare(found[1]))
        answer = self._head(key)
        if answer is None:
            raise self._missing(key)
        return ObjectInfo(int(answer["ContentLength"]), _bare(answer["ETag"]))

    def _get(
        self, key: str, byte_range: ByteRange | None, conditions: Mapping[str, str] | None = None
    ) -> StoredObject:
        check_key(key)
        headers = dict(conditions or {})
        if byte_range is not None:
            start, stop = resolve_range(byte_range, 1 << 62)
            if start == stop:
                return StoredObject(b"", self.head(key).etag)  # HTTP has no empty ranges
            headers["Range"] = http_range(byte_range)
        client = self._client
        answer = client.direct.get(self._bucket, self._below + key, headers) if client.direct else None
        if answer is None:
            answer = self._get_through_boto(client, key, headers)
        if answer is NOT_MODIFIED:
            raise PreconditionFailedError(f"{self.url}: key {key!r} was not replaced")
        data = answer.data
        if data is None:
            raise self._missing(key)
        if byte_range is not None:
            if not answer.partial:  # the server has sent the whole value
                data = data[slice(*resolve_range(byte_range, len(data)))]
            elif len(data) > stop - start:
                raise StoreError(
                    f"{self.url}: {len(data)} bytes for {byte_range} of {key!r}: a broken server"
                )
        return StoredObject(data, _bare(answer.etag))

    def _get_through_boto(self, client: S3Client, key: str, headers: dict[str, str]) -> DirectAnswer:
        request = {name.replace("-", ""): value for name, value in headers.items()}
        full = self._below + key
        for attempt in range(MAX_TRIES):
            try:
                with client.direct.watching(self._bucket, full) if client.direct else nullcontext():
                    answer = client.boto.get_object(Bucket=self._bucket, Key=full, **request)
            except boto_errors() as error:
                if is_missing(error):
                    return NO_VALUE
                if status_of(error) == 416:  # starts past the end
                    return DirectAnswer(b"", 0, self.head(key).etag, True)
                if status_of(error) == 304:
                    return NOT_MODIFIED
                if status_of(error) == 412:
                    raise PreconditionFailedError(f"{self.url}: key {key!r} was replaced") from error
                raise store_error(self.url, "read", key, error) from error
            try:
                data = answer["Body"].read()
            except boto_errors() as error:  # cut off: botocore has no retry for that
                if attempt == MAX_TRIES - 1:
                    raise store_error(self.url, "read", key, error) from error
                s3_retry.pause(attempt)
            else:
                return DirectAnswer(data, len(data), answer["ETag"], "ContentRange" in answer)
        raise AssertionError("the last try returns or raises")

    def _head(self, key: str) -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] = self._client.boto.head_object(Bucket=self._bucket, Key=self._below + key)
        except boto_errors() as error:
            if is_missing(error):
                return None
            raise store_error(self.url, "read", key, error) from error
        return answer

    # Writing ------------------------------------------------------------------------------------------------

    def put(
        self, key: str, data: BytesLike, *, if_match: str | None = None, if_none_match: bool = False
    ) -> str:
        check_key(key)
        view = as_bytes_view(data)
        if if_match is not None or if_none_match:
            return self._put_conditional(key, view, if_match, if_none_match)
        send = self._put_parts if len(view) > MULTIPART_BYTES else self._put_object
        try:
            return self._until_judged(lambda: send(key, view))
        except boto_errors() as error:
            raise store_error(self.url, "write", key, error) from error

    def put_many(self, items: Iterable[tuple[str, BytesLike]]) -> None:
        pending: dict[str, BytesLike] = {}
        for key, data in items:
            check_key(key)
            pending[key] = data
            if len(pending) == 4 * PARALLEL_REQUESTS:
                in_parallel(lambda item: self.put(*item), [*pending.items()], PARALLEL_REQUESTS)
                pending.clear()
        in_parallel(lambda item: self.put(*item), [*pending.items()], PARALLEL_REQUESTS)

    def delete(self, key: str, *, if_match: str | None = None) -> None:
        check_key(key)
        condition = {}
        if if_match is not None:
            found = self._head(key)
            if found is None or _bare(found["ETag"]) != if_match:
                raise self._unexpected(key, found, if_match)
            condition["IfMatch"] = self._etag_header(if_match)
        try:
            self._until_judged(lambda: self._delete_object(key, **condition))
        except boto_errors() as error:
            if is_missing(error) and if_match is None:
                return
            if status_of(error) in (404, 412) and if_match is not None:
                raise self._unexpected(key, self._head(key), if_match) from error
            raise store_error(self.url, "delete", key, error) from error

    def _delete_object(self, key: str, **condition: str) -> None:
        client, full = self._client, self._below + key
        headers = {_HEADERS[name]: value for name, value in condition.items()}
        if not (client.direct and client.direct.delete(self._bucket, full, headers)):
            client.boto.delete_object(Bucket=self._bucket, Key=full, **condition)

    def delete_many(self, keys: Iterable[str]) -> None:
        for batch in batches(keys, DELETE_BATCH):
            for key in batch:
                check_key(key)
            client, full = self._client, [self._below + key for key in batch]
            if client.direct and client.direct.delete_many(self._bucket, full):
                continue
            objects = {"Objects": [{"Key": key} for key in full], "Quiet": True}
            try:
                answer = client.boto.delete_objects(Bucket=self._bucket, Delete=objects)
            except boto_errors() as error:
                raise store_error(self.url, "delete", f"{batch[0]} and others", error) from error
            for failed in answer.get("Errors", ()):
                raise StoreError(f"{self.url}: cannot delete {failed.get('Key')!r}: {failed.get('Message')}")

    def list_stale(self, prefix: str = "") -> Iterator[str]:
        return (begun["Key"][len(self._below) :] for begun in self._stale_uploads(prefix))

    def collect_stale(self, prefix: str = "") -> int:
        """Abort multipart uploads that were begun more than a day ago and never finished."""
        count = 0
        for begun in self._stale_uploads(prefix):
            self._abort(begun["Key"], begun["UploadId"])
            count += 1
        return count

    def _put_conditional(self, key: str, view: memoryview, if_match: str | None, if_none_match: bool) -> str:
        if if_match is not None and not _ETAG.fullmatch(if_match):
            raise self._unexpected(key, self._head(key), if_match)  # no server gives such an etag
        token = uuid.uuid4().hex
        request: dict[str, Any] = {"Metadata": {TOKEN: token}}
        if if_none_match:
            request["IfNoneMatch"] = "*"
        send = self._put_parts if len(view) > MAX_SINGLE_PUT_BYTES else self._put_object
        for bare in (False, True):
            if if_match is not None:
                request["IfMatch"] = if_match if bare else self._etag_header(if_match)
            try:
                etag = self._until_judged(lambda: send(key, view, **request))
            except boto_errors() as error:
                status = status_of(error)
                if status not in (0, 404, 409, 412) or code_of(error) == "NoSuchBucket":
                    raise store_error(self.url, "write", key, error) from error
                found = self._head(key)
                if found is not None and found["Metadata"].get(TOKEN) == token:
                    return _bare(found["ETag"])  # an earlier try was carried out and its answer lost
                if status in (0, 409):
                    raise store_error(self.url, "write", key, error) from error
                if status == 412 and found is not None and _bare(found["ETag"]) == if_match and not bare:
                    continue  # refused though it matches: a server that compares the quotes too
                raise self._unexpected(key, found, if_match) from error
            if bare:
                self._client.quotes_etags = False
            return etag
        raise AssertionError("the second try returns or raises")

    def _until_judged(self, request: Callable[[], T]) -> T:
        return until_judged(self._client, boto_errors(), request)

    def _put_object(self, key: str, view: memoryview, **request: Any) -> str:
        client, full = self._client, self._below + key
        headers = {_HEADERS[name]: value for name, value in request.items() if name in _HEADERS}
        for name, value in request.get("Metadata", {}).items():
            headers[f"x-amz-meta-{name}"] = value
        etag = client.direct.put(self._bucket, full, headers, view) if client.direct else None
        if etag is None:
            with client.direct.watching(self._bucket, full) if client.direct else nullcontext():
                answer = client.boto.put_object(Bucket=self._bucket, Key=full, Body=bytes(view), **request)
            etag = answer["ETag"]
        return _bare(etag)

    def _put_parts(self, key: str, view: memoryview, **request: Any) -> str:
        full = self._below + key
        return upload(
            self._client.boto,
            {"Bucket": self._bucket, "Key": full},
            view,
            request,
            part_bytes=PART_BYTES,
            at_once=PARALLEL_REQUESTS,
            etag_of_put=lambda metadata: self._etag_of_put(key, metadata),
            abort=lambda begun: self._abort(full, begun),
        )

    def _etag_of_put(self, key: str, metadata: Mapping[str, str]) -> str | None:
        """Return the etag of the present value of `key` if it is the one put with this `metadata`."""
        found = self._head(key)
        if found is None or found["Metadata"].get(TOKEN) != metadata[TOKEN]:
            return None
        return _bare(found["ETag"])

    def _abort(self, full_key: str, upload: str) -> None:
        try:
            self._client.boto.abort_multipart_upload(Bucket=self._bucket, Key=full_key, UploadId=upload)
        except boto_errors() as error:
            if status_of(error) != 404:  # else it was completed or aborted by another
                raise store_error(self.url, "abort the upload of", full_key, error) from error

    # Listing ------------------------------------------------------------------------------------------------

    def list(self, prefix: str = "") -> Iterator[str]:
        return (key for key, _ in self.list_sizes(prefix))

    def list_sizes(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        check_prefix(prefix)
        skip = len(self._below)
        for page in self._list_pages(prefix):
            for full, size in page.keys:
                if is_key(full[skip:]):  # not: the "directory" objects that some tools make
                    yield full[skip:], size

    def list_dir(self, prefix: str = "") -> DirListing:
        check_prefix(prefix)
        skip = len(self._below)
        keys: list[str] = []
        prefixes: list[str] = []
        for page in self._list_pages(prefix, delimiter="/"):
            keys += [full[skip:] for full, _ in page.keys]
            prefixes += [full[skip:] for full in page.prefixes]
        return DirListing(
            tuple(sorted(filter(is_key, keys))),
            tuple(sorted(p for p in prefixes if is_key(p.removesuffix("/")))),
        )

    def _list_pages(self, prefix: str, **query: str) -> Iterator[ListPage]:
        try:
            yield from pages(
                self._client, self._bucket, LIST_PAGE, prefix=self._below + below(prefix), **query
            )
        except boto_errors() as error:
            raise store_error(self.url, "list", below(prefix), error) from error

    def _stale_uploads(self, prefix: str) -> Iterator[dict[str, Any]]:
        check_prefix(prefix)
        oldest = datetime.now(UTC) - STALE_UPLOAD
        return (begun for begun in self._uploads(prefix) if begun["Initiated"] < oldest)

    def _uploads(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Yield every unfinished multipart upload."""
        found = self._client.boto.get_paginator("list_multipart_uploads")
        try:
            for page in found.paginate(
                Bucket=self._bucket,
                Prefix=self._below + below(prefix),
                PaginationConfig={"PageSize": LIST_PAGE},
            ):
                yield from page.get("Uploads", ())
        except boto_errors() as error:
            raise store_error(self.url, "list", below(prefix), error) from error

    # Errors and pickling ------------------------------------------------------------------------------------

    @property
    def _client(self) -> S3Client:
        return client_for(self._config)

    def _etag_header(self, etag: str) -> str:
        return f'"{etag}"' if self._client.quotes_etags else etag

    def _missing(self, key: str) -> KeyNotFoundError:
        return KeyNotFoundError(f"{self.url}: no value under key {key!r}")

    def _unexpected(
        self, key: str, found: dict[str, Any] | None, if_match: str | None
    ) -> PreconditionFailedError:
        got = "no value" if found is None else f"etag {_bare(found['ETag'])!r}"
        expected = "no value" if if_match is None else f"etag {if_match!r}"
        return PreconditionFailedError(f"{self.url}: key {key!r} has {got}, expected {expected}")

    def __repr__(self) -> str:
        return f"S3Store({self.url!r})"

    def __reduce__(self) -> tuple[Callable[..., S3Store], tuple[str, str, S3Config]]:
        return S3Store, (self._bucket, self._prefix, self._config)


def _bare(etag: str) -> str:
    return etag.strip('"')
