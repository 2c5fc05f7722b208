"""Asking a running chain to stop: finish what has begun, within one deadline."""

from __future__ import annotations

from collections.abc import Callable

from streamzarr.flow.arguments import checked, runtime, seconds
from streamzarr.runtime import SYSTEM, Runtime


@checked("Stop", runtime=runtime)
class Stop:
    """Asks chains to drain, from any thread and from signal handlers. It never un-asks.

    Give it to :func:`streamzarr.flow.run`, or to a source. Several chains may share one: they then share
    the deadline as well.

    Notes
    -----
    Threads: :meth:`drain` and :meth:`now` take no lock and do not block, so they are safe in a signal
    handler. A later, earlier or equal deadline given twice: the earliest counts.

    Examples
    --------
    >>> stop = Stop()
    >>> stop.requested
    False
    >>> stop.drain(timeout=30.0)
    >>> stop.requested, 29 < stop.remaining() <= 30
    (True, True)
    """

    def __init__(self, runtime: Runtime = SYSTEM) -> None:
        self._now = runtime.now
        self._deadline: float | None = None
        self._lock = runtime.lock()  # for subscribe only, which signal handlers do not call
        self._wakers: tuple[Callable[[], None], ...] = ()

    @checked("Stop.drain", timeout=seconds())
    def drain(self, timeout: float) -> None:
        """Take nothing new, hand back what has not begun, finish the rest within `timeout` seconds."""
        deadline = self._now() + timeout
        if self._deadline is None or deadline < self._deadline:
            self._deadline = deadline
        for waker in self._wakers:
            waker()

    def now(self) -> None:
        """Hand back everything at once, without waiting for what is running."""
        self.drain(0.0)

    @property
    def requested(self) -> bool:
        """True after :meth:`drain` or :meth:`now`."""
        return self._deadline is not None

    def remaining(self) -> float:
        """Return the seconds left for draining: infinity when no stop was asked for, never below 0."""
        deadline = self._deadline
        return float("inf") if deadline is None else max(0.0, deadline - self._now())

    def subscribe(self, waker: Callable[[], None]) -> None:
        """Call `waker` when a stop is asked for; it must be safe in a signal handler."""
        with self._lock:
            self._wakers += (waker,)

    def unsubscribe(self, waker: Callable[[], None]) -> None:
        """Undo :meth:`subscribe`."""
        with self._lock:
            self._wakers = tuple(other for other in self._wakers if other != waker)
