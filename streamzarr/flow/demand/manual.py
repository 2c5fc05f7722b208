"""Demand that is asked for by hand."""

from __future__ import annotations

from collections.abc import Sequence

from streamzarr.flow.arguments import checked, integer, nbytes, optional, runtime
from streamzarr.flow.demand.credits import Demand, Room
from streamzarr.runtime import SYSTEM, Runtime


@checked("ManualDemand", max_demand=integer(1), max_bytes=optional(nbytes), runtime=runtime)
class ManualDemand(Demand):
    """A :class:`~streamzarr.flow.Demand` under which nothing enters that :meth:`request` did not ask for.

    For consumers that know better than a bound how much they want: so many rows for one file, one more after
    each press of a key. What is in flight stays bounded all the same; what is asked for beyond that enters
    as the rest is settled.

    Parameters
    ----------
    max_demand, max_bytes
        In flight at once, at most, whatever was asked for.

    Notes
    -----
    Threads: any thread may call any method; none blocks but ``wait``.
    Source: GenStage's ``{:manual, state}`` and ``GenStage.ask/3``.

    Examples
    --------
    >>> from streamzarr.flow import Stop, from_iterable, ops, run
    >>> demand, stop = ManualDemand(100), Stop()
    >>> demand.request(3)
    >>> chain = from_iterable(range(1000), demand).pipe(
    ...     ops.settle(lambda messages: stop.drain(30) if messages[-1].data == 2 else None)
    ... )
    >>> run(chain, stop=stop).ok, demand.requested
    (3, 0)
    """

    def __init__(
        self, max_demand: int, max_bytes: int | str | None = None, *, runtime: Runtime = SYSTEM
    ) -> None:
        super().__init__(max_demand, max_demand - 1, max_bytes, runtime=runtime)
        self._asking = runtime.lock()
        self._requested = 0

    @property
    def requested(self) -> int:
        """Messages that were asked for and have not entered."""
        return self._requested

    @checked("ManualDemand.request", count=integer(1))
    def request(self, count: int) -> None:
        """Ask for `count` more messages.

        Raises
        ------
        streamzarr.errors.ConfigError
            `count` is below 1.
        """
        with self._asking:
            self._requested += count
        self.wake()

    def room(self) -> Room:
        """Return what may be pulled now: no more than was asked for, nor than is free."""
        room = super().room()
        free = room.messages if room.nbytes == 0 else self._balance.credit
        return Room(min(free, self._requested) if room.messages else 0, room.nbytes)

    def take(self, sizes: Sequence[int], counts: Sequence[int] | None = None) -> int:
        """Let in as many messages of these sizes (bytes), in order, as were asked for and fit."""
        with self._asking:
            wanted = self._requested if counts is None else _wanted(counts, self._requested)
            taken = super().take(sizes[:wanted], None if counts is None else counts[:wanted])
            records = taken if counts is None else sum(counts[:taken])
            self._requested = max(0, self._requested - records)
            return taken


def _wanted(counts: Sequence[int], requested: int) -> int:
    """Return how many runs of so many records are wanted; the last may be longer than what was asked for.

    >>> _wanted([4, 4, 4], 6), _wanted([4], 0)
    (2, 0)
    """
    records = 0
    for place, count in enumerate(counts):
        if records >= requested:
            return place
        records += count
    return len(counts)
