"""Items of another Observable, hot or cold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import reactivex.operators as rx
from reactivex import Observable
from reactivex.abc import DisposableBase

from streamzarr.flow.arguments import checked, function, instance
from streamzarr.flow.demand.credits import Credits, Room
from streamzarr.flow.drive import observe
from streamzarr.flow.graph import Graph
from streamzarr.flow.message import Batch
from streamzarr.flow.sources.items import SOURCE, ItemSource, Sized, SizeOf, size_of, sized_by
from streamzarr.flow.sources.overflow import Overflow
from streamzarr.flow.stop import Stop


@checked(
    "from_observable",
    observable=instance(Observable, "an Observable of RxPY"),
    overflow=instance(Overflow, "a Blocking, Spilling or Refusing buffer, e.g. Blocking(1000)"),
    size_of=function,
    **SOURCE,
)
def from_observable(
    observable: Observable[Any],
    demand: Credits,
    overflow: Overflow,
    *,
    size_of: SizeOf = size_of,
    stop: Stop | None = None,
    on_turn: Callable[[], None] | None = None,
) -> Observable[Batch]:
    """Emit what `observable` emits, from whatever thread and at whatever pace it does so.

    It knows no demand. What comes while the chain has no room is kept by `overflow`, which is also what
    happens when that is full: the thread that emits waits, the rest goes to disk, or the chain ends with an
    error. Nothing is dropped. Its ``on_error`` breaks the chain, behind what it emitted before.

    Parameters
    ----------
    observable
        Subscribed to when the chain starts, on a thread of its own, so that a cold one may emit at once.
    demand
        Bounds what is in flight until ``ops.settle``.
    overflow
        A :class:`~streamzarr.flow.Blocking`, :class:`~streamzarr.flow.Spilling` or
        :class:`~streamzarr.flow.Refusing` buffer. When a chain stops, what it has not taken stays there, for
        the next run; ``overflow.buffered`` says how much that is.
    size_of
        Bytes that an item counts for.

    Raises
    ------
    streamzarr.errors.BufferFullError
        By ``on_error``: `overflow` can keep no more; or the chain's own thread emitted, such as by an
        operator that feeds the chain's source, and would have waited for itself.

    Examples
    --------
    >>> import reactivex
    >>> from streamzarr.flow import Blocking, Demand, ops, run
    >>> prices = reactivex.from_iterable([1.5, 2.5, 3.5])
    >>> run(from_observable(prices, Demand(2), Blocking(100)).pipe(ops.settle())).ok
    3
    """
    return observe(
        lambda graph: _Observed(graph, demand, observable, overflow, size_of),
        demand,
        stop=stop,
        on_turn=on_turn,
    )


class _Observed(ItemSource):
    """Threads: those that emit write `_error`, then `_ended`; the chain's reads them in the other order."""

    def __init__(
        self,
        graph: Graph,
        credits: Credits,  # noqa: A002
        observable: Observable[Any],
        overflow: Overflow,
        size_of: SizeOf,
    ) -> None:
        super().__init__(graph, credits)
        self._observable, self._overflow, self._size_of = observable, overflow, sized_by(size_of)
        runtime = graph.chain.runtime
        self._on_chain = runtime.local(False)
        self._subscriber = runtime.thread(self._subscribe, "streamzarr-observe")
        self._subscription: DisposableBase | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._closed = False

    # -- on the chain's thread ---------------------------------------------------------------------------

    def open(self) -> None:
        self._on_chain.value = True
        self._overflow.open()
        self._subscriber.start()

    def next(self, room: Room) -> Sequence[Sized] | None:
        ended = self._ended  # looked at first: nothing comes after it
        items = self._overflow.take(room.messages)
        if not items and ended:
            if self._error is not None:
                raise self._error
            return None
        return [(item, self._size_of(item)) for item in items]

    def close(self) -> None:
        self._closed = True
        if self._subscription is not None:
            self._subscription.dispose()
        self._overflow.stop()
        self._on_chain.value = False

    # -- on the threads of the observable ----------------------------------------------------------------

    def _subscribe(self) -> None:
        try:
            heard = self._observable.pipe(rx.take_while(lambda _: not self._closed))
            self._subscription = heard.subscribe(self._emitted, self._end, self._end)
        except BaseException as error:  # noqa: BLE001 - raised on the chain's thread
            self._end(error)
        if self._closed and self._subscription is not None:
            self._subscription.dispose()  # the chain has ended meanwhile

    def _emitted(self, item: Any) -> None:
        try:
            self._overflow.put(item, wait=not self._on_chain.value)
        except BaseException as error:  # noqa: BLE001 - raised on the chain's thread, not where it was emitted
            self._closed = True
            self._end(error)
        else:
            self.graph.chain.bell.ring()

    def _end(self, error: BaseException | None = None) -> None:
        if self._ended:
            return
        self._error = error
        self._ended = True
        self.graph.chain.bell.ring()
