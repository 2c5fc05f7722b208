"""Schemas by number, from a registry that speaks Confluent's protocol, as Karapace and Apicurio do."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from streamzarr.errors import ConfigError, SchemaRegistryError
from streamzarr.feeds.decode.objects import Malformed
from streamzarr.redact import redacted
from streamzarr.runtime import SYSTEM, Runtime

MAX_ANSWER: Final = 4 << 20
"""Bytes of an answer."""
TIMEOUT: Final = 10.0
"""Seconds for one answer."""
PATIENCE: Final = 2.0
"""Seconds for which an absent registry is asked again; then the feed waits, and goes on polling."""
MAX_UNKNOWN: Final = 10_000
"""Numbers without a schema that are remembered, so that they are not asked for by each message."""
MAX_REFERENCES: Final = 100
"""Schemas that one may refer to, with all that those do."""
_NO_ANSWER: Final = (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError)
HEADER: Final = 5
"""Bytes before the record: a zero, and the number of its schema."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A schema as the registry has it."""

    kind: str
    """``AVRO``, ``PROTOBUF`` or ``JSON``."""
    text: str
    references: tuple[str, ...] = ()
    """Where the registry has the schemas whose types it names."""
    others: tuple[str, ...] = ()
    """Those, and what they refer to, each behind what it needs; empty until they were asked for."""


class Registry:
    """A registry. Owned by one thread, which waits for it while it is away, some seconds at most.

    Parameters
    ----------
    url
        ``http[s]://[user:password@]host[:port][/path]``.
    runtime
        Clock and waiting.
    """

    def __init__(self, url: str, runtime: Runtime = SYSTEM) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"decode: registry is {redacted(url)!r}, expected such as http://host:8081")
        self._base = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        self._headers = {"Accept": "application/vnd.schemaregistry.v1+json"}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        self._runtime = runtime
        self._known: dict[int, Registered] = {}
        self._unknown: dict[int, str] = {}

    def schema(self, number: int) -> Registered:
        """Return the schema with this number.

        Raises
        ------
        Malformed
            There is none: whoever wrote the message made it up, or it is of another registry.
        streamzarr.errors.SchemaRegistryError
            The registry is away, or refuses us. Nothing is wrong with the messages.
        """
        if (known := self._known.get(number)) is not None:
            return known
        if (why := self._unknown.get(number)) is None:
            found = self._patiently(f"/schemas/ids/{number}")
            why = f"schema {number} is not in the registry at {self._base}"
            if found is not None:
                others: dict[str, str] = {}
                missing = self._follow(found, others) if found.kind == "AVRO" else None
                if missing is None:
                    self._known[number] = replace(found, others=tuple(others.values()))
                    return self._known[number]
                why = f"schema {number} of the registry refers to {missing}"
            if len(self._unknown) < MAX_UNKNOWN:
                self._unknown[number] = why
        raise Malformed(why)

    def _follow(self, found: Registered, others: dict[str, str]) -> str | None:
        """Gather by their places the schemas that one refers to; return which cannot be had."""
        for place in found.references:
            if place in others:
                continue
            if len(others) == MAX_REFERENCES:
                return f"more than {MAX_REFERENCES} others"
            others[place] = ""  # so that a circle ends
            other = self._patiently(place)
            if other is None:
                return f"{unquote(place)}, which is not there"
            if (missing := self._follow(other, others)) is not None:
                return missing
            del others[place]
            others[place] = other.text  # behind those
        return None

    def _patiently(self, path: str) -> Registered | None:
        deadline, pause = self._runtime.now() + PATIENCE, 0.1
        while True:
            try:
                return self._asked(path)
            except _NO_ANSWER as error:
                if self._runtime.now() + pause > deadline:
                    raise SchemaRegistryError(f"schema registry {self._base}{path}: {error}") from error
            self._runtime.bell().wait(pause)
            pause = min(5.0, 2 * pause)

    def _asked(self, path: str) -> Registered | None:
        """Return the answer to one question; None: there is no such schema."""
        request = urllib.request.Request(self._base + path, headers=self._headers)  # noqa: S310 - http(s) only
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
                answer = json.loads(response.read(MAX_ANSWER))
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                if error.code in (401, 403):
                    raise SchemaRegistryError(
                        f"schema registry {self._base}{path}: {error.code} {error.reason}; put user and "
                        "password into its URL"
                    ) from error
                raise
        references = tuple(
            f"/subjects/{quote(str(each['subject']), safe='')}/versions/{int(each['version'])}"
            for each in answer.get("references") or ()
        )
        return Registered(str(answer.get("schemaType", "AVRO")), str(answer["schema"]), references)


def numbered(value: bytes) -> tuple[int, bytes]:
    """Return the number of a message's schema, and what is behind it; raises :class:`Malformed`.

    >>> numbered(bytes([0, 0, 0, 0, 7, 42]))
    (7, b'*')
    """
    if len(value) < HEADER or value[0] != 0:
        raise Malformed(
            f"got {len(value)} bytes that begin with 0x{value[:1].hex()}, expected 0x00 and a schema's number"
        )
    return int.from_bytes(value[1:HEADER], "big"), value[HEADER:]
