"""Results on their way: stored first, then delivered, then, when they are settled, taken out again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from streamzarr.flow.acknowledge import Receipt
from streamzarr.flow.delivery import Fate
from streamzarr.flow.windows.result import Result
from streamzarr.flow.windows.snapshot import Outgoing


class Sent(NamedTuple):
    """A result that was delivered."""

    outgoing: Outgoing
    receipt: Receipt


class Outbox:
    """The results of one partition that are not settled, in order. Pure state; owned by the chain's thread.

    Examples
    --------
    >>> from streamzarr.flow.windows import Window
    >>> outbox = Outbox((), numbered=0)
    >>> outbox.put(Result("BTC", Window(0, 60), 7.5, 3), error=None)
    >>> outbox.take() is None                    # it is not stored yet
    True
    >>> outbox.stored(outbox.numbered)
    >>> sent = outbox.take()
    >>> outbox.unsaved
    False
    >>> _ = sent.receipt.release(Fate.OK)
    >>> outbox.look()
    >>> outbox.contents, outbox.unsaved          # to be taken out of the store
    ((), True)
    """

    def __init__(self, outgoing: Iterable[Outgoing], numbered: int) -> None:
        self.numbered = numbered
        """Number of the last result, ever."""
        self._waiting = deque(outgoing)  # not delivered
        self._sent: list[Sent] = []
        self._stored = numbered  # those up to this number are
        self.settled = False
        """True when a result was settled that is still stored."""

    def __len__(self) -> int:
        return len(self._waiting) + len(self._sent)

    @property
    def waiting(self) -> int:
        """Number of results that were not delivered."""
        return len(self._waiting)

    @property
    def unsaved(self) -> bool:
        """True when what is stored lacks a result, or still has one that is settled."""
        return self.settled or self.numbered > self._stored

    def still_open(self, outgoing: Iterable[Outgoing]) -> tuple[Outgoing, ...]:
        """Return those of stored results that are not settled."""
        numbers = {each.number for each in self.contents}
        return tuple(each for each in outgoing if each.number in numbers)

    @property
    def contents(self) -> tuple[Outgoing, ...]:
        """What is to be stored."""
        return (*(sent.outgoing for sent in self._sent), *self._waiting)

    def put(self, result: Result, error: str | None) -> None:
        """Add a result."""
        self.numbered += 1
        self._waiting.append(Outgoing.of(self.numbered, result, error))

    def stored(self, number: int) -> None:
        """Note that :attr:`contents`, with results up to `number`, is durable."""
        self._stored = number
        self.settled = False

    @property
    def deliverable(self) -> bool:
        """True when :meth:`take` has something to give."""
        return bool(self._waiting) and self._waiting[0].number <= self._stored

    def take(self) -> Sent | None:
        """Return the next result to be delivered; ``None``: there is none that is stored."""
        if not self.deliverable:
            return None
        sent = Sent(self._waiting.popleft(), Receipt())
        self._sent.append(sent)
        return sent

    def look(self) -> None:
        """Take out what was settled since; what was handed back is to be delivered again."""
        if not any(sent.receipt.released for sent in self._sent):
            return
        back = [sent.outgoing for sent in self._sent if sent.receipt.fate is Fate.HANDED_BACK]
        self.settled |= any(
            sent.receipt.released and sent.receipt.fate is not Fate.HANDED_BACK for sent in self._sent
        )
        self._sent = [sent for sent in self._sent if not sent.receipt.released]
        self._waiting.extendleft(reversed(back))
