"""What is said while a broker or store is away: one line when it goes, one a minute, one when it is back."""

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
    _said: float = 0.0
    _ended: float = -math.inf

    def failed(self, now: float) -> float | None:
        """Note a failure; return how long there have been some if it is time to say so."""
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


class Contact:
    """Logs how it stands with a broker or store, whoever of its clients, or their users, learns of it first.

    It is back when something came from it: an answer to a question, or to an order to keep something. Silence
    says nothing, since nobody may have asked; nor does what was fetched before.

    Several may each need something else of it, as room for more on one disk. Those that say `who` they are
    have all to be served before it is back.

    Thread-safe; does not block.
    """

    def __init__(self, url: str, runtime: Runtime = SYSTEM) -> None:
        self._what = redacted(url)
        self._outage = Outage()
        self._now = runtime.now
        self._lock = runtime.lock()
        self._waiting: set[object] = set()  # who met a failure and was not served since

    @property
    def away(self) -> bool:
        """Whether something did not reach it, and nothing has since."""
        return self._outage.since is not None

    def failed(self, reason: str, who: object = None) -> None:
        """Say that something did not reach it, and will be tried again."""
        with self._lock:
            if who is not None:
                self._waiting.add(who)
            seconds = self._outage.failed(self._now())
        if seconds == 0:
            _log.warning("%s cannot be reached, trying again: %s", self._what, reason)
        elif seconds is not None:
            _log.warning("%s cannot be reached for %.0f s: %s", self._what, seconds, reason)

    def reached(self, who: object = None) -> None:
        """Say that something came from it just now; or that `who` was served, while others may not be."""
        if self._outage.since is None:
            return
        with self._lock:
            if who is None:
                self._waiting.clear()
            self._waiting.discard(who)
            seconds = None if self._waiting else self._outage.over(self._now())
        if seconds is not None:
            _log.warning("%s is reached again, after %.0f s", self._what, seconds)

    def gone(self, who: object) -> None:
        """Say that `who` does not need it any more."""
        with self._lock:
            self._waiting.discard(who)
