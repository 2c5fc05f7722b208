"""The contract of a dispatcher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeAlias, TypeVar

from streamzarr.errors import ConfigError

T = TypeVar("T")
Consumer: TypeAlias = Hashable
Sent: TypeAlias = list[tuple[Consumer, tuple[T, ...]]]
"""What goes to whom now, in this order."""


class Dispatcher(ABC, Generic[T]):
    """Deals items to consumers, each of which gets no more than it has asked for.

    What nobody may have yet is queued here, in order, and is sent by a later call. Every method returns what
    it lets go, so the caller can send it.

    Notes
    -----
    Not thread-safe: whoever shares a dispatcher calls it under a lock. What a method costs grows with what
    it returns and with the number of consumers, not with what is queued; but for :meth:`withdraw`.
    Source: ``GenStage.Dispatcher``; ``done`` and ``retry`` are ours, since an item here is not over when it
    is sent.
    """

    def __init__(self) -> None:
        self.demands: dict[Consumer, int] = {}
        """What each consumer has asked for and not been sent yet."""

    def subscribe(self, consumer: Consumer) -> None:
        """Let `consumer` take part; it has asked for nothing yet.

        Raises
        ------
        streamzarr.errors.ConfigError
            It takes part already.
        """
        if consumer in self.demands:
            raise ConfigError(f"{consumer!r} is subscribed already")
        self.demands[consumer] = 0

    def cancel(self, consumer: Consumer) -> Sent[T]:
        """Let `consumer` leave: it is sent nothing more. What it was sent is still its own to end."""
        del self.demands[consumer]
        return []

    def ask(self, consumer: Consumer, count: int = 1) -> Sent[T]:
        """Let `consumer` have `count` items more."""
        self.demands[consumer] += count
        return self.serve()

    def check(self, item: T) -> None:
        """Raise what keeps `item` from being dealt out, such as an error of a key's function."""

    @abstractmethod
    def dispatch(self, items: Sequence[T]) -> Sent[T]:
        """Take `items` from upstream, behind those that are queued."""

    @abstractmethod
    def serve(self) -> Sent[T]:
        """Let go what consumers have asked for."""

    def done(self, consumer: Consumer, item: T) -> Sent[T]:
        """Note that `consumer` has nothing more to do for `item`, and nobody will."""
        return []

    @abstractmethod
    def retry(self, consumer: Consumer, item: T) -> Sent[T]:
        """Queue once more an item that `consumer` was sent and that is not done, before others like it."""

    @property
    @abstractmethod
    def demand(self) -> int:
        """How many items more the consumers together would take."""

    @property
    @abstractmethod
    def queued(self) -> int:
        """Items that wait to be sent."""

    @abstractmethod
    def withdraw(self, belongs: Callable[[T], bool]) -> list[T]:
        """Take out the queued items that `belongs` picks, those of one key in order."""
