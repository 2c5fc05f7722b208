"""The stage of ``ops.join_asof``."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any, NamedTuple

from reactivex.abc import ObserverBase

from streamzarr.errors import LateError, LimitExceededError
from streamzarr.flow.acknowledge import Claim, Hold
from streamzarr.flow.chain import Chain, claim_of
from streamzarr.flow.delivery import Fate
from streamzarr.flow.message import Batch, Marker, Message, Passed, leaves
from streamzarr.flow.ops.asof import AsofJoin
from streamzarr.flow.ops.each import failed
from streamzarr.flow.ops.side import Side
from streamzarr.flow.stage import Belongs, Stage, Upstream


class Joined(NamedTuple):
    """The data of a message behind ``ops.join_asof``."""

    left: Any
    right: Any
    """``None``: no row of the other side matches."""


class Left(NamedTuple):
    """A left message that waits."""

    key: Hashable
    at: int
    message: Message


@dataclass(slots=True, eq=False)
class Row:
    """A right message that a left one may still match."""

    message: Message | None
    """Unsettled; ``None`` once it is folded, so that its credit has returned."""
    data: Any
    claim: Claim
    nbytes: int
    hold: Hold | None = None
    """Keeps its partition's position, once it is folded."""


class Joining(Stage):
    """Joins what comes from the left with what came from the right. Owned by the chain's thread.

    A left message waits, unsettled, until its match is final, and goes on as the same message with other
    data. A right message is unsettled, and takes credit, while it is ahead of the left side; that bounds
    how far the right may run ahead. Once the left has passed it but may still match it, it is folded: its
    credit returns, its bytes are charged, and a hold keeps its partition's position. It is settled when no
    left message can match it, those included that a crash would bring again: their offsets are not stored.
    """

    def __init__(
        self,
        chain: Chain,
        observer: ObserverBase[Batch],
        join: AsofJoin[Left, Row],
        left: Side,
        right: Side,
        *,
        wait: float | None,
        late: str | None,
        max_rows: int,
        name: str,
    ) -> None:
        super().__init__(chain, observer)
        self._join, self._left, self._right = join, left, right
        self._wait, self._late, self._max_rows, self._name = wait, late, max_rows, name
        self.left_above: tuple[Upstream, ...] = ()
        """What feeds the left side; the rest of `above` feeds the right."""
        self._stranded: list[Left] = []  # lefts whose partition of the right is read elsewhere
        self._seen = 0  # changes of the right side's partitions
        self._arrivals: deque[tuple[float, int]] = deque()  # of lefts: when, and up to which number
        self._ahead: list[tuple[int, int, Row]] = []  # a heap of rows by time: neither folded nor forgotten
        self._numbers = itertools.count()
        self._markers: list[tuple[Marker, int]] = []  # each behind the lefts before that number

    # -- messages ----------------------------------------------------------------------------------------

    def receive(self, messages: Sequence[Message]) -> None:
        """Take messages of the left side."""
        out: list[Message] = []
        for message in messages:
            placed = self._place(self._left, message, out)
            if placed is not None:
                self._stranded.append(Left(*placed, message))
        self._land()
        self._go_on(out)

    def _land(self) -> None:
        """Let those lefts into the join whose partition of the right is read here; take out the others."""
        if self._right.changes != self._seen:
            self._seen = self._right.changes
            given_up = self._join.give_up(lambda left: not self._right.covers(left.message))
            self._stranded.extend(left for left, _ in given_up)
        stranded, self._stranded = self._stranded, []
        for left in stranded:
            if self._right.covers(left.message):
                self._join.add_left(left.key, left.at, left)
            else:
                self._stranded.append(left)
        if not self._arrivals or self._arrivals[-1][1] < self._join.lefts:
            self._arrivals.append((self.chain.runtime.now(), self._join.lefts))

    def take_right(self, batch: Batch) -> None:
        """Take a batch of the right side, and the marker behind it."""
        out: list[Message] = []
        for message in batch.held:
            placed = self._place(self._right, message, out)
            if placed is not None:
                key, at = placed
                row = Row(message, message.data, claim_of(next(leaves(message))), message.nbytes)
                self._join.add_right(key, at, row)
                heapq.heappush(self._ahead, (at, next(self._numbers), row))
        self._check_bound()
        self._land()
        self._go_on(out)
        if batch.marker is not None and not isinstance(batch.marker, Passed):  # its windows end here
            self.mark(batch.marker)

    def _place(self, side: Side, message: Message, out: list[Message]) -> tuple[Hashable, int] | None:
        """Return key and time of a message; one that has none, or is late, is passed on."""
        if message.failure is None:
            try:
                return side.place(message)
            except LateError as error:
                late = message.fail(error, self._name) if self._late is None else None
                out.append(late or message.replace(output=self._late))
            except BaseException as error:  # noqa: BLE001 - bad data is a value, whatever its class
                out.append(failed(message, error, self._name))
        else:
            out.append(message)
        return None

    def _go_on(self, out: list[Message]) -> None:
        """Pass on `out` and what has its match, and settle what nothing can match any more."""
        mark = math.inf if self._has_ended(self.above[len(self.left_above) :]) else self._right.mark
        out.extend(starmap(_joined, self._join.matched(mark)))
        self.emit(out)
        self._forget()
        self._count()
        while self._markers and self._markers[0][1] <= self._join.oldest and not self._stranded:
            self.emit_marker(self._markers.pop(0)[0])

    def _count(self) -> None:
        self.waiting = self._join.waiting + len(self._stranded) + len(self._ahead)

    def _has_ended(self, upstreams: Sequence[Upstream]) -> bool:
        return all(upstream.ended for upstream in upstreams)

    # -- rows of the right side --------------------------------------------------------------------------

    def _forget(self) -> None:
        """Settle the rows that no left can match, and fold those that the left has passed."""
        mark = math.inf if self._has_ended(self.left_above) else self._left.mark
        stranded = min((left.at for left in self._stranded), default=math.inf)
        passed = min(mark, self._left.again, stranded)
        self.chain.settle(self._release(self._join.expired(passed), Fate.OK))
        while self._ahead and self._ahead[0][0] <= passed:
            self._fold(heapq.heappop(self._ahead)[2])

    def _fold(self, row: Row) -> None:
        """Return the credit of a row that stays, unless it is gone or folded already."""
        if row.message is not None:
            row.hold = Hold()
            self.chain.fold([row.message], row.hold)
            self.chain.charge(row.claim, row.nbytes)
            row.message = None

    def _release(self, rows: Sequence[Row], fate: Fate) -> list[Message]:
        """Be done with rows; return the messages of those that were not folded, to be dealt with alike."""
        messages = [row.message for row in rows if row.message is not None]
        for row in rows:
            row.message = None
            if row.hold is not None:
                self.chain.release([row.hold], fate)
                self.chain.charge(row.claim, -row.nbytes)
                row.hold = None
        return messages

    def _check_bound(self) -> None:
        if self._join.rights > self._max_rows:
            raise LimitExceededError(
                f"{self._name} holds {self._join.rights} rows of its right side, expected at most "
                f"{self._max_rows} (max_rows): fewer are held with a smaller tolerance or disorder"
            )

    # -- time --------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Go on with what has come, or with what is there for lefts that have waited for long enough."""
        self._left.turn()
        self._right.turn()
        if self._stranded or self._right.changes != self._seen:
            self._land()
        now = self.chain.runtime.now()
        hurried: list[tuple[Left, Row | None]] = []
        while self._arrivals and self._arrivals[0][1] <= self._join.oldest:
            self._arrivals.popleft()
        while self._wait is not None and self._arrivals and self._arrivals[0][0] + self._wait <= now:
            hurried += self._join.hurry(self._arrivals.popleft()[1])
        self._go_on(list(starmap(_joined, hurried)))

    def due(self) -> float | None:
        """Return when a left has waited for long enough, or a partition becomes idle."""
        dues = [self._left.due(), self._right.due()]
        if self._wait is not None and self._arrivals:
            dues.append(self._arrivals[0][0] + self._wait)
        return min((due for due in dues if due is not None), default=None)

    def flush(self) -> None:
        """Let more of the right side in when lefts wait for it and it may have no credit left."""
        if self._join.waiting:
            for _, _, row in self._ahead:
                self._fold(row)
            self._ahead.clear()
            self._count()

    def mark(self, marker: Marker) -> None:
        """Pass on a marker, of either side, behind the lefts before it."""
        self._markers.append((marker, self._join.lefts))
        self._go_on([])

    # -- endings -----------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Pass on all lefts; those whose right side is read elsewhere are handed back."""
        self.chain.hand_back([left.message for left in self._stranded])
        self._stranded.clear()
        self._go_on([])

    def withdraw(self, belongs: Belongs) -> list[Message]:
        """Give up lefts that wait, and rows that are unsettled."""
        lefts = [left for left, _ in self._join.give_up(lambda left: belongs(left.message))]
        lefts += [left for left in self._stranded if belongs(left.message)]
        self._stranded = [left for left in self._stranded if not belongs(left.message)]
        rows = self._join.remove(lambda row: row.message is not None and belongs(row.message))
        self._right.abandon({row.claim for row in rows})
        self._land()  # what is left waits for whoever reads those partitions now
        withdrawn = [left.message for left in lefts] + self._release(rows, Fate.HANDED_BACK)
        self._drop_gone()
        return withdrawn

    def abandon(self, claims: Collection[Claim]) -> None:
        """Forget what is held for claims that have ended."""
        rows = self._join.remove(lambda row: row.claim in claims)
        self.chain.hand_back(self._release(rows, Fate.HANDED_BACK))
        self._left.abandon(claims)
        self._right.abandon(claims)
        self._land()
        lost = [left for left, _ in self._join.give_up(lambda left: not self.chain.owns(left.message))]
        lost += [left for left in self._stranded if not self.chain.owns(left.message)]
        self._stranded = [left for left in self._stranded if self.chain.owns(left.message)]
        self.chain.hand_back([left.message for left in lost])
        self._drop_gone()

    def _drop_gone(self) -> None:
        self._ahead = [entry for entry in self._ahead if entry[2].message is not None]
        heapq.heapify(self._ahead)
        self._count()

    def close(self, timeout: float) -> None:
        """Return what the rows were charged with."""
        self._release(self._join.remove(lambda row: row.hold is not None), Fate.HANDED_BACK)


def _joined(left: Left, row: Row | None) -> Message:
    return left.message.with_data(Joined(left.message.data, None if row is None else row.data))
