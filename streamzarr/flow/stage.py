"""Operators that hold messages: what a chain asks of them, and how they become RxPY operators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from streamzarr.flow.message import Batch, Message

if TYPE_CHECKING:
    from streamzarr.flow.lane import Lane

Operator: TypeAlias = Callable[[Observable[Batch]], Observable[Batch]]
"""What every function of :mod:`streamzarr.flow.ops` returns: fits into ``.pipe()`` beside stock operators."""

Belongs: TypeAlias = Callable[[Message], bool]


class Stage(ABC):
    """An operator that holds messages for a while, in one running chain.

    All methods run on the chain's thread, between two items of its source, never inside each other. None
    may block for longer than the user's own function does. An exception breaks the chain (``on_error``);
    bad data must be a failed message instead.
    """

    waiting = 0
    """Messages held until more arrive; :meth:`flush` lets them go."""
    working = 0
    """Messages held until something finishes by itself; it then rings the lane's bell, or is `due`."""

    def __init__(self, lane: Lane, observer: ObserverBase[Batch]) -> None:
        self.lane = lane
        self._observer = observer

    @abstractmethod
    def receive(self, messages: tuple[Message, ...]) -> None:
        """Take messages from upstream."""

    def turn(self) -> None:  # noqa: B027 - most stages have nothing to do here
        """Pass on what has become ready; called again and again."""

    def due(self) -> float | None:
        """Return when :meth:`turn` is wanted next, seconds of the lane's clock; ``None``: no timer runs."""
        return None

    def flush(self) -> None:  # noqa: B027
        """Pass on what waits for more: no more will come."""

    def withdraw(self, belongs: Belongs) -> list[Message]:
        """Give up the messages that `belongs` picks and whose work has not begun."""
        return []

    def close(self, timeout: float) -> None:  # noqa: B027
        """End threads, within `timeout` seconds, and forget what is held: the chain is over."""

    def emit(self, messages: Sequence[Message]) -> None:
        """Pass `messages` downstream, as one batch, unless there are none."""
        if messages:
            self._observer.on_next(Batch(tuple(messages), self.lane))


def staged(make: Callable[[Lane, ObserverBase[Batch]], Stage]) -> Operator:
    """Return the RxPY operator of a stage; each running chain gets a stage of its own, at its first batch."""

    def operator(source: Observable[Batch]) -> Observable[Batch]:
        def subscribe(
            observer: ObserverBase[Batch], scheduler: SchedulerBase | None = None
        ) -> DisposableBase:
            stage: Stage | None = None

            def on_next(batch: Batch) -> None:
                nonlocal stage
                lane = batch.the_lane
                if stage is None or stage.lane is not lane:
                    stage = make(lane, observer)
                    lane.join(stage)
                stage.receive(batch.messages)

            return source.subscribe(on_next, observer.on_error, observer.on_completed, scheduler=scheduler)

        return Observable(subscribe)

    return operator
