"""Reading objects without most of boto3: botocore signs, urllib3 carries, nothing else is on the way.

boto3 takes some 2 ms of processor time for one ``GetObject`` of any size (user agent, endpoint rules, event
hooks, header parsing); this takes a quarter of it, which small chunks notice. Only the plain case is served:
what is not, from a redirect to a throttled or cut-off answer, is asked for again through boto3, which has the
rules for it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import getproxies

_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=[^,]*/\d{8}/([^/]+)/s3/aws4_request")


@dataclass(frozen=True, slots=True)
class DirectAnswer:
    """What a plain read gave."""

    data: bytes | None
    """The value or the range of it; ``None`` when the key holds none."""
    etag: str
    """As sent, in quotes."""
    partial: bool
    """The server sent the range that was asked for, and not the whole value."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where and how boto3 reads the objects of one bucket."""

    pool: Any
    origin: str
    path: str
    region: str | None
    """Region to sign for; ``None`` where nothing is signed."""


class DirectReader:
    """Plain reads, over connections of their own. Thread-safe; belongs to one process.

    Where a bucket is and how its requests are signed is learnt by watching one that boto3 makes
    (:meth:`watching`); until then, and where boto3 does something unusual, :meth:`get` has no answer.

    Parameters
    ----------
    session
        boto3 session that gives credentials and the bundle of certificates.
    boto
        boto3 client whose requests are watched, and whose timeouts hold here too.
    """

    def __init__(self, session: Any, boto: Any) -> None:
        import urllib3
        from botocore.httpsession import get_cert_path

        config = boto.meta.config
        self._credentials = session.get_credentials()
        self._failures = (urllib3.exceptions.HTTPError, OSError)
        self._manager = urllib3.PoolManager(
            maxsize=config.max_pool_connections,
            timeout=urllib3.Timeout(connect=config.connect_timeout, read=config.read_timeout),
            ca_certs=session._session.get_config_variable("ca_bundle") or get_cert_path(True),
            cert_reqs="CERT_REQUIRED",
        )
        self._places: dict[str, _Place] = {}
        self._watched = threading.local()
        if not getproxies():  # boto3 knows the way through them
            boto.meta.events.register("before-send.s3.GetObject", self._learn)

    def get(self, bucket: str, key: str, headers: dict[str, str]) -> DirectAnswer | None:
        """Read the object `key`; ``None`` when boto3 must be asked instead."""
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest

        place = self._places.get(bucket)
        if place is None:
            return None
        path = place.path + _quoted(key)
        request = AWSRequest(method="GET", url=place.origin + path, headers=headers)
        if place.region is not None:
            # Credentials are asked for each time: they may have been renewed.
            S3SigV4Auth(self._credentials.get_frozen_credentials(), "s3", place.region).add_auth(request)
        try:
            answer = place.pool.urlopen(
                "GET",
                path,
                headers=dict(request.headers.items()),
                retries=False,
                redirect=False,
                decode_content=False,
            )
        except self._failures:
            return None
        if answer.status in (200, 206):
            return DirectAnswer(answer.data, answer.headers.get("etag", ""), answer.status == 206)
        if answer.status == 404 and b"<Code>NoSuchKey</Code>" in answer.data:
            return DirectAnswer(None, "", False)
        return None

    @contextmanager
    def watching(self, bucket: str, key: str) -> Iterator[None]:
        """Learn from what boto3 sends in this block, on this thread, to read `key` of `bucket`."""
        self._watched.object = bucket, key
        try:
            yield
        finally:
            self._watched.object = None

    def _learn(self, request: Any, **_: object) -> None:
        watched = getattr(self._watched, "object", None)
        if watched is None:
            return
        bucket, key = watched
        parts = urlsplit(request.url)
        authorization = request.headers.get("Authorization", b"")
        scope = _SCOPE.match(authorization if isinstance(authorization, str) else authorization.decode())
        plain = parts.path.endswith(_quoted(key)) and not parts.query
        if plain and (scope or not authorization):
            origin = f"{parts.scheme}://{parts.netloc}"
            self._places[bucket] = _Place(
                self._manager.connection_from_url(origin),
                origin,
                parts.path.removesuffix(_quoted(key)),
                scope[1] if scope else None,
            )
        else:
            self._places.pop(bucket, None)


def _quoted(key: str) -> str:
    return quote(key, safe="/-_.~")
