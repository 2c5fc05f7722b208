"""What is changed while others wait for it."""

from __future__ import annotations

from collections.abc import Callable

from streamzarr.runtime import Runtime


class Watched:
    """Wakes who has subscribed, whenever it has changed.

    Notes
    -----
    Threads: any thread may call any method; none blocks, and :meth:`wake` takes no lock.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._watching = runtime.lock()
        self._wakers: tuple[Callable[[], None], ...] = ()

    def subscribe(self, waker: Callable[[], None]) -> None:
        """Call `waker` at each change; it must be quick, safe in a signal handler, and may not raise."""
        with self._watching:
            self._wakers += (waker,)

    def unsubscribe(self, waker: Callable[[], None]) -> None:
        """Undo :meth:`subscribe`."""
        with self._watching:
            self._wakers = tuple(other for other in self._wakers if other != waker)

    def wake(self) -> None:
        """Make everybody who waits look again."""
        for waker in self._wakers:
            waker()
