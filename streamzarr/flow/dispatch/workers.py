"""How many workers an operator has: a number that is changed while they work."""

from __future__ import annotations

from streamzarr.flow.arguments import checked, integer, runtime
from streamzarr.flow.watched import Watched
from streamzarr.runtime import SYSTEM, Runtime


@checked("Workers", size=integer(1), runtime=runtime)
class Workers(Watched):
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
        super().__init__(runtime)
        self._size = size

    @property
    def size(self) -> int:
        """How many there shall be."""
        return self._size

    @checked("Workers.resize", size=integer(1))
    def resize(self, size: int) -> None:
        """Have `size` workers from now on.

        Raises
        ------
        streamzarr.errors.ConfigError
            `size` is below 1.
        """
        self._size = size
        self.wake()
