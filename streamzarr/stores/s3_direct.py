"""Requests for objects without boto3 on the way: it says where and as whom, ours is what signs and carries.

boto3 takes 2 to 3 ms of processor time for one request of any size (user agent, endpoint rules, event hooks,
header parsing); this takes a tenth of it, which small chunks notice. Only the plain case is served: what is
not, from a redirect to a throttled, refused or cut-off answer, is asked again through boto3, which has the
rules for it. So every request here is one that may be sent twice; a conditional put is recognised by the
token that it carries (``s3``).
"""

from __future__ import annotations

import base64
import re
import ssl
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import getproxies

from streamzarr.stores.s3_sign import NO_BODY, Signer, canonical_query
from streamzarr.stores.s3_wire import Answer, NotPlainError, Wire
from streamzarr.stores.s3_xml import ListPage, all_deleted, deletion, parse_page

_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=[^,]*/\d{8}/([^/]+)/s3/aws4_request")
_NEEDS_QUOTING = re.compile(r"[^A-Za-z0-9/_.~-]")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_WATCHED = ("GetObject", "PutObject")


@dataclass(frozen=True, slots=True)
class DirectAnswer:
    """What a plain read gave."""

    data: bytes | None
    """The value or the range of it; empty when it went into a buffer; ``None`` when the key holds none."""
    size: int
    """Bytes of the value or range, more than a buffer that was too small has taken."""
    etag: str
    """As sent, in quotes."""
    partial: bool
    """The server sent the range that was asked for, and not the whole value."""


NO_VALUE = DirectAnswer(None, 0, "", False)
NOT_MODIFIED = DirectAnswer(None, 0, "", False)
"""The value is the one that the request says is known."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how boto3 asks for the objects of one bucket."""

    wire: Wire
    host: str
    path: str
    signer: Signer | None
    """``None`` where nothing is signed."""


