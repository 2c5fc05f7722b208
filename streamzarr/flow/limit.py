"""How many messages of a partition may become dead letters before it pauses: pure state, told outcomes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from streamzarr.flow.arguments import checked, function, integer, optional, seconds
from streamzarr.flow.pausing import Pause
from streamzarr.queue.retry import is_environmental

SWEEP: Final = 1000
"""Numbers of letters that are kept, at least, before some are forgotten."""


def _share(value: Any) -> str | None:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return None if real and 0 <= value <= 1 else "a number from 0 to 1"


def _probe(value: Any) -> str | None:
    return None if value == math.inf else seconds(above=0)(value)


@checked(
    "DeadLetterLimit",
    in_a_row=optional(integer(0)),
    ratio=optional(_share),
    of=integer(1),
    probe_after=_probe,
    probe_longest=seconds(above=0),
    is_environmental=function,
)
@dataclass(frozen=True, slots=True)
class DeadLetterLimit:
    """When a partition's messages stop becoming dead letters, and it pauses instead.

    One bad message is a dead letter. A hundred in a row are a bad deployment, and a missing password is no
    message's fault: then the partition stands still, nothing is lost, and goes on when what is wrong is
    mended. Without limits only failures of the environment make it pause.

    Raises
    ------
    streamzarr.errors.ConfigError
        A parameter is out of its range.

    Examples
    --------
    >>> limit = DeadLetterLimit(in_a_row=3, ratio=0.1, of=1000)
    >>> limit.pause("3 in a row").seconds(tries=0)
    1.0
    """

    in_a_row: int | None = None
    """Letters, one after the other as they came from their topic, at most."""
    ratio: float | None = None
    """Largest share of letters among the last `of` messages."""
    of: int = 100
    """Messages that `ratio` is about; before there were as many, the others count as good."""
    probe_after: float = 1.0
    """Seconds until it is tried whether the next message goes well; infinity: only by command."""
    probe_longest: float = 60.0
    """Each try that fails doubles them, up to so many."""
    is_environmental: Callable[[BaseException], bool] = is_environmental
    """Tells errors that no message is to blame for: they never become letters."""

    def pause(self, reason: str, *, strict: bool = True) -> Pause:
        """Return the pause for a reason; not `strict` where no letters are it."""
        return Pause(reason, self.probe_after, self.probe_longest, strict)


class Breaker:
    """Counts what becomes of one partition's messages, and says when that is too much.

    Messages are numbered as they entered. What fails at once overtakes what waits in a batch, and is in a row
    only with its neighbours.

    Parameters
    ----------
    on_trial
        It has paused: until a message is done, the first that fails makes it pause again.

    Examples
    --------
    >>> breaker = Breaker(DeadLetterLimit(in_a_row=2))
    >>> [breaker.failed(number) for number in (7, 9, 5, 6)]
    [None, None, None, '2 dead letters in a row']
    >>> breaker.failed(10)
    """

    __slots__ = ("_bad", "_failed", "_last", "_limit", "_most", "_on_trial", "_sweep_at")

    def __init__(self, limit: DeadLetterLimit, *, on_trial: bool = False) -> None:
        self._limit = limit
        self._on_trial = on_trial
        self._failed: set[int] = set()  # the letters, as far as one that is still to come may be beside them
        self._sweep_at = SWEEP
        self._most = None if limit.ratio is None else int(limit.ratio * limit.of + 1e-9)
        self._last: deque[bool] = deque(maxlen=None if limit.ratio is None else limit.of)
        self._bad = 0  # among the last

    def done(self, count: int = 1) -> None:
        """Note that so many messages went well."""
        self._on_trial = False
        if self._most is not None:
            for _ in range(min(count, self._limit.of)):
                self._enter(bad=False)

    def failed(self, number: int, oldest: int = 0) -> str | None:
        """Note that a message failed and becomes a letter; or return why it may not, and note nothing.

        Parameters
        ----------
        number
            Of the message.
        oldest
            No message with a lower number is still to come.
        """
        limit = self._limit
        if self._on_trial:
            return "the message that it was tried with failed too"
        if limit.in_a_row is not None and self._beside(number, limit.in_a_row) >= limit.in_a_row:
            return f"{limit.in_a_row} dead letters in a row"
        if self._most is not None and self._bad - self._leaving >= self._most:
            return f"{self._bad - self._leaving} dead letters among the last {limit.of} messages"
        if limit.in_a_row is not None:
            self._failed.add(number)
            self._sweep(oldest - limit.in_a_row)
        if self._most is not None:
            self._enter(bad=True)
        return None

    def _beside(self, number: int, most: int) -> int:
        """Return how many letters are beside a message, on both sides together; no more than `most`."""
        found = 0
        for step in (-1, 1):
            beside = number + step
            while found < most and beside in self._failed:
                found, beside = found + 1, beside + step
        return found

    def _sweep(self, lowest: int) -> None:
        """Forget letters that are too far below all that is still to come."""
        if len(self._failed) > self._sweep_at:
            self._failed = {number for number in self._failed if number >= lowest}
            self._sweep_at = max(SWEEP, 2 * len(self._failed))

    @property
    def _leaving(self) -> bool:
        """Whether the message that the next one takes the place of was a letter."""
        return len(self._last) == self._limit.of and self._last[0]

    def _enter(self, *, bad: bool) -> None:
        self._bad += bad - self._leaving
        self._last.append(bad)
