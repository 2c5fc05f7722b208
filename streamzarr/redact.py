"""URLs as they may be shown: without what only their owner should know."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

HIDDEN: Final = "***"

_SECRET: Final = re.compile(r"pass|pwd|secret|token|key|cred|auth|pem|jaas|signature|^sig$", re.IGNORECASE)
"""Names of options that hold secrets: of librdkafka, of stores, and of what plugins may call theirs."""


def redacted(url: str) -> str:
    """Return `url` with ``***`` in the place of user information and of options that may hold secrets.

    Works on the text, so that a URL that cannot be parsed can be shown in the error that says so; in doubt it
    hides too much.

    Examples
    --------
    >>> redacted("kafka://b1:9092?sasl.username=lab&sasl.password=hunter2&request_timeout=5")
    'kafka://b1:9092?sasl.username=lab&sasl.password=***&request_timeout=5'
    >>> redacted("s3://lab/a.zarr?endpoint_url=http://me:hunter2@127.0.0.1:9000")
    's3://lab/a.zarr?endpoint_url=http://***@127.0.0.1:9000'
    >>> redacted("data/a.zarr")
    'data/a.zarr'
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    place, question, query = rest.partition("?")
    if "@" in query and "=" not in query.partition("@")[0]:  # a password with a question mark in it
        place, question, query = rest, "", ""
    shown = f"{scheme}{mark}{_without_user(place)}{question}"
    return shown + "&".join(map(_option, query.split("&")))


def _without_user(place: str) -> str:
    authority, _, path = place.partition("/")
    # A colon before the first slash: of a port, or of a password with a slash in it.
    last = place.rfind("@") if ":" in authority and "@" in path else authority.rfind("@")
    return f"{HIDDEN}{place[last:]}" if last >= 0 else place


def _option(text: str) -> str:
    name, mark, value = text.partition("=")
    if not mark:
        return HIDDEN if text else ""  # perhaps the rest of a password with an ampersand in it
    if _SECRET.search(unquote(name)):
        return f"{name}={HIDDEN}"
    inner = unquote(value)
    hidden = redacted(inner)
    return text if hidden == inner else f"{name}={quote(hidden, safe='/:?=&@*')}"
