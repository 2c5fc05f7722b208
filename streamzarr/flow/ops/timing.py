"""What the windows of a message go by: its event time, its number, or the clock on the wall."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamzarr.errors import AheadError
from streamzarr.flow.message import Message, timestamp_of
from streamzarr.flow.windows.kinds import Count, Global, Periodic, Windowing
from streamzarr.flow.windows.moments import SECOND, moment
from streamzarr.runtime import Runtime


class Timing:
    """Tells the moments of messages.

    Parameters
    ----------
    kind
        The windows.
    time
        Event time of a message's data; ``None``: the timestamp of its record.
    max_ahead
        Nanoseconds by which event time may be ahead of the clock; ``None``: any.

    Notes
    -----
    Owned by the chain's thread; only the user's `time` may block.
    """

    def __init__(
        self, runtime: Runtime, kind: Windowing, time: Callable[[Any], Any] | None, max_ahead: int | None
    ) -> None:
        self._runtime, self._kind, self._time, self._max_ahead = runtime, kind, time, max_ahead
        self.timeless = isinstance(kind, Count | Global | Periodic)
        """Event time closes no window."""
        self._epoch = runtime.wall_ns() - int(runtime.now() * SECOND)  # of the clock that is never set

    def wall(self) -> int:
        """Return the time of the wall clock, as it was at the beginning: nobody sets this one back."""
        return self._epoch + int(self._runtime.now() * SECOND)

    def of(self, message: Message) -> int:
        """Return what the windows of `message` go by.

        Raises
        ------
        streamzarr.errors.AheadError
            Its event time is ahead of the clock by more than is allowed.
        Exception
            It has no event time, or what the user's function raises.
        """
        if isinstance(self._kind, Count):
            return message.seq if message.record is None else message.record.offset
        if isinstance(self._kind, Periodic):
            return self.wall()
        record = message.record
        if self._time is not None:
            at = moment(self._time(message.data))
        else:
            at = moment((timestamp_of(message) if record is None else record.timestamp) * 1_000_000)
        if self._max_ahead is not None and not self.timeless:
            self._check_ahead(message, at, self._max_ahead)
        return at

    def _check_ahead(self, message: Message, at: int, most: int) -> None:
        clock = self._runtime.wall_ns()
        if message.record is not None and message.record.timestamp >= 0:  # below: it has none
            clock = min(clock, message.record.timestamp * 1_000_000)
        if at - clock > most:
            raise AheadError(
                f"event time {at} (ns) is {(at - clock) / SECOND:g} s ahead of the clock ({clock}), expected "
                f"at most {most / SECOND:g} s (max_ahead)"
            )
