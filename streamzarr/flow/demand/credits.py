"""Demand: how many more messages, and bytes, may be in flight.

The arithmetic is in :mod:`streamzarr.flow.demand.balance`; :class:`Demand` adds a lock and wakes who waits.
Credit is room in memory: it returns when a message's data have left memory, not when it is delivered, so it
bounds everything between source and settler, threads included.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from streamzarr.flow.arguments import checked, integer, nbytes, optional, runtime
from streamzarr.flow.demand.balance import Balance, Bounds, admit, release, split
from streamzarr.flow.watched import Watched
from streamzarr.options import parse_bytes
from streamzarr.runtime import SYSTEM, Runtime


class Room(NamedTuple):
    """How much a source may pull now."""

    messages: int
    nbytes: int | None
    """Bytes still free; ``None`` when they are not bounded."""


class Credits(Watched, ABC):
    """Who decides how many more messages may enter a chain.

    Thread-safe: a chain asks and settles on its own thread, several chains may share one object. Only
    :meth:`room` may block (on a broker, see :class:`streamzarr.flow.LagDemand`).
    """

    max_bytes: int | None = None
    """Bytes in flight, at most; ``None``: not bounded."""
    recheck: float | None = None
    """Seconds after which ``room`` may have grown without anybody being woken; ``None``: never."""

    def __init__(self, runtime: Runtime = SYSTEM) -> None:
        super().__init__(runtime)
        self._runtime = runtime
        self._lock = runtime.lock()
        self._closed = False

    @abstractmethod
    def room(self) -> Room:
        """Return what may be pulled now: a hint, since only :meth:`take` is binding."""

    @abstractmethod
    def take(self, sizes: Sequence[int], counts: Sequence[int] | None = None) -> int:
        """Let in as many messages of these sizes (bytes), in order, as may enter; return how many.

        `counts` are the records that each stands for; ``None``: one each.
        """

    @abstractmethod
    def settle(self, count: int, nbytes: int) -> None:
        """Take back the credit of `count` records of `nbytes` in all."""

    def charge(self, nbytes: int, records: int = 0) -> None:
        """Note that what is in flight has grown by `nbytes`: decoded data, an accumulator. Never refused."""

    @property
    def closed(self) -> bool:
        """True after :meth:`close`."""
        return self._closed

    def close(self) -> None:
        """Let nothing more in. Chains that use these credits settle what they hold and complete."""
        self._closed = True
        self.wake()

    def wait(self, timeout: float) -> bool:
        """Block until there is room, somebody calls :meth:`wake` or `timeout` seconds have passed.

        Returns
        -------
        bool
            Whether there is room.
        """
        bell = self._runtime.bell()
        self.subscribe(bell.ring)
        try:
            deadline = self._runtime.now() + timeout
            rung = False
            while not (room := self.room().messages) and not rung and not self._closed:
                left = deadline - self._runtime.now()
                if left <= 0:
                    break
                rung = bell.wait(left if self.recheck is None else min(left, self.recheck))
            return bool(room or self.room().messages)
        finally:
            self.unsubscribe(bell.ring)


@checked(
    "Demand",
    max_demand=integer(1),
    min_demand=optional(integer(0)),
    max_bytes=optional(nbytes),
    runtime=runtime,
)
class Demand(Credits):
    """At most `max_demand` messages and `max_bytes` bytes in flight, from delivery until settled.

    Parameters
    ----------
    max_demand
        Messages in flight, at most.
    min_demand
        Ask for more only when no more than this are outstanding; half of `max_demand` when absent.
    max_bytes
        Bytes in flight, at most: a number or such as ``"256MB"``. A single bigger message travels alone.

    Raises
    ------
    streamzarr.errors.ConfigError
        The bounds do not fit together.

    Notes
    -----
    Threads: any thread may call any method; none blocks but :meth:`wait`.
    Source: GenStage's ``max_demand`` and ``min_demand``; bytes are ours.

    Examples
    --------
    >>> demand = Demand(max_demand=4, max_bytes="1kB")
    >>> demand.take([400, 400, 400])
    2
    >>> demand.in_flight, demand.in_flight_bytes, demand.wait(timeout=0)
    (2, 800, True)
    >>> demand.settle(2, 800)
    >>> demand.in_flight, demand.peak
    (0, 2)
    """

    def __init__(
        self,
        max_demand: int,
        min_demand: int | None = None,
        max_bytes: int | str | None = None,
        *,
        runtime: Runtime = SYSTEM,
    ) -> None:
        super().__init__(runtime)
        self.bounds = Bounds(
            max_demand,
            max_demand // 2 if min_demand is None else min_demand,
            None if max_bytes is None else parse_bytes(max_bytes),
        )
        self.max_bytes = self.bounds.max_bytes
        self._balance = Balance(credit=max_demand)
        self._peak = self._peak_bytes = 0

    def room(self) -> Room:
        """Return what may be pulled now; never more at once than the first batch of :func:`split`."""
        balance, bounds = self._balance, self.bounds
        limit = bounds.max_bytes
        nbytes = None if limit is None else max(0, limit - balance.in_flight_bytes)
        if self._closed or balance.credit == 0:
            return Room(0, nbytes)
        if nbytes == 0:  # held by accumulators, where nothing is in flight: one message at a time goes on
            return Room(0 if balance.in_flight else 1, nbytes)
        return Room(split(balance.credit, bounds)[0], nbytes)

    def take(self, sizes: Sequence[int], counts: Sequence[int] | None = None) -> int:
        """Let in as many messages of these sizes (bytes), in order, as credit and bytes allow."""
        with self._lock:
            if self._closed:
                return 0
            self._balance, count = admit(self._balance, sizes, self.bounds, counts)
            self._peak = max(self._peak, self._balance.in_flight)
            self._peak_bytes = max(self._peak_bytes, self._balance.in_flight_bytes)
            return count

    def settle(self, count: int, nbytes: int) -> None:
        """Take back the credit of `count` settled messages of `nbytes` bytes in all.

        Raises
        ------
        ValueError
            More is settled than is in flight.
        """
        with self._lock:
            self._balance = release(self._balance, count, nbytes, self.bounds)
        self.wake()

    def charge(self, nbytes: int, records: int = 0) -> None:
        """Note that what is in flight has grown by `nbytes`, or shrunk; new messages wait until it fits."""
        with self._lock:
            self._balance = release(self._balance, -records, -nbytes, self.bounds)
            self._peak_bytes = max(self._peak_bytes, self._balance.in_flight_bytes)
        if nbytes < 0:
            self.wake()

    @property
    def in_flight(self) -> int:
        """Messages delivered and not settled."""
        return self._balance.in_flight

    @property
    def in_flight_bytes(self) -> int:
        """Bytes of the messages in flight."""
        return self._balance.in_flight_bytes

    @property
    def peak(self) -> int:
        """Most messages that were ever in flight."""
        return self._peak

    @property
    def peak_bytes(self) -> int:
        """Most bytes that were ever in flight."""
        return self._peak_bytes

    def __repr__(self) -> str:
        flying = f"in_flight={self.in_flight}, in_flight_bytes={self.in_flight_bytes}"
        return f"Demand({self.bounds.max_demand}, {flying})"
