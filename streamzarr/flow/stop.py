"""Asking a running chain to stop: finish what has begun, within one deadline."""

from __future__ import annotations

from streamzarr.flow.arguments import checked, patience, runtime
from streamzarr.flow.watched import Watched
from streamzarr.runtime import SYSTEM, Runtime


@checked("Stop", runtime=runtime)
class Stop(Watched):
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
        super().__init__(runtime)
        self._now = runtime.now
        self._deadline: float | None = None

    @checked("Stop.drain", timeout=patience)
    def drain(self, timeout: float) -> None:
        """Take nothing new, hand back what has not begun, finish the rest within `timeout` seconds."""
        deadline = self._now() + timeout
        if self._deadline is None or deadline < self._deadline:
            self._deadline = deadline
        self.wake()

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
