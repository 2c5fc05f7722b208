"""What is wrong with a value of the configuration, in words of TOML: what was got, and what expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import inspect


def told(error: msgspec.ValidationError, kind: type[Any]) -> tuple[tuple[str, ...], str]:
    """Return where below a value of this `kind` the mistake is, and what it is.

    Examples
    --------
    >>> from streamzarr.feeds.config import SourceConfig
    >>> def mistake(**table):
    ...     try:
    ...         msgspec.convert({"broker": "sqlite:///q.db", "topics": ["t"], **table}, SourceConfig)
    ...     except msgspec.ValidationError as error:
    ...         return told(error, SourceConfig)
    >>> mistake(start="earliest")
    (('start',), "invalid enum value 'earliest', expected one of 'begin', 'end'")
    >>> mistake(grop="g")[1]
    'unknown key `grop`, expected one of broker, topics, group, start, session_timeout, max_records, ...'
    """
    reason, _, path = str(error).partition(" - at `$.")
    keys = tuple(path.rstrip("`").split(".")) if path else ()
    reason = reason.replace("Object contains unknown field", "unknown key")
    reason = reason.replace("Object missing required field", "missing key")
    if reason.startswith(("unknown key", "Invalid enum value")) and (allowed := _allowed(kind, keys)):
        reason = f"{reason}, expected one of {', '.join(allowed)}"
    return keys, reason[:1].lower() + reason[1:]


def _allowed(kind: type[Any], keys: Sequence[str]) -> list[str]:
    """Return the keys of the table, or the texts, that may be at a place; nothing where that is not known."""
    found: Any = inspect.type_info(kind)
    for key in keys:
        fields = {each.encode_name: each.type for each in getattr(found, "fields", ())}
        found = fields.get(key)
    if isinstance(found, inspect.StructType):
        return [each.encode_name for each in found.fields]
    return list(map(repr, found.values)) if isinstance(found, inspect.LiteralType) else []
