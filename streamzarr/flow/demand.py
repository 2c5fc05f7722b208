"""Demand: how many more messages, and bytes, may be in flight.

The arithmetic is GenStage's (``gen_stage/lib/gen_stage/utils.ex``), as pure functions over a frozen
:class:`Balance`; :class:`Demand` adds a lock and wakes who waits. Credit returns when a message is
*settled*, not when it is delivered, so it bounds everything between source and settler, threads included.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streamzarr.errors import ConfigError
from streamzarr.flow.clock import MONOTONIC, Bell, Clock
from streamzarr.options import parse_bytes

# -- arithmetic ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be in flight at once.

    Raises
    ------
    streamzarr.errors.ConfigError
        Not ``0 <= min_demand < max_demand``, or `max_bytes` below 1.
    """

    max_demand: int
    min_demand: int
    """New messages are asked for when no more than this are outstanding."""
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.max_demand < 1:
            raise ConfigError(f"max_demand is {self.max_demand}, expected at least 1")
        if not 0 <= self.min_demand < self.max_demand:
            raise ConfigError(f"min_demand is {self.min_demand}, expected 0 to {self.max_demand - 1}")
        if self.max_bytes is not None and self.max_bytes < 1:
            raise ConfigError(f"max_bytes is {self.max_bytes}, expected at least 1")


@dataclass(frozen=True, slots=True)
class Balance:
    """`credit` is asked for and not delivered yet, `in_flight` is delivered and not settled yet."""

    credit: int = 0
    in_flight: int = 0
    in_flight_bytes: int = 0


def refill(credit: int, in_flight: int, bounds: Bounds) -> int:
    """Return the new credit: nothing is asked for until enough is settled to ask for much at once.

    That hysteresis is what keeps messages moving in batches: without it a full pipeline would fetch one
    message for each one that it settles. Whatever comes in, ``in_flight + credit`` never exceeds
    ``max_demand`` (or `in_flight` itself, where somebody else has raised it).

    Examples
    --------
    >>> bounds = Bounds(max_demand=10, min_demand=5)
    >>> refill(0, 6, bounds), refill(0, 5, bounds), refill(3, 2, bounds), refill(4, 9, bounds)
    (0, 5, 8, 1)
    """
    space = max(0, bounds.max_demand - in_flight)
    return space if credit + in_flight <= bounds.min_demand else min(credit, space)


def split(count: int, bounds: Bounds) -> list[int]:
    """Cut `count` messages into batches after each of which demand may be asked for again.

    A batch of ``max - min`` is the largest one whose settling alone brings the outstanding messages down to
    ``min_demand``: the next ones are fetched while the rest is being worked on.

    Examples
    --------
    >>> split(1000, Bounds(max_demand=1000, min_demand=600))
    [400, 400, 200]
    """
    step = bounds.max_demand - bounds.min_demand
    return [min(step, count - start) for start in range(0, count, step)]


def admit(balance: Balance, sizes: Sequence[int], bounds: Bounds) -> tuple[Balance, int]:
    """Let in as many of the messages, in order, as credit and bytes allow; return how many.

    A message bigger than ``max_bytes`` is let in alone: otherwise it could never travel.

    Examples
    --------
    >>> bounds = Bounds(max_demand=10, min_demand=5, max_bytes=100)
    >>> admit(Balance(credit=10), [60, 30, 20], bounds)
    (Balance(credit=8, in_flight=2, in_flight_bytes=90), 2)
    >>> admit(Balance(credit=10), [500, 1], bounds)
    (Balance(credit=9, in_flight=1, in_flight_bytes=500), 1)
    """
    count = min(balance.credit, len(sizes))
    if bounds.max_bytes is None:
        nbytes = sum(sizes[:count])
    else:
        count, nbytes = _fitting(sizes[:count], bounds.max_bytes, balance)
    if count == 0:
        return balance, 0
    return Balance(balance.credit - count, balance.in_flight + count, balance.in_flight_bytes + nbytes), count


def _fitting(sizes: Sequence[int], max_bytes: int, balance: Balance) -> tuple[int, int]:
    nbytes = 0
    for index, size in enumerate(sizes):
        alone = index == 0 and balance.in_flight == 0
        if balance.in_flight_bytes + nbytes + size > max_bytes and not alone:
            return index, nbytes
        nbytes += size
    return len(sizes), nbytes


