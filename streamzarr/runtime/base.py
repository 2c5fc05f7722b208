"""The contract of a runtime."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, TypeVar

T = TypeVar("T")


class Lock(Protocol):
    """A mutual exclusion lock, for ``with``; not reentrant."""

    def __enter__(self) -> bool: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, waiting at most `timeout` seconds; tell whether it was taken."""

    def release(self) -> None:
        """Give the lock back."""


class Condition(Lock, Protocol):
    """A condition variable with a (reentrant) lock of its own, as ``threading.Condition``."""

    def wait(self, timeout: float | None = None) -> bool:
        """Block until notified, at most `timeout` seconds; tell whether it was notified."""

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Block until `predicate` is true, at most `timeout` seconds; return what it says then."""

    def notify(self, n: int = 1) -> None:
        """Wake up to `n` of those who wait."""

    def notify_all(self) -> None:
        """Wake all who wait."""


class Event(Protocol):
    """A flag that threads wait for, as ``threading.Event``."""

    def is_set(self) -> bool:
        """Tell whether the flag is up."""

    def set(self) -> None:
        """Raise the flag."""

    def clear(self) -> None:
        """Lower the flag."""

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the flag is up, at most `timeout` seconds; tell whether it is."""


class Thread(Protocol):
    """A thread that was made and can be started once."""

    @property
    def name(self) -> str:
        """What it is called, for people."""

    def start(self) -> None:
        """Begin."""

    def join(self, timeout: float | None = None) -> None:
        """Block until it has ended, at most `timeout` seconds."""

    def is_alive(self) -> bool:
        """Tell whether it was started and has not ended."""


class Bell(Protocol):
    """Wakes the one thread that waits on it; a ring before the wait is not lost.

    Any thread may :meth:`ring`, and so may a signal handler. Only the owner calls :meth:`wait`.
    """

    @property
    def rung(self) -> bool:
        """True when the next :meth:`wait` returns at once."""

    def ring(self) -> None:
        """Wake the owner, now or at its next :meth:`wait`."""

    def wait(self, timeout: float) -> bool:
        """Block until a ring, at most `timeout` seconds; tell whether it rang."""


class Local(Protocol[T]):
    """A variable of which each thread has its own."""

    value: T


class Runtime(ABC):
    """Clocks, waiting, chance, ids and threads.

    Thread-safe. Nothing of it blocks but what its docstring says; what it makes blocks as it says there.
    """

    @abstractmethod
    def now(self) -> float:
        """Return seconds that only go forward, since some fixed moment."""

    @abstractmethod
    def wall_ns(self) -> int:
        """Return the time of day, nanoseconds since the epoch; it may jump, also backwards."""

    @abstractmethod
    def random(self) -> float:
        """Return a random number, at least 0 and below 1."""

    @abstractmethod
    def random_bytes(self, count: int) -> bytes:
        """Return `count` random bytes, for ids."""

    @abstractmethod
    def bell(self) -> Bell:
        """Return a new bell."""

    @abstractmethod
    def lock(self) -> Lock:
        """Return a new lock."""

    @abstractmethod
    def condition(self) -> Condition:
        """Return a new condition variable."""

    @abstractmethod
    def event(self) -> Event:
        """Return a new event, its flag down."""

    @abstractmethod
    def thread(self, target: Callable[[], None], name: str) -> Thread:
        """Return a new daemon thread that will run `target`; the caller starts it."""

    @abstractmethod
    def local(self, initial: T) -> Local[T]:
        """Return a new variable that is `initial` in each thread until that thread changes it."""
