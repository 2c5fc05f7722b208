"""How many messages and bytes may pass a second: token buckets, and a rate that can be changed in use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from streamzarr.errors import ConfigError
from streamzarr.flow.arguments import checked, nbytes, number, optional, runtime, seconds
from streamzarr.flow.watched import Watched
from streamzarr.options import parse_bytes
from streamzarr.runtime import SYSTEM, Runtime

BURST: Final = 0.1
"""Seconds' worth of a rate that may pass at once after a pause: short, so no second sees twice the rate."""


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """`rate` tokens a second drop into a bucket that holds `burst`; what passes takes its tokens out.

    In any interval of `t` seconds no more than ``burst + rate * t`` is taken, wherever it begins. An amount
    above `burst` needs the full bucket and leaves it in debt: then the most is that amount in place of
    `burst`.

    Examples
    --------
    >>> bucket = TokenBucket(rate=10.0, burst=2.0, tokens=2.0, at=0.0)
    >>> bucket = bucket.take(2.0, now=0.0)
    >>> bucket.take(1.0, now=0.05), bucket.due(1.0), bucket.take(1.0, now=0.1).tokens
    (None, 0.1, 0.0)
    """

    rate: float
    burst: float
    tokens: float
    at: float
    """When there were so many `tokens`."""

    def at_time(self, now: float) -> TokenBucket:
        """Return the bucket as it is at `now`; time that goes back changes nothing."""
        if now <= self.at:
            return self
        return replace(self, tokens=min(self.burst, self.tokens + self.rate * (now - self.at)), at=now)

    def take(self, amount: float, now: float) -> TokenBucket | None:
        """Return the bucket without `amount` tokens; ``None`` when it is not :meth:`due` yet."""
        if now < self.due(amount):
            return None
        bucket = self.at_time(now)
        return replace(bucket, tokens=bucket.tokens - amount)

    def due(self, amount: float) -> float:
        """Return when `amount` may be taken, if nothing is taken before."""
        missing = min(amount, self.burst) - self.tokens
        return self.at + max(0.0, missing) / self.rate

    def with_rate(self, rate: float, burst: float, now: float) -> TokenBucket:
        """Return a bucket of another rate with the same tokens or debt, as far as it holds them."""
        return TokenBucket(rate, burst, min(self.at_time(now).tokens, burst), max(now, self.at))


@dataclass(frozen=True, slots=True)
class _Limits:
    messages: float | None
    nbytes: float | None


_amount = optional(number(above=0))


def _volume(value: object) -> str | None:
    expected = nbytes(value) if isinstance(value, str) else _amount(value)
    return None if expected is None else "bytes a second, more than 0, or text such as '10MB', or None"


@checked("Rate", messages=_amount, bytes=_volume, burst=seconds(above=0), runtime=runtime)
class Rate(Watched):
    """How many messages and bytes may pass a second, for all who use this object together.

    Parameters
    ----------
    messages
        Messages a second; ``None``: not limited.
    bytes
        Bytes a second, a number or such as ``"10MB"``; ``None``: not limited.
    burst
        Seconds' worth of either that may pass at once after a pause. One message always may, and a message
        bigger than that passes and is waited for afterwards.

    Raises
    ------
    streamzarr.errors.ConfigError
        A limit or `burst` is not above 0.

    Notes
    -----
    Threads: any thread may call any method; none blocks.

    Examples
    --------
    >>> rate = Rate(messages=10, burst=0.2)
    >>> [rate.take(1, 100, now=0.0) for _ in range(3)], rate.due(1, 100, now=0.0)
    ([True, True, False], 0.1)
    >>> rate.set(messages=1_000)
    >>> rate.due(1, 100, now=0.0)
    0.001
    """

    def __init__(
        self,
        messages: float | None = None,
        bytes: float | str | None = None,  # noqa: A002 - the word of the design
        *,
        burst: float = BURST,
        runtime: Runtime = SYSTEM,
    ) -> None:
        if messages is None and bytes is None:
            raise ConfigError("Rate: neither messages nor bytes is given, expected one, or it limits nothing")
        super().__init__(runtime)
        self._burst = burst
        self._lock = runtime.lock()
        self._limits = _limits(messages, bytes)
        self._messages: TokenBucket | None = None  # made when first used: a rate knows no clock
        self._bytes: TokenBucket | None = None
        self._shaped: _Limits | None = None
        """The limits that the buckets are made for."""

    @checked("Rate.set", messages=_amount, bytes=_volume)
    def set(self, messages: float | None = None, bytes: float | str | None = None) -> None:  # noqa: A002
        """Change the limits, all of them: one that is not given is lifted. What has passed counts on.

        Raises
        ------
        streamzarr.errors.ConfigError
            A limit is not above 0.
        """
        self._limits = _limits(messages, bytes)
        self.wake()

    @property
    def unlimited(self) -> bool:
        """Whether everything may pass at once."""
        return self._limits == _Limits(None, None)

    def take(self, messages: int, nbytes: int, now: float) -> bool:
        """Let pass `messages` of `nbytes` together; false: they are not :meth:`due` yet."""
        with self._lock:
            self._shape(now)
            counted, volume = self._messages, self._bytes
            if counted is not None and (counted := counted.take(messages, now)) is None:
                return False
            if volume is not None and (volume := volume.take(nbytes, now)) is None:
                return False
            self._messages, self._bytes = counted, volume
            return True

    def due(self, messages: int, nbytes: int, now: float) -> float:
        """Return when `messages` of `nbytes` together may pass, if nothing passes before."""
        with self._lock:
            self._shape(now)
            dues = [
                bucket.due(amount)
                for bucket, amount in ((self._messages, messages), (self._bytes, nbytes))
                if bucket is not None
            ]
            return max(dues, default=now)

    def _shape(self, now: float) -> None:
        limits = self._limits
        if limits is not self._shaped:
            self._messages = _bucket(self._messages, limits.messages, self._burst, 1.0, now)
            self._bytes = _bucket(self._bytes, limits.nbytes, self._burst, 0.0, now)
            self._shaped = limits


def _limits(messages: float | None, nbytes: float | str | None) -> _Limits:
    return _Limits(messages, parse_bytes(nbytes) if isinstance(nbytes, str) else nbytes)


def _bucket(
    bucket: TokenBucket | None, rate: float | None, seconds: float, least: float, now: float
) -> TokenBucket | None:
    if rate is None:
        return None
    burst = max(rate * seconds, least)
    return TokenBucket(rate, burst, burst, now) if bucket is None else bucket.with_rate(rate, burst, now)
