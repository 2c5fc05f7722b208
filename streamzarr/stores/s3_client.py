"""The boto3 client behind :class:`~streamzarr.stores.s3.S3Store`: one per process and configuration."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any

from streamzarr.errors import ConfigError, StoreError, UnsupportedError
from streamzarr.redact import redacted
from streamzarr.stores.s3_direct import DirectClient
from streamzarr.stores.url import StoreURL

MAX_CONNECTIONS = 64
"""Connections that one client keeps open; more threads than that wait for each other."""
MAX_ATTEMPTS = 5
"""Tries of one request, by botocore's standard mode: throttling, server errors, lost connections."""
CONNECT_SECONDS = 10
READ_SECONDS = 60


@dataclass(frozen=True, slots=True)
class S3Config:
    """What tells one client from another. Credentials come from where boto3 finds them, never from a URL."""

    endpoint_url: str | None = None
    """Another server than AWS: ``http://127.0.0.1:9000``."""
    region: str | None = None
    """AWS region; from boto3's configuration when absent."""
    profile: str | None = None
    """Profile of the AWS configuration files."""
    anonymous: bool = False
    """Sign nothing: public buckets."""

    def __post_init__(self) -> None:
        if self.endpoint_url and redacted(self.endpoint_url) != self.endpoint_url:
            raise ConfigError(
                f"s3 endpoint {redacted(self.endpoint_url)!r}: expected no user information and no secrets, "
                "credentials are found by boto3"
            )

    @classmethod
    def of(cls, url: StoreURL) -> S3Config:
        """Return what the options of `url` ask for."""
        url.reject_options(("endpoint_url", "region", "profile", "anonymous"))
        anonymous = url.options.get("anonymous", "false")
        if anonymous not in ("true", "false"):
            raise ConfigError(
                f"store URL {url.shown}: option anonymous is {anonymous!r}, expected true or false"
            )
        return cls(
            endpoint_url=url.options.get("endpoint_url"),
            region=url.options.get("region"),
            profile=url.options.get("profile"),
            anonymous=anonymous == "true",
        )

    @property
    def options(self) -> dict[str, str]:
        """The options of a URL that asks for this."""
        given = {"endpoint_url": self.endpoint_url, "region": self.region, "profile": self.profile}
        options = {name: value for name, value in given.items() if value is not None}
        return {**options, "anonymous": "true"} if self.anonymous else options


class S3Client:
    """A boto3 client and what was learnt about its server. Thread-safe, as boto3 clients are."""

    def __init__(self, config: S3Config) -> None:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        session = boto3.session.Session(profile_name=config.profile, region_name=config.region)
        self.boto: Any = session.client(
            "s3",
            endpoint_url=config.endpoint_url,
            # Servers other than AWS want a region in the signature, but do not care which.
            region_name=session.region_name or ("us-east-1" if config.endpoint_url else None),
            config=Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                max_pool_connections=MAX_CONNECTIONS,
                parameter_validation=False,
                retries={"mode": "standard", "total_max_attempts": MAX_ATTEMPTS},
                # boto3's default checksums cost time, and fail on range reads from some servers.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": "path" if config.endpoint_url else "auto"},
                signature_version=UNSIGNED if config.anonymous else None,
                tcp_keepalive=True,
            ),
        )
        self.direct: DirectClient | None = DirectClient(session, self.boto)
        """The short way; ``None`` sends all requests through boto3."""
        self.is_aws = ".amazonaws.com" in str(self.boto.meta.endpoint_url)
        """Whether the server is AWS itself, not one that speaks its protocol."""
        self.quotes_etags = True
        """Whether ``If-Match`` takes the etag in quotes, as HTTP says; Ceph wants it bare."""


_clients: dict[S3Config, S3Client] = {}
_lock = threading.Lock()


def _forget_clients() -> None:
    """Let a forked child make its own: connections, and locks that were held, stay with the parent."""
    global _clients, _lock
    _clients = {}
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_clients)


def client_for(config: S3Config) -> S3Client:
    """Return this process's client for `config`; a forked child makes its own, with its own connections.

    Raises
    ------
    streamzarr.errors.StoreError
        boto3 refuses the configuration: unknown profile, no region, malformed endpoint.
    """
    client = _clients.get(config)
    if client is None:
        from botocore.exceptions import BotoCoreError

        with _lock:
            client = _clients.get(config)
            if client is None:
                try:
                    client = _clients[config] = S3Client(config)
                except (BotoCoreError, ValueError) as error:
                    raise StoreError(f"s3: no client for {config}: {error}") from error
    return client


def boto_errors() -> tuple[type[Exception], ...]:
    """Return what boto3 raises, and what comes through it when a body is read."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    return BotoCoreError, ClientError, HTTPError


def status_of(error: Exception) -> int:
    """Return the HTTP status of a boto3 error; 0 when no answer came."""
    response = getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: Exception) -> str:
    """Return the S3 error code of a boto3 error: ``NoSuchKey``; ``""`` when no answer came."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


_NO_KEY = frozenset({"NoSuchKey", "NotFound", "404", ""})
"""Codes of a key without a value; the answer to a HEAD has no code of its own."""


def is_missing(error: Exception) -> bool:
    """Tell whether the error says that the key holds no value.

    A missing bucket is another matter. So is a user that is not known, which versitygw answers by 404 too.
    """
    return status_of(error) == 404 and code_of(error) in _NO_KEY


def store_error(url: str, what: str, key: str, error: Exception) -> StoreError:
    """Return the error to raise for a boto3 error that means failure."""
    kind = UnsupportedError if status_of(error) == 501 else StoreError
    return kind(f"{url}: cannot {what} {key!r}: {error}")
