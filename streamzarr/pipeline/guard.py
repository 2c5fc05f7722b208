"""What a supervised process says of the messages in its hands, so that one that kills it is found.

The register holds stretches of a partition's offsets: after a death all messages of the stretches that were
in flight are suspects, and they are tried in a process that takes nothing along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from hashlib import blake2b
from typing import Any, Final, Protocol

from streamzarr.pipeline.message import Message

STRETCH: Final = 16
"""Offsets that share a token: the register holds 4096, and batches may be large."""


class Supervision(Protocol):
    """What a pipeline needs from whoever supervises its process; ``streamzarr.supervisor`` implements it."""

    @property
    def task_timeout(self) -> float | None:
        """Seconds that one call of a handler may take; None: for ever."""

    def on_stop(self, callback: Callable[[float], object]) -> None:
        """Have `callback` called once with the seconds to drain, when this process shall stop."""

    def beat(self) -> None:
        """Say that this process is alive."""

    def started(self, token: bytes) -> None:
        """Enter a 16-byte token into the register of work in flight."""

    def finished(self, token: bytes) -> None:
        """Take a token out of the register."""

    def suspicion(self, token: bytes) -> Any:
        """Return what is held against a token that was in flight when a process died; None: nothing."""


class Guard:
    """Enters messages into the register of a process. Threads: any; nothing blocks.

    Parameters
    ----------
    supervision
        ``None``: nobody supervises this process, and nothing is suspected.
    """

    def __init__(self, supervision: Supervision | None) -> None:
        self._supervision = supervision

    @property
    def supervised(self) -> bool:
        """Whether somebody supervises this process."""
        return self._supervision is not None

    def beat(self) -> None:
        """Say that this process is alive."""
        if self._supervision is not None:
            self._supervision.beat()

    @property
    def task_timeout(self) -> float | None:
        """Seconds that one call of a handler may take."""
        return None if self._supervision is None else self._supervision.task_timeout

    def suspects(self, messages: Sequence[Message]) -> set[int]:
        """Return the places of messages that may have killed a process."""
        if self._supervision is None:
            return set()
        by_token: dict[bytes, list[int]] = {}
        for message in messages:
            if message.row is not None:
                by_token.setdefault(_token(message), []).append(message.place)
        suspicion = self._supervision.suspicion
        return {place for token, places in by_token.items() if suspicion(token) for place in places}

    def watching(self, messages: Sequence[Message]) -> AbstractContextManager[None]:
        """Keep `messages` in the register while handlers have them."""
        return nullcontext() if self._supervision is None else self._watching(self._supervision, messages)

    @contextmanager
    def _watching(self, supervision: Supervision, messages: Sequence[Message]) -> Iterator[None]:
        tokens = {_token(message) for message in messages if message.row is not None}
        for token in tokens:
            supervision.started(token)
        try:
            yield
        finally:
            for token in tokens:
                supervision.finished(token)


def _token(message: Message) -> bytes:
    """Return what names the stretch of a record."""
    topic, partition, offset = (message.row or ())[:3]
    return blake2b(f"{topic}/{partition}/{offset // STRETCH}".encode(), digest_size=16).digest()
