"""Operators that hold messages: what a chain asks of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import Protocol, TypeAlias

from reactivex.abc import ObserverBase

from streamzarr.flow.acknowledge import Claim
from streamzarr.flow.chain import Chain
from streamzarr.flow.message import Batch, Flush, Marker, Message

Belongs: TypeAlias = Callable[[Message], bool]


class Upstream(Protocol):
    """What a stage is fed by: another stage, or a source."""

    @property
    def working(self) -> int:
        """Messages that will move on by themselves."""

    @property
    def ended(self) -> bool:
        """True when nothing will ever come from it again."""

    @property
    def settled(self) -> bool:
        """True when everything that comes from it is settled."""


class Stage(ABC):
    """An operator that holds messages for a while, in one running chain.

    All methods run on the chain's thread, between two items of its source, never inside each other. None
    may block for longer than the user's own function does. An exception breaks the chain (``on_error``);
    bad data must be a failed message instead.
    """

    waiting = 0
    """Messages held until more arrive; :meth:`flush` lets them go."""
    working = 0
    """Messages held until something finishes by itself; it then rings the chain's bell, or is `due`."""
    full = False
    """True while it wants nothing more to enter the chain: what it holds has returned its credit already."""
    windowed = False
    """True when it gives results of windows, and a :class:`~streamzarr.flow.message.Passed` behind them."""
    settles = False
    """True when what it emits is settled."""
    reads = False
    """True when it settles what is read, unless all that comes is settled already."""
    loose = False
    """True when some of what it passes on goes to no stage, though other does."""
    settled = False
    """Set by the graph: all that it passes on is settled, here or before."""
    ended = False
    """Set by the graph: all that feeds it has ended, and it holds nothing."""
    finished = False
    """Set by the graph: :meth:`finish` was called."""

    def __init__(self, chain: Chain, observer: ObserverBase[Batch]) -> None:
        self.chain = chain
        self.above: list[Upstream] = []
        """What feeds it directly."""
        self._observer = observer

    @abstractmethod
    def receive(self, messages: Sequence[Message]) -> None:
        """Take messages from upstream."""

    def turn(self) -> None:  # noqa: B027 - most stages have nothing to do here
        """Pass on what has become ready; called again and again."""

    def due(self) -> float | None:
        """Return when :meth:`turn` is wanted next, seconds of the runtime; ``None``: no timer runs."""
        return None

    def closes(self) -> int | None:
        """Return the watermark at which a window next gives its result; ``None``: none is open."""
        return None

    def flush(self) -> None:  # noqa: B027
        """Pass on what waits for more: for want of credit none can come now.

        What returned its credit when it came, such as a window, stays.
        """

    def finish(self) -> None:
        """Pass on everything: no more will ever come."""
        self.flush()

    def withdraw(self, belongs: Belongs) -> list[Message]:
        """Give up the messages that `belongs` picks and whose work has not begun."""
        return []

    def abandon(self, claims: Collection[Claim]) -> None:  # noqa: B027
        """Forget what is held for `claims` beyond messages: they have ended, somebody else has them."""

    def mark(self, marker: Marker) -> None:
        """Pass on a marker when all that came before it has been passed on.

        Stages whose messages leave later than they came must override this.
        """
        if isinstance(marker, Flush):
            self.flush()
        self.emit_marker(marker)

    def close(self, timeout: float) -> None:  # noqa: B027
        """End threads, within `timeout` seconds, and forget what is held: the chain is over."""

    def emit(self, messages: Sequence[Message]) -> None:
        """Pass `messages` downstream, as one batch, unless there are none; they stay as they are then."""
        if messages:
            self._observer.on_next(Batch(messages))

    def emit_marker(self, marker: Marker) -> None:
        """Pass a marker downstream."""
        self._observer.on_next(Batch((), marker))

    def take(self, batch: Batch) -> None:
        """Receive a batch and the marker behind it."""
        if batch.held:
            self.receive(batch.held)
        if batch.marker is not None:
            self.mark(batch.marker)