class DirectClient:
    """Plain requests, over connections of their own. Thread-safe; belongs to one process.

    Where a bucket is and how its requests are signed is learnt by watching one that boto3 makes
    (:meth:`watching`); until then, and where boto3 does something unusual, no method has an answer.

    Parameters
    ----------
    session
        boto3 session that gives credentials and the bundle of certificates.
    boto
        boto3 client whose requests are watched, and whose timeouts hold here too.
    """

    def __init__(self, session: Any, boto: Any) -> None:
        self._config = boto.meta.config
        self._ca_bundle = session._session.get_config_variable("ca_bundle")
        self._credentials = session.get_credentials()
        self._places: dict[str, Place] = {}
        self._wires: dict[tuple[str, str, int], Wire] = {}
        self._lock = threading.Lock()
        self._watched = threading.local()
        if not getproxies():  # boto3 knows the way through them
            for operation in _WATCHED:
                boto.meta.events.register(f"before-send.s3.{operation}", self._learn)

    def get(
        self, bucket: str, key: str, headers: Mapping[str, str], buffer: memoryview | None = None
    ) -> DirectAnswer | None:
        """Read the object `key`, into `buffer` where one is given; ``None`` when boto3 must be asked."""
        answer = self._ask("GET", bucket, key, headers, buffer=buffer)
        if answer is None:
            return None
        if answer.status in (200, 206):
            return DirectAnswer(answer.body, answer.size, answer.field("etag"), answer.status == 206)
        if answer.status == 304:
            return NOT_MODIFIED
        if answer.status == 404 and b"<Code>NoSuchKey</Code>" in answer.body:
            return NO_VALUE
        return None

    def head(self, bucket: str, key: str) -> tuple[int, str] | None:
        """Return size and etag of the object `key`; ``None`` when boto3 must be asked instead."""
        answer = self._ask("HEAD", bucket, key)
        if answer is None or answer.status != 200:
            return None
        size = answer.field("content-length")
        return (int(size), answer.field("etag")) if size.isascii() and size.isdigit() else None

    def put(self, bucket: str, key: str, headers: Mapping[str, str], body: memoryview) -> str | None:
        """Write the object `key` and return its etag; ``None`` when boto3 must be asked, the value or not."""
        answer = self._ask("PUT", bucket, key, headers, body=body)
        return answer.field("etag") or None if answer is not None and answer.status == 200 else None

    def delete(self, bucket: str, key: str, headers: Mapping[str, str]) -> bool:
        """Delete the object `key`; false when boto3 must be asked, it may be deleted or not."""
        answer = self._ask("DELETE", bucket, key, headers)
        return answer is not None and answer.status in (200, 204)

    def delete_many(self, bucket: str, keys: Sequence[str]) -> bool:
        """Delete objects, at most 1000; false when boto3 must be asked, any of them may be deleted."""
        body = deletion(keys)
        if body is None:
            return False
        checksum = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
        headers = {"x-amz-checksum-crc32": checksum, "x-amz-sdk-checksum-algorithm": "CRC32"}
        answer = self._ask("POST", bucket, None, headers, query={"delete": ""}, body=body)
        return answer is not None and answer.status == 200 and all_deleted(answer.body)

    def page(self, bucket: str, query: Mapping[str, str]) -> ListPage | None:
        """Return a page of a listing; ``None`` when boto3 must be asked."""
        answer = self._ask("GET", bucket, None, query={"list-type": "2", "encoding-type": "url", **query})
        return parse_page(answer.body) if answer is not None and answer.status == 200 else None

    def _ask(
        self,
        method: str,
        bucket: str,
        key: str | None,
        headers: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | memoryview = b"",
        buffer: memoryview | None = None,
    ) -> Answer | None:
        """Ask for an object, or for the bucket where `key` is None."""
        place = self._places.get(bucket)
        if place is None:
            return None
        path = (place.path.rstrip("/") or "/") if key is None else place.path + _quoted(key)
        canonical = canonical_query(query) if query else ""
        fields = {"host": place.host}
        for name, value in (headers or {}).items():
            fields[name.lower()] = value
        if place.signer is not None:
            # Credentials are asked for each time: they may have been renewed.
            credentials = self._credentials.get_frozen_credentials()
            fields["x-amz-content-sha256"] = sha256(body).hexdigest() if body else NO_BODY
            fields["x-amz-date"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            if credentials.token:
                fields["x-amz-security-token"] = credentials.token
            fields["authorization"] = place.signer.authorization(
                method, path, fields, credentials.access_key, credentials.secret_key, canonical
            )
        if method in ("PUT", "POST"):
            fields["content-length"] = str(len(body))
        lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
        target = f"{path}?{canonical}" if canonical else path
        request = f"{method} {target} HTTP/1.1\r\n{lines}accept-encoding: identity\r\n\r\n".encode("latin-1")
        try:
            return place.wire.ask(request, buffer, body=body, bodiless=method == "HEAD")
        except (NotPlainError, OSError):
            return None

    @contextmanager
    def watching(self, bucket: str, key: str) -> Iterator[None]:
        """Learn from what boto3 sends in this block, on this thread, about `key` of `bucket`."""
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
        plain = parts.path.endswith(_quoted(key)) and not parts.query and parts.scheme in _DEFAULT_PORTS
        if not plain or not (scope or not authorization):
            self._places.pop(bucket, None)
            return
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
        host = parts.hostname or ""
        self._places[bucket] = Place(
            self._wire(parts.scheme, host, port),
            host if port == _DEFAULT_PORTS[parts.scheme] else parts.netloc,
            parts.path.removesuffix(_quoted(key)),
            Signer(scope[1]) if scope else None,
        )

    def _wire(self, scheme: str, host: str, port: int) -> Wire:
        with self._lock:
            wire = self._wires.get((scheme, host, port))
            if wire is None:
                wire = self._wires[scheme, host, port] = Wire(
                    host,
                    port,
                    self._tls() if scheme == "https" else None,
                    connect_seconds=self._config.connect_timeout,
                    read_seconds=self._config.read_timeout,
                )
            return wire

    def _tls(self) -> ssl.SSLContext:
        """Return a context that trusts whom boto3 trusts."""
        from botocore.httpsession import create_urllib3_context, get_cert_path

        context: ssl.SSLContext = create_urllib3_context()
        context.load_verify_locations(self._ca_bundle or get_cert_path(True))
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = True
        return context


def _quoted(key: str) -> str:
    return quote(key, safe="/-_.~") if _NEEDS_QUOTING.search(key) else key