def release(balance: Balance, count: int, nbytes: int, bounds: Bounds) -> Balance:
    """Take back `count` settled messages of `nbytes` in all.

    Raises
    ------
    ValueError
        More is taken back than is in flight.

    Examples
    --------
    >>> release(Balance(0, 10, 80), 5, 40, Bounds(max_demand=10, min_demand=5))
    Balance(credit=5, in_flight=5, in_flight_bytes=40)
    """
    in_flight, in_flight_bytes = balance.in_flight - count, balance.in_flight_bytes - nbytes
    if in_flight < 0 or in_flight_bytes < 0:
        raise ValueError(
            f"{count} messages of {nbytes} bytes settled, "
            f"but {balance.in_flight} of {balance.in_flight_bytes} bytes are in flight"
        )
    return Balance(refill(balance.credit, in_flight, bounds), in_flight, in_flight_bytes)


# -- credits ---------------------------------------------------------------------------------------------


class Room(NamedTuple):
    """How much a source may pull now."""

    messages: int
    nbytes: int | None
    """Bytes still free; ``None`` when they are not bounded."""


class Credits(ABC):
    """Who decides how many more messages may enter a chain.

    Thread-safe: a chain asks and settles on its own thread, several chains may share one object. Only
    :meth:`room` may block (on a broker, see :class:`streamzarr.flow.LagDemand`).
    """

    recheck: float | None = None
    """Seconds after which ``room`` may have grown without anybody being woken; ``None``: never."""

    def __init__(self, clock: Clock = MONOTONIC) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wakers: tuple[Callable[[], None], ...] = ()
        self._closed = False

    @abstractmethod
    def room(self) -> Room:
        """Return what may be pulled now: a hint, since only :meth:`take` is binding."""

    @abstractmethod
    def take(self, sizes: Sequence[int]) -> int:
        """Let in as many messages of these sizes (bytes), in order, as may enter; return how many."""

    @abstractmethod
    def settle(self, count: int, nbytes: int) -> None:
        """Take back the credit of `count` messages of `nbytes` in all."""

    @property
    def closed(self) -> bool:
        """True after :meth:`close`."""
        return self._closed

    def close(self) -> None:
        """Let nothing more in. Chains that use these credits settle what they hold and complete."""
        self._closed = True
        self.wake()

    def subscribe(self, waker: Callable[[], None]) -> None:
        """Call `waker` whenever there may be more room; it must be quick and may not raise."""
        with self._lock:
            self._wakers += (waker,)

    def unsubscribe(self, waker: Callable[[], None]) -> None:
        """Undo :meth:`subscribe`."""
        with self._lock:
            self._wakers = tuple(other for other in self._wakers if other != waker)

    def wake(self) -> None:
        """Make everybody who waits for room look again."""
        for waker in self._wakers:
            waker()

    def wait(self, timeout: float) -> bool:
        """Block until there is room, somebody calls :meth:`wake` or `timeout` seconds have passed.

        Returns
        -------
        bool
            Whether there is room.
        """
        bell = Bell()
        self.subscribe(bell.ring)
        try:
            deadline = self._clock.now() + timeout
            rung = False
            while not (room := self.room().messages) and not rung and not self._closed:
                left = deadline - self._clock.now()
                if left <= 0:
                    break
                rung = self._clock.wait(bell, left if self.recheck is None else min(left, self.recheck))
            return bool(room or self.room().messages)
        finally:
            self.unsubscribe(bell.ring)


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
        clock: Clock = MONOTONIC,
    ) -> None:
        super().__init__(clock)
        self.bounds = Bounds(
            max_demand,
            max_demand // 2 if min_demand is None else min_demand,
            None if max_bytes is None else parse_bytes(max_bytes),
        )
        self._balance = Balance(credit=max_demand)
        self._peak = self._peak_bytes = 0

    def room(self) -> Room:
        """Return what may be pulled now; never more at once than the first batch of :func:`split`."""
        balance, bounds = self._balance, self.bounds
        limit = bounds.max_bytes
        nbytes = None if limit is None else max(0, limit - balance.in_flight_bytes)
        if self._closed or balance.credit == 0 or nbytes == 0:
            return Room(0, nbytes)
        return Room(split(balance.credit, bounds)[0], nbytes)

    def take(self, sizes: Sequence[int]) -> int:
        """Let in as many messages of these sizes (bytes), in order, as credit and bytes allow."""
        with self._lock:
            if self._closed:
                return 0
            self._balance, count = admit(self._balance, sizes, self.bounds)
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
