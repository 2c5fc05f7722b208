"""When to try again: which errors are worth it, and how long to wait."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from streamzarr.errors import (
    AccessDeniedError,
    ConfigError,
    DamagedError,
    DamagedRecordError,
    KeyNotFoundError,
    MessageError,
    OffsetOutOfRangeError,
    PreconditionFailedError,
    QueueError,
    StoreError,
    TopicNotFoundError,
    UnsupportedError,
    is_interrupt,
)
from streamzarr.runtime import Runtime


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with a bound on attempts and on each delay, as pure arithmetic.

    Jitter only shortens a delay, so that ``max_delay`` stays a bound; it spreads workers that failed
    together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).

    Raises
    ------
    streamzarr.errors.ConfigError
        A parameter is out of its range.

    Examples
    --------
    >>> policy = RetryPolicy(attempts=4, base=0.5, jitter=0.0)
    >>> [policy.delay(attempt, random=0.0) for attempt in (1, 2, 3, 4)]
    [0.5, 1.0, 2.0, None]
    """

    attempts: int = 5
    """How often to try in all, the first time included."""
    base: float = 0.1
    """Delay after the first failure, seconds."""
    factor: float = 2.0
    """Growth of the delay from one failure to the next."""
    max_delay: float = 30.0
    """Longest delay, seconds."""
    jitter: float = 0.2
    """Largest share of a delay that chance takes away, 0 to 1."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ConfigError(f"RetryPolicy(attempts={self.attempts}): expected at least 1")
        if not (self.base >= 0 and self.max_delay >= 0):
            raise ConfigError(
                f"RetryPolicy(base={self.base}, max_delay={self.max_delay}): expected seconds, not negative"
            )
        if not self.factor >= 1:
            raise ConfigError(f"RetryPolicy(factor={self.factor}): expected at least 1")
        if not 0 <= self.jitter <= 1:
            raise ConfigError(f"RetryPolicy(jitter={self.jitter}): expected 0 to 1")

    def delay(self, attempt: int, random: float) -> float | None:
        """Return the seconds to wait after failed attempt number `attempt`, or ``None`` to give up.

        Parameters
        ----------
        attempt
            Attempts made so far, all failed; 1 after the first.
        random
            A number from 0 to 1 that the caller has drawn; only jitter depends on it.
        """
        if attempt >= self.attempts:
            return None
        try:
            delay = min(self.base * self.factor ** (attempt - 1), self.max_delay)
        except OverflowError:
            delay = self.max_delay
        return delay * (1.0 - self.jitter * random)


OUTAGE_RETRY: Final = RetryPolicy(attempts=12, base=0.1, factor=2.0, max_delay=5.0)
"""How long a broker or a store may be away before a chain that needs it breaks: about half a minute."""
T = TypeVar("T")


def patiently(
    ask: Callable[[], T],
    runtime: Runtime,
    policy: RetryPolicy = OUTAGE_RETRY,
    stopping: Callable[[], bool] = lambda: False,
) -> T:
    """Return what `ask` returns; asked again, by `policy`, as long as what it raises is transient.

    Blocks for as long as that takes, or until it fails once more and `stopping` tells that there is no time.

    Examples
    --------
    >>> from streamzarr.runtime import SYSTEM
    >>> answers = iter([ConnectionError("refused"), None])
    >>> def ask():
    ...     if (error := next(answers)) is not None:
    ...         raise error
    ...     return "here"
    >>> patiently(ask, SYSTEM, RetryPolicy(base=0.001))
    'here'
    """
    attempt = 1
    while True:
        try:
            return ask()
        except Exception as error:
            delay = policy.delay(attempt, runtime.random())
            if delay is None or stopping() or not is_transient(error):
                raise
        attempt += 1
        runtime.event().wait(delay)


_PERMANENT: Final = (
    KeyNotFoundError,
    PreconditionFailedError,
    UnsupportedError,
    TopicNotFoundError,
    OffsetOutOfRangeError,
    DamagedError,
    AccessDeniedError,
    MessageError,
)
_TRANSIENT: Final = (StoreError, QueueError, ConnectionError, TimeoutError)

TRANSIENT_ERRNOS: Final = frozenset(
    {
        # the machine is short of something that others may give back
        errno.EAGAIN,
        errno.EBUSY,
        errno.EDQUOT,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.ETXTBSY,
        # a disk or network file system stumbled
        errno.EDEADLK,
        errno.EINTR,
        errno.EIO,
        errno.ENOLCK,
        errno.EREMOTEIO,
        errno.ESTALE,
        # the network is away
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ENETUNREACH,
        errno.ENOTCONN,
        errno.EPIPE,
        errno.ETIMEDOUT,
    }
)
"""Operating system errors after which the same call may succeed later."""


def is_transient(error: BaseException) -> bool:
    """Tell whether doing the same thing again later may succeed.

    An exception may say so itself by a boolean attribute ``transient``. Otherwise: storage, broker and
    network failures are transient, what the data or the program got wrong is not.

    Examples
    --------
    >>> from streamzarr.errors import KeyNotFoundError, StoreError
    >>> is_transient(StoreError("s3://lab: 503")), is_transient(KeyNotFoundError("zarr.json"))
    (True, False)
    >>> is_transient(OSError(errno.ENOSPC, "disk full")), is_transient(ValueError("bad block"))
    (True, False)
    """
    return _judged(error, "transient", _PERMANENT, _TRANSIENT, TRANSIENT_ERRNOS)


_NOT_OF_MESSAGES: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, *TRANSIENT_ERRNOS})
_OF_ENVIRONMENT: Final = (StoreError, QueueError)
_OF_MESSAGES: Final = (
    KeyNotFoundError,
    PreconditionFailedError,
    UnsupportedError,
    OffsetOutOfRangeError,
    DamagedRecordError,
    MessageError,
)


def is_environmental(error: BaseException) -> bool:
    """Tell whether no message is to blame for an error, but a store, a broker, a disk or a password.

    Doing the same for another message would fail as well, so it must not become a dead letter: the partition
    waits until somebody has mended it. What a transform or a user's own code throws is of the message, unless
    the exception says otherwise by a boolean attribute ``environmental``.

    Examples
    --------
    >>> from streamzarr.errors import KeyNotFoundError, StoreError
    >>> is_environmental(StoreError("s3://lab: 403 SignatureDoesNotMatch"))
    True
    >>> is_environmental(PermissionError(errno.EACCES, "read-only")), is_environmental(ValueError("bad"))
    (True, False)
    >>> is_environmental(KeyNotFoundError("c/0"))
    False
    """
    return _judged(error, "environmental", _OF_MESSAGES, _OF_ENVIRONMENT, _NOT_OF_MESSAGES)


def _judged(
    error: BaseException,
    own_word: str,
    never: tuple[type[BaseException], ...],
    always: tuple[type[BaseException], ...],
    errnos: frozenset[int],
) -> bool:
    """Return what an error says of itself by the attribute `own_word`, else what its class or errno says."""
    try:
        said = getattr(error, own_word, None)
        if isinstance(said, bool):
            return said
        if isinstance(error, never):
            return False
        if isinstance(error, always):
            return True
        return isinstance(error, OSError) and error.errno in errnos
    except BaseException as second:  # an exception is foreign code: looking at it may raise one more
        if is_interrupt(second):
            raise
        return False
