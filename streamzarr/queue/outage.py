"""What is said while a broker is away: one line when it goes, one a minute, one when it is back."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Final

from streamzarr.redact import redacted
from streamzarr.runtime import SYSTEM, Runtime

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())  # without it Python prints warnings to stderr when nobody listens

REPEAT_SECONDS: Final = 60.0
QUIET_SECONDS: Final = 15.0
"""A client that is cut off tries again at least every ten seconds: no failure for longer, and it is back."""
GRACE_SECONDS: Final = 5.0
"""After it is back, clients still tell of what they met before: so long that does not count."""


@dataclass(slots=True)
class Outage:
    """Decides what is worth a line, given the time in seconds of any clock.

    Examples
    --------
    >>> outage = Outage()
    >>> [outage.failed(now) for now in (10.0, 10.1, 40.0, 70.0, 70.1)]
    [0.0, None, None, 60.0, None]
    >>> outage.over(75.0), outage.over(76.0), outage.failed(77.0), outage.failed(81.0)
    (65.0, None, None, 0.0)
    """

    since: float | None = None
    """When the first failure came; None: nothing is wrong."""
    latest: float = 0.0
    _said: float = 0.0
    _ended: float = -math.inf

    def failed(self, now: float) -> float | None:
        """Note a failure; return how long there have been some if it is time to say so."""
        self.latest = now
        if self.since is None:
            if now - self._ended < GRACE_SECONDS:
                return None
            self.since = now
        elif now - self._said < REPEAT_SECONDS:
            return None
        self._said = now
        return now - self.since

    def over(self, now: float) -> float | None:
        """Note a success; return how long there was none, if anything was wrong."""
        since, self.since = self.since, None
        if since is None:
            return None
        self._ended = now
        return now - since

    def is_quiet(self, now: float) -> bool:
        """Tell whether something was wrong and no failure has come for a while."""
        return self.since is not None and now - self.latest > QUIET_SECONDS


class Contact:
    """Logs how it stands with one broker, whichever of its clients, or of their users, learns of it first.

    Thread-safe; does not block.
    """

    def __init__(self, url: str, runtime: Runtime = SYSTEM) -> None:
        self._what = redacted(url)
        self._outage = Outage()
        self._now = runtime.now
        self._lock = runtime.lock()

    @property
    def away(self) -> bool:
        """Whether something did not reach it, and nothing has since."""
        return self._outage.since is not None

    def failed(self, reason: str) -> None:
        """Say that something did not reach the broker, and will be tried again."""
        with self._lock:
            seconds = self._outage.failed(self._now())
        if seconds == 0:
            _log.warning("%s cannot be reached, trying again: %s", self._what, reason)
        elif seconds is not None:
            _log.warning("%s cannot be reached for %.0f s: %s", self._what, seconds, reason)

    def reached(self) -> None:
        """Say that something has reached the broker."""
        if self._outage.since is not None:
            self._end()

    def look(self) -> None:
        """Notice that failures have ceased; called now and then, by whoever waits for the broker."""
        if self._outage.is_quiet(self._now()):
            self._end()

    def _end(self) -> None:
        with self._lock:
            seconds = self._outage.over(self._now())
        if seconds is not None:
            _log.warning("%s is reached again, after %.0f s", self._what, seconds)
