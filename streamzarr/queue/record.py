"""A record to be written, one as read back, and where that lies."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class NewRecord:
    """One record to be written. Without `partition`, the key's CRC-32 chooses it (no key: any)."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    partition: int | None = None
    timestamp: int | None = None
    """Milliseconds since the epoch; the time of sending when absent."""
