"""The stages of a pipeline's chain that hold nothing, or wait: entering, bunching, batching, leaving."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Hashable, Sequence

from reactivex.abc import ObserverBase

from streamzarr.errors import ConfigError
from streamzarr.flow.chain import Chain
from streamzarr.flow.graph import Operator, staged
from streamzarr.flow.message import Batch, Flush, Marker
from streamzarr.flow.message import Message as Part
from streamzarr.flow.ops.each import failed
from streamzarr.flow.stage import Stage
from streamzarr.pipeline.acknowledger import Acknowledger
from streamzarr.pipeline.batches import Batches, Complete, Trigger
from streamzarr.pipeline.desk import BESIDE, bunch
from streamzarr.pipeline.detached import Detached
from streamzarr.pipeline.message import Message
from streamzarr.pipeline.misfit import misfit
from streamzarr.pipeline.options import Batcher
from streamzarr.pipeline.telemetry import Teller

OrderOf = Callable[[Message], Hashable]
"""Returns what keeps a message behind others; ``None``: nothing does."""


def enter(
    acknowledger: Acknowledger, order: OrderOf | None, places: itertools.count[int], beat: Callable[[], None]
) -> Operator:
    """Make a pipeline's message of each of the flow's; what a source has made already is completed.

    Parameters
    ----------
    beat
        Called at every turn of the chain.
    """
    return staged(lambda chain, observer: _Enter(chain, observer, acknowledger, order, places, beat))


def bunching(lanes: int | None, size: Callable[[int], int]) -> Operator:
    """Make bunches for the processors: of neighbours, or of those of one lane.

    Parameters
    ----------
    lanes
        How many lanes the keys of messages are spread over; ``None``: order does not count.
    size
        Returns how many of so many messages make a bunch, at most.
    """
    return staged(lambda chain, observer: _Bunching(chain, observer, lanes, size))


def batching(name: str, batcher: Batcher, lanes: int | None, teller: Teller) -> Operator:
    """Hold messages until their batch is complete; `lanes` as for :func:`bunching`."""
    return staged(lambda chain, observer: _Batching(chain, observer, name, batcher, lanes, teller))


def leaving(detached: Detached) -> Operator:
    """Let go what was acknowledged before its time; the others go on to be acknowledged."""
    return staged(lambda chain, observer: _Leaving(chain, observer, detached))


class _Enter(Stage):
    def __init__(
        self,
        chain: Chain,
        observer: ObserverBase[Batch],
        acknowledger: Acknowledger,
        order: OrderOf | None,
        places: itertools.count[int],
        beat: Callable[[], None],
    ) -> None:
        super().__init__(chain, observer)
        self._acknowledger, self._order, self._places, self._beat = acknowledger, order, places, beat

    def turn(self) -> None:
        self._beat()

    def receive(self, messages: Sequence[Part]) -> None:
        self.emit([self._entered(part) for part in messages])

    def _entered(self, part: Part) -> Part:
        place = next(self._places)
        if isinstance(part.data, Message):
            if (wrong := misfit(part.data)) is not None:
                error = ConfigError(f"the source made a message whose {wrong}")
                bare = Message(data=part.data.data, place=place, acknowledger=self._acknowledger)
                return _failed(part.replace(data=bare, key=None), error, "source")
            message = part.data.replace(place=place, nbytes=part.nbytes, first_seen=part.first_seen)
            if message.acknowledger is None:
                message = message.replace(acknowledger=self._acknowledger)
        else:
            message = Message(
                data=part.data,
                failure=part.failure,
                row=part.row,
                nbytes=part.nbytes,
                first_seen=part.first_seen,
                place=place,
                acknowledger=self._acknowledger,
            )
        if self._order is None:
            return part.replace(data=message, key=None)
        try:
            key = self._order(message)
            hash(key)  # else it could not be told apart from others, where its messages are put into lanes
            return part.replace(data=message, key=key)
        except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
            return _failed(part.replace(data=message, key=None), error, "partition_by")


class _Bunching(Stage):
    def __init__(
        self,
        chain: Chain,
        observer: ObserverBase[Batch],
        lanes: int | None,
        size: Callable[[int], int],
    ) -> None:
        super().__init__(chain, observer)
        self._lanes, self._size = lanes, size

    def receive(self, messages: Sequence[Part]) -> None:
        size = self._size(len(messages))
        if self._lanes is None:
            self._emit(BESIDE, messages, size)
            return
        by_lane: dict[Hashable, list[Part]] = {}
        for part in messages:
            by_lane.setdefault(_lane(part, self._lanes), []).append(part)
        for lane, parts in by_lane.items():
            self._emit(lane, parts, size)

    def _emit(self, lane: Hashable, parts: Sequence[Part], size: int) -> None:
        self.emit(
            [bunch(self.chain, parts[start : start + size], lane) for start in range(0, len(parts), size)]
        )


class _Batching(Stage):
    """Markers wait for the batches begun before them."""

    def __init__(
        self,
        chain: Chain,
        observer: ObserverBase[Batch],
        name: str,
        batcher: Batcher,
        lanes: int | None,
        teller: Teller,
    ) -> None:
        super().__init__(chain, observer)
        self._name, self._teller = name, teller
        self._batches, self._lanes = Batches(batcher), lanes
        self._plain = lanes is None and self._batches.counts_only
        self._markers: deque[tuple[int, Marker]] = deque()  # with the number of batches that were begun then

    def receive(self, messages: Sequence[Part]) -> None:
        with self._teller.span("streamzarr.pipeline.batcher", len(messages), batcher=self._name):
            self._gather(messages)

    def _gather(self, messages: Sequence[Part]) -> None:
        now = self.chain.runtime.now()
        complete = self._batches.take_due(now)  # others may have kept the chain busy for longer
        if self._plain and not any(map(_is_special, messages)):
            self._leave(complete + self._batches.add_all(messages, BESIDE, now))
            return
        for part in messages:
            lane = BESIDE if self._lanes is None else _lane(part, self._lanes)
            try:
                complete += self._batches.add(part, lane, now)
            except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
                self._leave(complete)
                complete = []
                bad = _failed(part, error, "batcher")
                self.emit([bunch(self.chain, [bad], lane)])
        self._leave(complete)

    def due(self) -> float | None:
        return self._batches.due()

    def turn(self) -> None:
        due = self._batches.due()
        if due is not None and due <= (now := self.chain.runtime.now()):
            self._leave(self._batches.take_due(now))

    def flush(self) -> None:
        self._let_all_go("demand")

    def finish(self) -> None:
        self._let_all_go("end")

    def mark(self, marker: Marker) -> None:
        self._markers.append((self._batches.begun, marker))
        if isinstance(marker, Flush):
            self._let_all_go("flush")
        else:
            self._leave([])

    def _let_all_go(self, trigger: Trigger) -> None:
        self._leave(self._batches.take_all(trigger))

    def _leave(self, complete: Sequence[Complete]) -> None:
        self.waiting = self._batches.waiting
        self.emit([bunch(self.chain, each.parts, each.lane, each.info) for each in complete])
        oldest = self._batches.oldest
        while self._markers and (oldest is None or self._markers[0][0] < oldest):
            self.emit_marker(self._markers.popleft()[1])

    def close(self, timeout: float) -> None:
        self._batches.take_all("end")
        self._markers.clear()
        self.waiting = 0


class _Leaving(Stage):
    def __init__(self, chain: Chain, observer: ObserverBase[Batch], detached: Detached) -> None:
        super().__init__(chain, observer)
        self._detached = detached

    def receive(self, messages: Sequence[Part]) -> None:
        self.emit(self._detached.leave(messages))


def _lane(part: Part, lanes: int) -> Hashable:
    return BESIDE if part.key is None else hash(part.key) % lanes


def _is_special(part: Part) -> bool:
    message: Message = part.data
    return message.flush or message.batch_key is not None


def _failed(part: Part, error: BaseException, stage: str) -> Part:
    bad = failed(part, error, stage)
    return bad.replace(data=bad.data.replace(failure=bad.failure))
