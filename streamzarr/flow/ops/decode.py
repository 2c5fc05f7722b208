"""Decoding: the first operator behind a topic, where bad records are told from good ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from reactivex.abc import ObserverBase

from streamzarr.flow.arguments import checked, function, text
from streamzarr.flow.chain import Chain
from streamzarr.flow.graph import Operator, staged
from streamzarr.flow.lazy import LazyMessages
from streamzarr.flow.message import Batch, Message
from streamzarr.flow.ops.each import Step, failed, mapped
from streamzarr.flow.stage import Stage


@checked("ops.decode", fn=function, stage=text)
def decode(fn: Callable[[Any], Any], *, stage: str = "decode") -> Operator:
    """Replace the data of each message by ``fn(data)``; of a run only its bad records fail.

    A message that stands for a run of records (:func:`streamzarr.flow.from_topic_columns`) is decoded at
    once. If that raises, the run is halved, and each half is decoded by itself, until the bad record stands
    alone: that takes about 2 log2(n) calls more for each.

    Parameters
    ----------
    fn
        Takes the value of a record, or a :class:`streamzarr.queue.Columns`. Runs on the chain's thread.
    stage
        Its name in the failure.

    Notes
    -----
    Of a run that was split before (by ``ops.broadcast``, say) all records fail together.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_topic_columns, ops, run, Stop
    >>> from streamzarr.testing.broker_fake import FakeBroker
    >>> broker = FakeBroker()
    >>> broker.create_topic("ticks")
    >>> broker.append("ticks", 0, b"1.5", b"no tick", b"1.25")
    >>> prices, letters, stop = [], [], Stop()
    >>> def store(messages):
    ...     prices.extend(price for message in messages for price in message.data)
    >>> chain = from_topic_columns(broker, "ticks", group="g", demand=Demand(100), stop=stop).pipe(
    ...     ops.decode(lambda run: [float(value) for value in run.values]),
    ...     ops.settle(store, dead_letters=lambda messages: letters.extend(messages) or stop.drain(1.0)),
    ... )
    >>> run(chain).ok, prices, [letter.record.offset for letter in letters]
    (2, [1.5, 1.25], [1])
    """
    return staged(lambda chain, observer: _Decode(chain, observer, fn, stage))


class _Decode(Stage):
    """Holds nothing."""

    def __init__(
        self, chain: Chain, observer: ObserverBase[Batch], fn: Callable[[Any], Any], name: str
    ) -> None:
        super().__init__(chain, observer)
        self._fn, self._name = fn, name
        self._steps = (Step(fn, name),)

    def receive(self, messages: Sequence[Message]) -> None:
        if isinstance(messages, LazyMessages):
            self.emit(mapped(messages, self._steps, self._all_decoded))
        else:
            self.emit(self._all_decoded(messages))

    def _all_decoded(self, messages: Sequence[Message]) -> list[Message]:
        return [decoded for message in messages for decoded in self._decoded(message)]

    def _decoded(self, message: Message) -> Iterator[Message]:
        if message.failure is not None:
            yield message
            return
        try:
            data = self._fn(message.data)
        except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
            bad = failed(message, error, self._name)
            if message.data is message.run and message.count > 1 and self.chain.is_whole(message):
                for half in self.chain.divide(message, message.count // 2):
                    yield from self._decoded(half)
            else:
                yield bad
        else:
            yield message.with_data(data)
