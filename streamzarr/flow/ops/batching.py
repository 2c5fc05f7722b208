"""Regrouping messages into larger or smaller batches."""

from __future__ import annotations

from reactivex.abc import ObserverBase

from streamzarr.errors import ConfigError
from streamzarr.flow.chain import Chain
from streamzarr.flow.graph import Operator, staged
from streamzarr.flow.message import Batch, Flush, Marker, Message
from streamzarr.flow.stage import Stage
from streamzarr.options import parse_bytes


def batch(
    size: int | None = None,
    bytes: int | str | None = None,  # noqa: A002 - the word of the design
    timeout: float | None = None,
) -> Operator:
    """Regroup messages, in order, into batches of `size` messages or of up to `bytes` bytes.

    A batch leaves when it is full, when its first message has waited `timeout` seconds, and when nothing more
    can come: at the end, in a drain, or when all credit is held here. Thus no bounds can deadlock.

    Parameters
    ----------
    size
        Messages in a batch, at most.
    bytes
        Bytes in a batch, at most: a number or such as ``"64MB"``. A single bigger message is a batch alone.
    timeout
        Seconds; without it a batch waits for messages as long as more may come.

    Raises
    ------
    streamzarr.errors.ConfigError
        A bound is below 1, or neither `size` nor `bytes` is given.

    Notes
    -----
    Failed messages travel in the batches like others. The timer is the chain's own clock, no Rx scheduler,
    and is as exact as a turn of the chain.
    """
    max_bytes = None if bytes is None else parse_bytes(bytes)
    if size is None and max_bytes is None:
        raise ConfigError("ops.batch() without size or bytes would never emit; expected one of them")
    if (size is not None and size < 1) or (max_bytes is not None and max_bytes < 1):
        raise ConfigError(f"ops.batch(size={size}, bytes={bytes}): expected at least 1")

    def make(chain: Chain, observer: ObserverBase[Batch]) -> _Batching:
        return _Batching(chain, observer, size, max_bytes, timeout)

    return staged(make)


class _Batching(Stage):
    def __init__(
        self,
        chain: Chain,
        observer: ObserverBase[Batch],
        size: int | None,
        max_bytes: int | None,
        timeout: float | None,
    ) -> None:
        super().__init__(chain, observer)
        self._size, self._max_bytes, self._timeout = size, max_bytes, timeout
        self._held: list[Message] = []
        self._nbytes = 0
        self._since = 0.0  # when the first of the held messages came
        self._barriers: list[Marker] = []  # what came behind held messages and must not overtake them

    def receive(self, messages: tuple[Message, ...]) -> None:
        for message in messages:
            if self._max_bytes is not None and self._held and self._nbytes + message.nbytes > self._max_bytes:
                self.flush()
            if not self._held:
                self._since = self.chain.runtime.now()
            self._held.append(message)
            self._nbytes += message.nbytes
            if len(self._held) == self._size or (
                self._max_bytes is not None and self._nbytes >= self._max_bytes
            ):
                self.flush()
        self.waiting = len(self._held)

    def due(self) -> float | None:
        return self._since + self._timeout if self._held and self._timeout is not None else None

    def turn(self) -> None:
        due = self.due()
        if due is not None and self.chain.runtime.now() >= due:
            self.flush()

    def flush(self) -> None:
        held, self._held, self._nbytes, self.waiting = self._held, [], 0, 0
        self.emit(held)
        barriers, self._barriers = self._barriers, []
        for barrier in barriers:
            self.emit_marker(barrier)

    def mark(self, marker: Marker) -> None:
        if isinstance(marker, Flush):
            self.flush()
        if self._held:
            self._barriers.append(marker)
        else:
            self.emit_marker(marker)

    def close(self, timeout: float) -> None:
        self._held, self._nbytes, self.waiting = [], 0, 0
