"""Messages that are worked on several at a time, each of which leaves as soon as it is decided.

::

    chain's thread      bunches ──► schedule ──► workers: work(messages) ──┐
                                       ▲  those to be tried again ◄────────┤
    chain's thread      turn ◄──────── decided ◄───────────────────────────┘

A bunch is a flow message that was combined of others. Schedule, crew and bell are the flow's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from reactivex.abc import ObserverBase

from streamzarr.flow.acknowledge import Claim
from streamzarr.flow.chain import Chain
from streamzarr.flow.dispatch.keys import by_key
from streamzarr.flow.dispatch.workers import Workers
from streamzarr.flow.graph import Operator, staged
from streamzarr.flow.message import Batch, Marker, leaves
from streamzarr.flow.message import Message as Part
from streamzarr.flow.ops.behind import Behind
from streamzarr.flow.ops.crew import Callee, Crew
from streamzarr.flow.ops.schedule import Item, Schedule
from streamzarr.flow.stage import Belongs, Stage
from streamzarr.pipeline.bisect import Outcome
from streamzarr.pipeline.detached import Detached, detach, is_detached
from streamzarr.pipeline.handlers import Ours
from streamzarr.pipeline.message import Message, acknowledging

Work: TypeAlias = Callable[[Callee, Sequence[Message], Any, Ours], Outcome]
"""Works on the messages of a bunch, given what it was made with; on a worker's thread."""

BESIDE: Final = None
"""The lane of bunches that are worked on beside all others."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Who works, and on what."""

    name: str
    size: Workers
    hire: Callable[[str], Callee]
    work: Work
    detached: Detached


class _Decided(NamedTuple):
    before: list[Part]
    after: list[Part]
    lost: list[Part]
    """Their partition has gone, so nobody has worked on them."""


def bunch(chain: Chain, parts: Sequence[Part], lane: Hashable, info: Any = None) -> Part:
    """Return a bunch: bunches of one lane are worked on one after the other, in their order."""
    return chain.combine(parts, info).replace(key=lane)


def desk(bench: Bench) -> Operator:
    """Work on bunches, and pass on what they were made of."""
    return staged(lambda chain, observer: _Desk(chain, observer, bench))


class _Desk(Stage):
    """Threads: the chain's, but for `_attempt`, which is the workers'.

    `_decided` and `_early` go one way, from the workers to the chain. Only :meth:`close` blocks.
    """

    def __init__(self, chain: Chain, observer: ObserverBase[Batch], bench: Bench) -> None:
        super().__init__(chain, observer)
        self._work = bench.work
        self._crew = Crew(chain, bench.name, Schedule(by_key(_lane)), bench.size, bench.hire, self._attempt)
        self._decided: deque[_Decided] = deque()
        self._early: deque[Part] = deque()
        self._detached = bench.detached
        self._behind = Behind()
        self._going: Belongs | None = None  # what is to leave, and shall not wait for another attempt

    # -- coming ------------------------------------------------------------------------------------------

    def receive(self, messages: Sequence[Part]) -> None:
        for each in messages:
            self.working += len(each.parts)
            self._behind.came(each.parts)
        self._crew.add([Item(each) for each in messages])

    def mark(self, marker: Marker) -> None:
        self._behind.mark(marker, self.working)
        self.chain.bell.ring()

    # -- at work: on the workers' threads ----------------------------------------------------------------

    def _attempt(self, callee: Callee, message: Part) -> tuple[Part, float | None]:
        parts = {part.data.place: part for part in message.parts}
        acked: set[int] = set()

        claims = {leaf.claim for part in message.parts for leaf in (leaves(part) if part.parts else (part,))}

        def ours(messages: Sequence[Message]) -> Sequence[Message]:
            if all(claim is None or claim.ours for claim in claims):
                return messages
            return [each for each in messages if _is_ours(parts[each.place])]

        def ack(early: Message) -> None:
            part = parts[early.place]
            if early.place not in acked and not is_detached(part):
                acked.add(early.place)
                self._early.append(part.replace(data=early))
                self.chain.bell.ring()

        def now(message: Message) -> Part:
            part = parts[message.place]
            if part.data is not message:
                part = part.replace(data=message, failure=message.failure)
            if message.acked or message.place in acked:
                ack(message)  # if its handler ran elsewhere
                return detach(part, message)
            return part

        acknowledging(ack)
        outcome = self._work(callee, [part.data for part in message.parts], message.data, ours)
        again = tuple(map(now, outcome.again))
        after = list(map(now, outcome.decided))
        for each in outcome.again:
            del parts[each.place]
        before = [parts.pop(each.place) for each in outcome.decided]
        self._decided.append(_Decided(before, after, list(parts.values())))
        return (message.replace(parts=again), outcome.after) if again else (message, None)

    # -- going -------------------------------------------------------------------------------------------

    def due(self) -> float | None:
        return self._crew.due()

    def turn(self) -> None:
        self._crew.collect()
        self._emit_early()
        while self._decided:
            decided = self._decided.popleft()
            self._emit_early()
            self._leave(decided.before)
            self.emit(decided.after)
            self._leave(decided.lost)
            self.chain.settle(self._detached.leave(decided.lost))
        if self._going is not None and self._crew.due() is not None:
            self.chain.hand_back(self.withdraw(self._going))
        for marker in self._behind.passing():
            self.emit_marker(marker)

    def _emit_early(self) -> None:
        """Pass on what is acknowledged already; the work on its data goes on, detached from it."""
        while self._early:
            part = self._early.popleft()
            self._detached.enter(part)
            self.emit([part])

    def _leave(self, parts: Sequence[Part]) -> None:
        self.working -= len(parts)
        self._behind.left(parts)

    # -- stopping ----------------------------------------------------------------------------------------

    def withdraw(self, belongs: Belongs) -> list[Part]:
        self._going = belongs
        items = self._crew.withdraw(lambda bunch: any(map(belongs, bunch.parts)))
        gone = [part for item in items for part in item.message.parts if belongs(part)]
        kept = []
        for item in items:
            parts = tuple(part for part in item.message.parts if not belongs(part))
            if parts:
                kept.append(item.message.replace(parts=parts))
        self._put_back(kept)
        self._leave(gone)
        return self._detached.leave(gone)

    def _put_back(self, bunches: list[Part]) -> None:
        """Queue once more what is left of bunches, before those behind them in their lanes."""
        lanes = {bunch.key for bunch in bunches} - {BESIDE}
        behind = self._crew.withdraw(lambda bunch: bunch.key in lanes) if lanes else []
        bunches = sorted([*bunches, *(item.message for item in behind)], key=_first_place)
        if bunches:
            self._crew.add(list(map(Item, bunches)))

    def abandon(self, claims: Collection[Claim]) -> None:
        self._going = None

    def close(self, timeout: float) -> None:
        self._crew.close(timeout)
        self._detached.close()
        self.working = 0


def _first_place(bunch: Part) -> int:
    place: int = bunch.parts[0].data.place
    return place


def _lane(item: Item) -> Hashable:
    key = item.message.key
    return id(item) if key is BESIDE else key


def _is_ours(part: Part) -> bool:
    return any(leaf.claim is None or leaf.claim.ours for leaf in leaves(part))
