"""Regrouping messages into larger or smaller batches, or into one message each."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from reactivex.abc import ObserverBase

from streamzarr.flow.arguments import Check, checked, function, integer, nbytes, one_of, optional, text
from streamzarr.flow.chain import Chain
from streamzarr.flow.graph import Operator, staged
from streamzarr.flow.message import Batch, Flush, Marker, Message
from streamzarr.flow.ops.each import failed
from streamzarr.flow.ops.grouping import Groups, Limits, Until
from streamzarr.flow.stage import Stage
from streamzarr.flow.windows.moments import Duration, span

_GROUPS: Final[dict[str, Check]] = {
    "size": optional(integer(1)),
    "bytes": optional(nbytes),
    "timeout": optional(span()),
    "until": optional(function),
    "by": optional(one_of("key")),
    "stage": text,
}


@checked("ops.batch", **_GROUPS)
def batch(
    size: int | None = None,
    bytes: int | str | None = None,  # noqa: A002 - the word of the design
    timeout: Duration | None = None,
    *,
    until: Until | None = None,
    by: Literal["key"] | None = None,
    stage: str = "batch",
) -> Operator:
    """Regroup messages, in order, into batches: of `size`, of up to `bytes` bytes, or as `until` says.

    A batch leaves when it is full, when its first message has waited `timeout` seconds, and when nothing more
    can come: at the end, in a drain, or when all credit is held here. Thus no bounds can deadlock.

    Parameters
    ----------
    size
        Messages in a batch, at most.
    bytes
        Bytes in a batch, at most: a number or such as ``"64MB"``. A single bigger message is a batch alone.
    timeout
        Seconds, or text such as ``"250ms"``; without it a batch waits for messages as long as more may come.
    until
        Gets the data of the messages in the batch, the newest last, each time one has come, and tells whether
        the batch is full. An exception fails the newest.
    by
        ``"key"``: a batch for each key (see :func:`partition_by`), each with these bounds.
    stage
        Its name in failures.

    Raises
    ------
    streamzarr.errors.ConfigError
        A bound is below 1, or there is none.

    Notes
    -----
    Failed messages travel in the batches like others. The timer is the chain's own clock, no Rx scheduler,
    and is as exact as a turn of the chain.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run
    >>> batches = []
    >>> chain = from_iterable([3, 4, 9, 1, 2], Demand(10)).pipe(
    ...     ops.batch(until=lambda numbers: sum(numbers) >= 7),
    ...     ops.map_batch(lambda numbers: batches.append(numbers) or numbers),
    ...     ops.settle(),
    ... )
    >>> run(chain).ok, batches
    (5, [[3, 4], [9], [1, 2]])
    """
    limits = Limits.parse("ops.batch", size, bytes, until, timeout, by)
    return staged(lambda chain, observer: _Batching(chain, observer, Groups(limits, stage)))


@checked("ops.combine", fn=function, **_GROUPS)
def combine(
    fn: Callable[[list[Any]], Any],
    size: int | None = None,
    bytes: int | str | None = None,  # noqa: A002
    timeout: Duration | None = None,
    *,
    until: Until | None = None,
    by: Literal["key"] | None = None,
    stage: str = "combine",
) -> Operator:
    """Make one message of several: its data are ``fn(list of data)``, and it settles them all.

    When it fails later each of them is a dead letter. Its `parts` are the messages, its `key` that of the
    first. Groups are complete as those of :func:`batch`; failed messages pass on at once.

    Parameters
    ----------
    fn
        Runs on the chain's thread. An exception fails all messages of the group.
    size, bytes, timeout, until, by
        As of :func:`batch`.
    stage
        Its name in failures.

    Raises
    ------
    streamzarr.errors.ConfigError
        A bound is below 1, or there is none.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run
    >>> seen = []
    >>> chain = from_iterable("abcde", Demand(10)).pipe(
    ...     ops.combine("".join, size=2), ops.settle(lambda messages: seen.extend(m.data for m in messages))
    ... )
    >>> run(chain).ok, seen
    (5, ['ab', 'cd', 'e'])
    """
    limits = Limits.parse("ops.combine", size, bytes, until, timeout, by)
    return staged(lambda chain, observer: _Combining(chain, observer, Groups(limits, stage), fn, stage))


class _Gathering(Stage):
    """Holds messages until their group is complete; markers wait for the groups begun before them."""

    def __init__(self, chain: Chain, observer: ObserverBase[Batch], groups: Groups) -> None:
        super().__init__(chain, observer)
        self._groups = groups
        self._markers: deque[tuple[int, Marker]] = deque()  # with the number of groups that were begun then

    @abstractmethod
    def _let_go(self, groups: Sequence[Sequence[Message]]) -> None:
        """Pass on groups that are complete."""

    def _gather(self, messages: Sequence[Message]) -> None:
        now = self.chain.runtime.now()
        complete = self._groups.take_due(now)  # the source may have blocked for longer
        complete += self._groups.add_all(messages, now)
        self._leave(complete)

    def due(self) -> float | None:
        return self._groups.due()

    def turn(self) -> None:
        due = self._groups.due()
        if due is not None and due <= (now := self.chain.runtime.now()):
            self._leave(self._groups.take_due(now))

    def flush(self) -> None:
        self._leave(self._groups.take_all())

    def mark(self, marker: Marker) -> None:
        if isinstance(marker, Flush):
            self.flush()
        self._markers.append((self._groups.begun, marker))
        self._leave([])

    def _leave(self, groups: Sequence[Sequence[Message]]) -> None:
        self.waiting = self._groups.waiting
        if groups:
            self._let_go(groups)
        oldest = self._groups.oldest
        while self._markers and (oldest is None or self._markers[0][0] < oldest):
            self.emit_marker(self._markers.popleft()[1])

    def close(self, timeout: float) -> None:
        self._groups.take_all()
        self._markers.clear()
        self.waiting = 0


class _Batching(_Gathering):
    def receive(self, messages: Sequence[Message]) -> None:
        self._gather(messages)

    def _let_go(self, groups: Sequence[Sequence[Message]]) -> None:
        for group in groups:
            self.emit(group)


class _Combining(_Gathering):
    def __init__(
        self,
        chain: Chain,
        observer: ObserverBase[Batch],
        groups: Groups,
        fn: Callable[[list[Any]], Any],
        stage: str,
    ) -> None:
        super().__init__(chain, observer, groups)
        self._fn, self._name = fn, stage

    def receive(self, messages: Sequence[Message]) -> None:
        ready = [message for message in messages if message.failure is None]
        if len(ready) < len(messages):
            self.emit([message for message in messages if message.failure is not None])
        self._gather(ready)

    def _let_go(self, groups: Sequence[Sequence[Message]]) -> None:
        self.emit([message for group in groups for message in self._combined(group)])

    def _combined(self, group: Sequence[Message]) -> list[Message]:
        live = [message for message in group if message.failure is None]
        others = [message for message in group if message.failure is not None]  # by `until`
        if not live:
            return others
        try:
            data = self._fn([message.data for message in live])
        except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
            return others + [failed(message, error, self._name) for message in live]
        return [*others, self.chain.combine(live, data)]
