"""A record as read back, and where it lies."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


Headers: TypeAlias = tuple[tuple[str, bytes], ...]


class Record(NamedTuple):
    """One record of a topic as read back. A named tuple because millions are made."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int
    """Milliseconds since the epoch."""
