"""Messages as they entered, changed in their data at most, each of them made only when somebody looks at it.

Half of what a chain costs per message is to make it, and to make it anew in each operator. Where whole
batches are mapped, grouped and settled nobody looks at a single one; there its data in a list are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat
from typing import Any, overload

from streamzarr.flow.acknowledge import Claim
from streamzarr.flow.message import Message
from streamzarr.queue.columns import Columns


@dataclass(frozen=True, slots=True)
class Entry:
    """Messages that entered a chain together, under one claim, by consecutive sequence numbers."""

    claim: Claim
    seq: int
    """Sequence number of the first."""
    sizes: list[int]
    """Bytes of each."""
    first_seen: int
    """When they were delivered, milliseconds since the epoch."""
    run: Columns | None = None
    """Their records; ``None``: they came from no topic."""

    @property
    def count(self) -> int:
        """Number of messages."""
        return len(self.sizes)

    def cut(self, start: int, stop: int) -> Entry:
        """Return those from number `start` to before `stop`, at least one."""
        run = None if self.run is None else self.run[start:stop]
        return Entry(self.claim, self.seq + start, self.sizes[start:stop], self.first_seen, run)


class LazyMessages(Sequence[Message]):
    """A sequence of messages that stand for one record each, none of them failed, keyed, split or combined.

    Immutable, but for the messages, which are made when one of them is asked for first, and then kept. Owned
    by the chain's thread.

    Parameters
    ----------
    datas
        Data of each message.
    entries
        Where they came from, in their order; of none there are no messages.
    """

    __slots__ = ("_made", "datas", "entries")

    def __init__(self, datas: list[Any], entries: tuple[Entry, ...]) -> None:
        self.datas = datas
        self.entries = entries
        self._made: tuple[Message, ...] | None = None

    def __len__(self) -> int:
        return len(self.datas)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.made())

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | Sequence[Message]:
        if not isinstance(index, slice):
            return self.made()[index]
        start, stop, step = index.indices(len(self))
        if step != 1:
            return self.made()[index]
        return self.cut(start, max(start, stop))

    @property
    def is_made(self) -> bool:
        """True when somebody has looked at a message."""
        return self._made is not None

    def made(self) -> tuple[Message, ...]:
        """Return the messages."""
        if self._made is None:
            messages: list[Message] = []
            for entry in self.entries:
                datas = self.datas[len(messages) : len(messages) + entry.count]
                messages += _messages(entry, datas)
            self._made = tuple(messages)
        return self._made

    def cut(self, start: int, stop: int) -> LazyMessages:
        """Return those from number `start` to before `stop`."""
        if stop - start == len(self):
            return self
        cuts, at = [], 0
        for entry in self.entries:
            low, high = max(start - at, 0), min(stop - at, entry.count)
            if low < high:
                cuts.append(entry if high - low == entry.count else entry.cut(low, high))
            at += entry.count
        piece = LazyMessages(self.datas[start:stop], tuple(cuts))
        if self._made is not None:
            piece._made = self._made[start:stop]  # who looked at them may tell them apart by identity
        return piece

    def with_datas(self, datas: list[Any]) -> LazyMessages:
        """Return the same messages with other data."""
        return LazyMessages(datas, self.entries)

    def under(self, wanted: Callable[[Claim], bool]) -> LazyMessages:
        """Return those of the claims that are `wanted`."""
        if all(wanted(entry.claim) for entry in self.entries):
            return self
        stops = accumulate(entry.count for entry in self.entries)
        cuts = [
            self.cut(stop - entry.count, stop)
            for entry, stop in zip(self.entries, stops, strict=True)
            if wanted(entry.claim)
        ]
        return _joined(cuts)

    @property
    def sizes(self) -> list[int]:
        """Bytes of each message."""
        if len(self.entries) == 1:
            return self.entries[0].sizes
        return [size for entry in self.entries for size in entry.sizes]

    @property
    def is_whole(self) -> bool:
        """True unless a message of one of their claims is out in pieces, which these may know nothing of."""
        return not any(entry.claim.has_pieces for entry in self.entries)


def together(parts: Sequence[Sequence[Message]]) -> Sequence[Message]:
    """Return the messages of all `parts`, in their order; none is made that was not.

    Examples
    --------
    >>> together([[Message(data=1)], [], (Message(data=2),)])
    [Message(data=1), Message(data=2)]
    """
    if len(parts) == 1:
        return parts[0]
    lazy = [part for part in parts if isinstance(part, LazyMessages)]
    if len(lazy) < len(parts) or any(part.is_made for part in lazy):
        return [message for part in parts for message in part]
    return _joined(lazy)


def _joined(parts: Sequence[LazyMessages]) -> LazyMessages:
    datas = [data for part in parts for data in part.datas]
    whole = LazyMessages(datas, tuple(entry for part in parts for entry in part.entries))
    if parts and all(part.is_made for part in parts):
        whole._made = tuple(message for part in parts for message in part)
    return whole


def _messages(entry: Entry, datas: Sequence[Any]) -> Iterator[Message]:
    rows: Iterable[Any] = repeat(None) if entry.run is None else entry.run.rows()
    return map(  # in C, a third faster than a comprehension; in the order of Message's fields
        Message,
        rows,
        datas,
        entry.sizes,
        repeat(1),
        repeat(0),
        repeat(entry.first_seen),
        repeat(None),
        repeat(None),
        repeat(""),
        range(entry.seq, entry.seq + entry.count),
        repeat(entry.claim),
    )
