"""Charging messages with what they really hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from reactivex.abc import ObserverBase

from streamzarr.errors import TransformError
from streamzarr.flow.arguments import checked, function, text
from streamzarr.flow.chain import Chain
from streamzarr.flow.graph import Operator, staged
from streamzarr.flow.message import Batch, Message
from streamzarr.flow.ops.each import failed
from streamzarr.flow.sizes import checked_nbytes
from streamzarr.flow.stage import Stage


@checked("ops.charge", size_of=function, stage=text)
def charge(size_of: Callable[[Any], int], *, stage: str = "charge") -> Operator:
    """Charge each message with ``size_of(data)`` bytes, in place of those that it came with.

    For decoded data that are much larger, or smaller, than their records: ``max_bytes`` then bounds what is
    in memory. What has grown is never refused, but nothing new enters until it fits.

    Parameters
    ----------
    size_of
        Returns bytes, an integer of at least 0. An exception, or anything else, fails this message only.
    stage
        Its name in the failure.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run
    >>> demand = Demand(10, max_bytes=100)
    >>> chain = from_iterable([b"a", b"b"], demand, batch=1).pipe(
    ...     ops.map(lambda data: data * 80), ops.charge(len), ops.batch(2), ops.settle()
    ... )
    >>> run(chain).ok, demand.peak_bytes
    (2, 160)
    """
    return staged(lambda chain, observer: _Charge(chain, observer, size_of, stage))


class _Charge(Stage):
    """Holds nothing."""

    def __init__(
        self, chain: Chain, observer: ObserverBase[Batch], size_of: Callable[[Any], int], name: str
    ) -> None:
        super().__init__(chain, observer)
        self._size_of, self._name = size_of, name

    def receive(self, messages: Sequence[Message]) -> None:
        self.emit([self._charged(message) for message in messages])

    def _charged(self, message: Message) -> Message:
        if message.failure is not None:
            return message
        try:
            nbytes = checked_nbytes(self._size_of(message.data), self._name, TransformError)
        except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
            return failed(message, error, self._name)
        return self.chain.resize(message, nbytes)
