"""Several messages of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from reactivex.abc import ObserverBase

from streamzarr.flow.arguments import checked, function, text
from streamzarr.flow.chain import Chain
from streamzarr.flow.graph import Operator, staged
from streamzarr.flow.message import Batch, Message
from streamzarr.flow.ops.each import failed
from streamzarr.flow.stage import Stage


@checked("ops.split", fn=function, stage=text)
def split(fn: Callable[[Any], Iterable[Any]], *, stage: str = "split") -> Operator:
    """Replace each message by one for each of the data that ``fn(data)`` returns.

    The record is done when all its pieces are. The first piece that fails makes it one dead letter, with that
    piece's reason; the others go on. Without pieces it is settled, as skipped.

    Parameters
    ----------
    fn
        Returns the data of the pieces. Runs on the chain's thread; all pieces are made before the first one
        goes on. An exception fails the message.
    stage
        Its name in the failure.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run
    >>> seen = []
    >>> chain = from_iterable(["a b", "", "c"], Demand(10)).pipe(
    ...     ops.split(str.split), ops.settle(lambda messages: seen.extend(m.data for m in messages))
    ... )
    >>> report = run(chain)
    >>> report.ok, report.skipped, seen
    (2, 1, ['a', 'b', 'c'])
    """
    return staged(lambda chain, observer: _Split(chain, observer, fn, stage))


flat_map = split
"""What Flow calls it."""


class _Split(Stage):
    """Holds nothing."""

    def __init__(
        self, chain: Chain, observer: ObserverBase[Batch], fn: Callable[[Any], Iterable[Any]], name: str
    ) -> None:
        super().__init__(chain, observer)
        self._fn, self._name = fn, name

    def receive(self, messages: Sequence[Message]) -> None:
        pieces: list[Message] = []
        for message in messages:
            if message.failure is not None:
                pieces.append(message)
                continue
            try:
                datas = list(self._fn(message.data))
            except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
                pieces.append(failed(message, error, self._name))
            else:
                pieces += self.chain.split(message, datas)
        self.emit(pieces)
