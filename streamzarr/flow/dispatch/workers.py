"""How many workers an operator has: a number that is changed while they work."""

from __future__ import annotations

from collections.abc import Callable

from streamzarr.errors import ConfigError
from streamzarr.runtime import SYSTEM, Runtime


class Workers:
    """The number of workers of ``ops.dispatch``, for whoever wants to change it while the chain runs.

    Raises
    ------
    streamzarr.errors.ConfigError
        `size` is below 1.

    Notes
    -----
    Threads: any thread may call any method; none blocks. More workers begin at the chain's next turn; those
    that are too many end when they have ended what they work on.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run
    >>> size = Workers(1)
    >>> def work(number):
    ...     if number == 10:
    ...         size.resize(8)
    ...     return number
    >>> run(from_iterable(range(100), Demand(20)).pipe(ops.dispatch(work, workers=size), ops.settle())).ok
    100
    """

    def __init__(self, size: int = 1, *, runtime: Runtime = SYSTEM) -> None:
        self._lock = runtime.lock()
        self._size = checked_size(size)
        self._wakers: tuple[Callable[[], None], ...] = ()

    @property
    def size(self) -> int:
        """How many there shall be."""
        return self._size

    def resize(self, size: int) -> None:
        """Have `size` workers from now on.

        Raises
        ------
        streamzarr.errors.ConfigError
            `size` is below 1.
        """
        self._size = checked_size(size)
        for waker in self._wakers:
            waker()

    def subscribe(self, waker: Callable[[], None]) -> None:
        """Call `waker` whenever the size is changed; it must be quick and may not raise."""
        with self._lock:
            self._wakers += (waker,)

    def unsubscribe(self, waker: Callable[[], None]) -> None:
        """Undo :meth:`subscribe`."""
        with self._lock:
            self._wakers = tuple(other for other in self._wakers if other != waker)


def checked_size(size: int) -> int:
    """Return `size`, or raise ``ConfigError`` if it is below 1."""
    if size < 1:
        raise ConfigError(f"{size} workers, expected at least 1")
    return size
